//! What real torch and numpy read through a real mount is what the reference's reader returns.

mod common;

use std::ffi::OsStr;
use std::path::Path;

use common::{Mount, data, json, python, run, s3};
use samplefs::catalog::Catalog;
use samplefs::format::Format;
use serde_json::Value;

/// A file below the mount, and the hash of its values.
struct Expected {
    path: String,
    shape: Value,
    dtype: String,
    sha256: Value,
}

/// The names under which a recorded read can be found: a view of the sample, a view of the dataset.
fn directories(read: &Value, catalog: &Catalog) -> Vec<String> {
    let id = read["sample_id"].as_str().unwrap();
    let Some(counts) = read["num_points"].as_object() else { return vec![id.to_owned()] };
    let seed = read["seed"].as_u64().unwrap();
    let named: Vec<String> = catalog
        .domains
        .iter()
        .filter_map(|domain| Some(format!("{}={}", domain.name, counts.get(&domain.name)?.as_u64()?)))
        .collect();
    let view = format!("subsample_{}_{seed}", named.join(","));
    let mut found = vec![format!("{id}/{view}"), format!("{view}/{id}")];
    let numbers: Vec<_> = counts.values().collect();
    if counts.len() == catalog.domains.len() && numbers.iter().all(|n| *n == numbers[0]) {
        found.push(format!("{id}/subsample_{}_{seed}", numbers[0]));
    }
    found
}

/// Every recorded read of a store, as the files that must show it.
fn expected(store: &Path, reads: &Value) -> Vec<Expected> {
    let (fs, _) = common::open(store, &[Format::Pt], 0).unwrap();
    let snapshot = fs.snapshot();
    let catalog = snapshot.catalog();
    let stem = |canonical: &str| &catalog.fields.iter().find(|f| f.canonical == canonical).unwrap().stem;
    let mut all = Vec::new();
    for read in reads.as_array().unwrap() {
        for directory in directories(read, catalog) {
            // What a second draw from the same generator gives has no name in a mount.
            let fields =
                read["fields"].as_object().unwrap().iter().filter(|(name, _)| !name.starts_with("coords_"));
            for (canonical, field) in fields {
                let mut push = |suffix: &str, dtype: &str, sha256: &Value| {
                    all.push(Expected {
                        path: format!("{directory}/{}{suffix}", stem(canonical)),
                        shape: field["shape"].clone(),
                        dtype: dtype.to_owned(),
                        sha256: sha256.clone(),
                    });
                };
                push(".pt", "float32", &field["sha256_float32_le"]);
                if let Some(dtype) = field.get("dtype").and_then(Value::as_str) {
                    push(".npy", dtype, &field["sha256_stored_le"]);
                }
            }
        }
    }
    all
}

/// Reads them all through a mount, in every way that torch and numpy have.
fn check(store: &Path, reads: &Value, at_least: usize) {
    check_at(store, &[], store, reads, at_least);
}

/// As `check`, through a mount of a copy of the store at another address.
fn check_at(address: impl AsRef<OsStr>, options: &[String], store: &Path, reads: &Value, at_least: usize) {
    let expected = expected(store, reads);
    assert!(expected.len() >= at_least, "only {} reads were recorded", expected.len());
    let both = ["--format=both".to_owned()];
    let mount = Mount::of(address, &[&both, options].concat());
    let files = expected.iter().map(|e| &e.path);
    let found: Value =
        serde_json::from_str(&run(python("frames.py").current_dir(mount.path()).args(files))).unwrap();
    for Expected { path, shape, dtype, sha256 } in &expected {
        let got = &found[path];
        assert_eq!((&got["shape"], got["dtype"].as_str()), (shape, Some(dtype.as_str())), "{path}");
        assert_eq!(&got["sha256"], sha256, "{path}");
    }
    mount.unmount();
}

#[test]
fn every_golden_read_of_shapenet_holds_through_a_mount() {
    check(&data("golden/shapenet_store"), &json("golden/shapenet_reads.json"), 90);
}

#[test]
fn every_golden_read_of_drivaer_holds_through_a_mount() {
    check(&data("golden/drivaer_store"), &json("golden/drivaer_reads.json"), 50);
}

#[test]
fn every_layout_and_codec_that_zarr_writes_is_read_right() {
    check(&data("odd/layouts"), &json("odd/layouts/expected.json"), 500);
}

#[test]
fn every_stored_type_is_read_right() {
    check(&data("odd/dtypes"), &json("odd/dtypes/expected.json"), 100);
}

#[test]
fn every_golden_read_holds_through_a_mount_of_an_s3_bucket() {
    let server = s3::Server::new();
    let options = s3::options(server.address());
    for (name, at_least) in [("shapenet", 90), ("drivaer", 50)] {
        let store = data(&format!("golden/{name}_store"));
        let reads = json(&format!("golden/{name}_reads.json"));
        let address = server.put(&format!("stores/{name}"), &store);
        check_at(address, &options, &store, &reads, at_least);
    }
}
