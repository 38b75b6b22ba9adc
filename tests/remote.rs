//! Stores behind a network: few round trips, no bytes twice, faults that cost time and not numbers.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use common::proxy::{Exchange, Proxy, round_trips};
use common::{data, files, read, s3};
use samplefs::error::Result;
use samplefs::format::Format;
use samplefs::fs::{Filesystem, Options, Prefetch};
use samplefs::layout::names::FileNames;
use samplefs::store::access::Access;

/// Long enough that requests which need not wait for each other overlap on a busy machine.
const FAR: Duration = Duration::from_millis(100);

fn access(address: &str) -> Access {
    let environment = s3::environment().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Access {
        endpoint: Some(format!("http://{address}")),
        region: Some("us-east-1".to_owned()),
        allow_http: true,
        environment: environment.collect(),
        ..Access::default()
    }
}

/// A store in a bucket, seen as files by this process.
fn open(address: &str, access: &Access) -> Result<Filesystem> {
    let options =
        Options { names: FileNames::Auto, formats: &[Format::Pt], cache: 64 << 20, prefetch: Prefetch::Auto };
    Filesystem::open(samplefs::store::open(address, access)?, &options)
}

/// All files of a local store as they are, by path.
fn expected(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let (fs, _) = common::open(store, &[Format::Pt], 64 << 20).unwrap();
    files(&fs).into_iter().map(|path| (path.clone(), read(&fs, &path).unwrap())).collect()
}

fn count(log: &[Exchange], wanted: impl Fn(&Exchange) -> bool) -> usize {
    log.iter().filter(|exchange| wanted(exchange)).count()
}

#[test]
fn a_cold_sample_costs_a_few_round_trips_and_every_byte_once() {
    let server = s3::Server::new();
    let store = data("golden/shapenet_store");
    let address = server.put("shapenet", &store);
    let proxy = Proxy::new(server.address(), FAR);
    let fs = open(&address, &access(proxy.address())).unwrap();
    assert_eq!(round_trips(&proxy.take_log()), 2, "the manifest and one listing");

    let sample = "param0/c41ea2177b0cd65aaf5ee1a1938ca886";
    let expected = expected(&store);
    let of_sample: Vec<_> = expected.iter().filter(|(path, _)| path.starts_with(sample)).collect();
    assert_eq!(of_sample.len(), 7);
    for (path, bytes) in of_sample {
        assert!(read(&fs, path).unwrap() == *bytes, "{path}");
    }
    let log = proxy.take_log();
    println!("{} requests, {} round trips", log.len(), round_trips(&log));
    assert!(round_trips(&log) <= 3, "{log:#?}");
    assert_eq!(count(&log, |exchange| exchange.method != "GET"), 0);
    let stored: u64 = common::tree(&store.join(format!("{sample}.zarr")))
        .iter()
        .filter(|(path, _)| {
            path.starts_with("surface") || path.starts_with("volume") || path.as_os_str() == "zarr.json"
        })
        .filter(|(path, _)| path.components().count() != 3)
        .map(|(_, bytes)| bytes.len() as u64)
        .sum();
    let fetched: u64 = log.iter().map(|exchange| exchange.bytes).sum();
    println!("{fetched} of {stored}");
}
