//! Metrics over HTTP: what Prometheus' own parser makes of them, and what other requests get.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Mount, python, run, samplefs};
use serde_json::Value;

const STORE: &str = "golden/drivaer_store";
const SAMPLE: &str = "E_S_WWC_WM_005";

/// A mount that serves metrics, and where.
fn mount() -> (Mount, String) {
    let mount = Mount::new(&common::data(STORE), &["--metrics-addr", "0", "--memory-target", "512M"]);
    let told: Value = serde_json::from_str(&run(samplefs(["status", "--json"]).arg(mount.path()))).unwrap();
    let url = told["metrics"].as_str().unwrap().to_owned();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    (mount, url)
}

fn scrape(url: &str) -> Value {
    let scraped: Value = serde_json::from_str(&run(python("scrape.py").arg(url))).unwrap();
    assert_eq!(scraped["wrong"], Value::Array(Vec::new()));
    scraped["values"].clone()
}

#[test]
fn prometheus_reads_what_reading_took() {
    let (mount, url) = mount();
    let before = scrape(&url);
    assert_eq!(before["samplefs_served_bytes_total"], 0.0);
    assert_eq!(before["samplefs_samples"], 3.0);
    assert_eq!(before["samplefs_failures_total{kind=invalid}"], 0.0, "a watcher must see the first");
    let file = mount.path().join(SAMPLE).join("volume_U.pt");
    let bytes = fs::read(&file).unwrap().len();
    assert!(fs::metadata(mount.path().join("none")).is_err());
    let payload = 3277.0 * 3.0 * 4.0;

    let after = scrape(&url);
    let value =
        |name: &str| after[format!("samplefs_{name}")].as_f64().unwrap_or_else(|| panic!("{name}: {after}"));
    assert_eq!(value("served_bytes_total"), payload);
    assert_eq!(value("read_size_bytes_sum"), bytes as f64);
    let reads = value("request_duration_seconds_count{operation=read}");
    assert!(reads >= 1.0 && value("request_duration_seconds_bucket{le=30.0,operation=read}") == reads);
    assert!(value("request_duration_seconds_sum{operation=read}") > 0.0);
    assert!(value("request_duration_seconds_count{operation=lookup}") >= 3.0);
    // Seven chunks of 512 points, in shards of two.
    assert_eq!(value("chunks_total{result=loaded}"), 7.0);
    assert!(value("store_requests_total{outcome=found}") >= 3.0 + 7.0 + 1.0);
    assert_eq!(value("store_requests_total{outcome=failed}"), 0.0);
    assert!(value("store_fetched_bytes_total") > 7.0 * 512.0);
    assert!(value("cache_bytes") > 7.0 * 512.0 && value("cache_limit_bytes") == 0.75 * f64::from(512 << 20));
    assert!(value("resident_bytes") > 1e6 && value("start_time_seconds") > 1.7e9);
    assert_eq!(value("failures_total{kind=unavailable}"), 0.0, "a name that is not there is no failure");
    assert!(!after.to_string().contains(SAMPLE), "labels name no samples");
    mount.unmount();
}

#[test]
fn other_requests_are_refused_and_the_next_is_answered() {
    let (mount, url) = mount();
    let address = url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let ask = |request: &[u8]| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        // A client that sends more than is read may be cut off.
        _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    };
    let get = |path: &str| ask(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    assert!(get("/metrics").starts_with("HTTP/1.1 200 OK\r\n") && get("/metrics").ends_with("# EOF\n"));
    assert!(get("/").starts_with("HTTP/1.1 404 "));
    assert!(ask(b"HEAD /metrics HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
    assert!(ask(b"POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(ask(b"what?\r\n\r\n").starts_with("HTTP/1.1 400 "));
    ask(&vec![b'x'; 1 << 20]);
    drop(TcpStream::connect(address).unwrap());
    assert!(get("/metrics").starts_with("HTTP/1.1 200 OK\r\n"));
    mount.unmount();
}

#[test]
fn an_address_that_is_in_use_is_told_before_anything_is_mounted() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = samplefs(["mount", "--metrics-addr", &port]);
    let output = command.arg(common::data(STORE)).arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(common::stderr(&output).contains(&format!("serve metrics at 127.0.0.1:{port}")));
    assert!(!common::is_mounted(dir.path()));
}
