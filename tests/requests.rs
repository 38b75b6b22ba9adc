//! What a store is asked for: nothing for names and sizes, each chunk once, a view only its chunks.

mod common;

use std::sync::{Arc, Barrier};

use samplefs::format::Format;
use samplefs::fs::ROOT;

const STORE: &str = "golden/shapenet_store";
const SAMPLE: &str = "param0/c41ea2177b0cd65aaf5ee1a1938ca886";

#[test]
fn names_sizes_and_listings_make_no_request_after_start_up() {
    let (fs, counted) = common::open(&common::data(STORE), &[Format::Pt], 1 << 20).unwrap();
    let at_start = counted.requests();
    for path in common::files(&fs) {
        common::walk(&fs, &path).unwrap();
        common::walk(&fs, &format!("subsample_100_1/{path}")).unwrap();
    }
    common::walk(&fs, &format!("{SAMPLE}/subsample_5_5")).unwrap();
    assert!(common::walk(&fs, "no/such/name").is_err());
    fs.getattr(ROOT).unwrap();
    fs.totals();
    assert_eq!(counted.requests(), at_start);
}

#[test]
fn each_chunk_is_fetched_once_under_32_concurrent_readers() {
    let (fs, counted) = common::open(&common::data(STORE), &[Format::Pt], 64 << 20).unwrap();
    let (fs, together) = (Arc::new(fs), Barrier::new(32));
    let at_start = counted.requests();
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                together.wait();
                common::read(&fs, &format!("{SAMPLE}/volume_points.pt")).unwrap()
            });
        }
    });
    // The sample's metadata, the shard's index, ten chunks.
    assert_eq!(counted.requests() - at_start, 1 + 1 + 10);
}

#[test]
fn the_fields_of_a_sample_share_one_read_of_its_metadata() {
    let (fs, counted) = common::open(&common::data(STORE), &[Format::Pt], 64 << 20).unwrap();
    let at_start = counted.requests();
    for field in ["surface_points", "surface_pressure", "surface_normals"] {
        common::read(&fs, &format!("{SAMPLE}/{field}.pt")).unwrap();
    }
    // Metadata once; of each field an index and two chunks.
    assert_eq!(counted.requests() - at_start, 1 + 3 * (1 + 2));
}

#[test]
fn a_view_reads_only_its_chunks() {
    let (fs, counted) = common::open(&common::data(STORE), &[Format::Pt], 64 << 20).unwrap();
    let at_start = (counted.requests(), counted.bytes());
    common::read(&fs, &format!("{SAMPLE}/subsample_300_0/volume_points.pt")).unwrap();
    // 300 of 2396 points in chunks of 256: two chunks of ten.
    assert_eq!(counted.requests() - at_start.0, 1 + 1 + 2);
    let chunk = 256 * 3 * 4;
    let metadata = std::fs::metadata(common::data(STORE).join(format!("{SAMPLE}.zarr/zarr.json"))).unwrap();
    assert!(counted.bytes() - at_start.1 < metadata.len() + 10 * 16 + 4 + 2 * chunk);
}

#[test]
fn a_header_is_read_without_the_store() {
    let (fs, counted) = common::open(&common::data(STORE), &[Format::Pt], 64 << 20).unwrap();
    let at_start = counted.requests();
    let file = common::walk(&fs, &format!("{SAMPLE}/volume_points.pt")).unwrap();
    let mut header = Vec::new();
    fs.read(file.number, 0, 64, &mut header).unwrap();
    assert!(header.starts_with(b"PK\x03\x04"));
    assert_eq!(counted.requests(), at_start);
}
