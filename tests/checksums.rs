//! Recorded checksums: in the zip of every `.pt`, and held against every chunk before it is served.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Mount, data, run};
use samplefs::convert::Run;
use samplefs::error::ErrorKind;
use samplefs::format::Format;
use serde_json::Value;
use tempfile::TempDir;

const SAMPLE: &str = "param0/c41ea2177b0cd65aaf5ee1a1938ca886";

/// The golden shapenet tree as `convert` stores it, checksums included.
fn converted() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    common::convert(&data("golden/shapenet_pt"), &store, &common::shapenet(), None, &Run::default()).unwrap();
    (dir, store)
}

/// Where the chunks of an array stand in its only shard, as its index says.
fn chunks(shard: &Path, count: usize) -> Vec<(u64, u64)> {
    let bytes = fs::read(shard).unwrap();
    let index = &bytes[bytes.len() - 4 - 16 * count..];
    let word = |at: usize| u64::from_le_bytes(index[at * 8..][..8].try_into().unwrap());
    (0..count).map(|chunk| (word(chunk * 2), word(chunk * 2 + 1))).collect()
}

#[test]
fn full_files_and_views_pass_unzip_and_zipfile() {
    let (_dir, store) = converted();
    let mount = Mount::new(&store, &[]);
    // Whole, one chunk, a chunk that is cut, several of which one is cut, all but one point.
    for view in
        [".", "subsample_256_1", "subsample_100_2", "subsample_700_3", "subsample_surface=478,volume=2395_4"]
    {
        let root = mount.path().join(view);
        let files = run(Command::new("find").arg(root.join(SAMPLE)).args(["-name", "*.pt"]));
        assert_eq!(files.lines().count(), 7, "{view}");
        for file in files.lines() {
            run(Command::new("unzip").args(["-tq", file]));
            run(Command::new("python3").args(["-m", "zipfile", "-t", file]));
        }
    }
    mount.unmount();
}

#[test]
fn a_flipped_byte_in_any_chunk_fails_exactly_the_reads_that_hold_it() {
    let (_dir, store) = converted();
    let shard = store.join(format!("{SAMPLE}.zarr/volume/velocity/c/0/0"));
    let whole = fs::read(&shard).unwrap();
    let (prefix, row) = (frame_prefix(), 12);
    for (flipped, (start, length)) in chunks(&shard, 10).into_iter().enumerate() {
        let mut bytes = whole.clone();
        bytes[(start + length / 2) as usize] ^= 0xff;
        fs::write(&shard, bytes).unwrap();
        let (fs, _) = common::open(&store, &[Format::Pt, Format::Npy], 1 << 20).unwrap();
        let file = common::walk(&fs, &format!("{SAMPLE}/volume_velocity.pt")).unwrap();
        let mut out = Vec::new();
        for chunk in 0..10u64 {
            let read = fs.read(file.number, prefix + chunk * 256 * row, 256, &mut out);
            match read {
                Ok(()) => assert_ne!(chunk, flipped as u64, "chunk {chunk} was served"),
                Err(error) => {
                    assert_eq!(chunk, flipped as u64, "{error}");
                    assert_eq!(error.kind(), ErrorKind::Invalid);
                    assert!(error.to_string().contains(&format!("chunk {chunk}")), "{error}");
                }
            }
        }
        assert!(common::read(&fs, &format!("{SAMPLE}/volume_velocity.npy")).is_err());
        common::read(&fs, &format!("{SAMPLE}/volume_points.pt")).expect("the other fields are whole");
    }
}

/// Where the values of the golden sample's `volume_velocity.pt` start.
fn frame_prefix() -> u64 {
    Format::Pt.frame(2396, 3, samplefs::dtype::DType::F16).prefix.len() as u64
}

#[test]
fn a_chunk_or_shard_that_was_there_and_is_missing_is_an_error_and_not_zeros() {
    let (_dir, store) = converted();
    fs::remove_file(store.join(format!("{SAMPLE}.zarr/volume/sdf/c/0/0"))).unwrap();
    let (fs, _) = common::open(&store, &[Format::Pt], 1 << 20).unwrap();
    let error = common::read(&fs, &format!("{SAMPLE}/volume_sdf.pt")).unwrap_err();
    assert!(error.to_string().contains("missing, but a checksum says that it was written"), "{error}");
}

#[test]
fn the_filemap_that_convert_records_names_the_files_of_a_mount() {
    let (_dir, store) = converted();
    common::edit(&store.join("manifest.json"), |manifest| {
        assert_eq!(manifest["filemap"]["surface_position"], Value::from("surface_points.pt"));
        manifest["dataset_name"] = "Unknown".into();
    });
    let (fs, _) = common::open(&store, &[Format::Pt], 0).unwrap();
    assert!(common::walk(&fs, &format!("{SAMPLE}/surface_points.pt")).is_ok());
}
