//! Promise 5: never silently wrong data. Every broken input has its error, and what is whole stays readable.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::Mount;
use samplefs::error::{Error, ErrorKind};
use samplefs::format::Format;
use serde_json::{Value, json};

const SHAPENET: &str = "golden/shapenet_store";
const SAMPLE: &str = "param0/c41ea2177b0cd65aaf5ee1a1938ca886";
const OTHER: &str = "param1/b792fcacb00e3078e3b8fe5c46ee5c6e";

fn group(store: &Path) -> PathBuf {
    store.join(format!("{SAMPLE}.zarr"))
}

/// What reading a file says after `damage` was done to a store, another sample being whole.
fn error_after(damage: impl FnOnce(&Path), file: &str) -> Error {
    let (_dir, store) = common::copy(SHAPENET);
    damage(&store);
    let (fs, _) = common::open(&store, &[Format::Pt], 1 << 20).unwrap();
    common::read(&fs, &format!("{OTHER}/{file}")).expect("the other sample is whole");
    common::read(&fs, &format!("{SAMPLE}/{file}")).expect_err("the damage must show")
}

/// Changes the metadata of an array where readers find it, in the consolidated block.
fn edit_array(store: &Path, array: &str, change: impl FnOnce(&mut Value)) {
    common::edit(&group(store).join("zarr.json"), |json| {
        change(&mut json["consolidated_metadata"]["metadata"][array]);
    });
}

#[test]
fn a_store_that_is_none_is_refused_at_mount_with_the_path_and_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let mount = |store: &Path| {
        let output = common::samplefs(["mount"]).arg(store).arg(dir.path()).output().unwrap();
        (output.status.code(), common::stderr(&output))
    };
    let (code, said) = mount(&dir.path().join("nothing"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing: No such file"), "{said}");

    let (code, said) = mount(dir.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("manifest.json: no such file") && said.contains("hint: a store is"), "{said}");

    fs::write(dir.path().join("manifest.json"), "{\"dataset_name\": ").unwrap();
    let (code, said) = mount(dir.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("manifest.json: EOF while parsing"), "{said}");
    assert!(!common::is_mounted(dir.path()));
}

#[test]
fn a_hostile_manifest_is_refused_at_mount_with_what_is_wrong() {
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 8] = [
        (|m| m["format_version"] = 2.into(), "format_version is 2"),
        (|m| m["samples"][SAMPLE]["relpath"] = "../../etc".into(), "\"..\""),
        (|m| m["samples"][SAMPLE]["relpath"] = "/etc".into(), "absolute"),
        (|m| m["samples"]["a/subsample_1_1"] = m["samples"][SAMPLE].clone(), "would hide a view"),
        (|m| m["samples"]["a//b"] = m["samples"][SAMPLE].clone(), "an empty component"),
        (|m| m["samples"]["nul\0"] = m["samples"][SAMPLE].clone(), "a NUL"),
        (
            |m| m["samples"][format!("{SAMPLE}/volume_sdf.pt")] = m["samples"][SAMPLE].clone(),
            "volume_sdf.pt is both a file and a sample's directory",
        ),
        (
            |m| m["samples"][SAMPLE]["domains"]["volume"]["n_points"] = (1u64 << 63).into(),
            "points in chunks of 256 make",
        ),
    ];
    for (change, expected) in changes {
        let (_dir, store) = common::copy(SHAPENET);
        common::edit(&store.join("manifest.json"), change);
        let error = common::open(&store, &[Format::Pt], 0).err().expect(expected);
        let said = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{said}");
        assert!(said.starts_with(store.to_str().unwrap()) && said.contains(expected), "{said}");
    }
}

#[test]
fn two_samples_of_one_id_are_refused_at_mount() {
    let (_dir, store) = common::copy(SHAPENET);
    let manifest = store.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace(&format!("\"{OTHER}\": {{"), &format!("\"{SAMPLE}\": {{"))).unwrap();
    let error = common::open(&store, &[Format::Pt], 0).err().unwrap();
    assert!(error.to_string().contains("stands twice"), "{error}");
}

#[test]
fn a_manifest_and_an_array_that_disagree_are_an_error_and_never_a_guess() {
    let shape = |store: &Path| edit_array(store, "volume/sdf", |array| array["shape"] = json!([2395, 1]));
    let error = error_after(shape, "volume_sdf.pt");
    assert!(error.to_string().contains("its shape is [2395, 1], the manifest says [2396, 1]"), "{error}");
    assert!(error.to_string().contains("field volume_sdf"), "{error}");

    let dtype = |store: &Path| edit_array(store, "volume/sdf", |array| array["data_type"] = "float32".into());
    let error = error_after(dtype, "volume_sdf.pt");
    assert!(error.to_string().contains("its type is float32, the manifest says float16"), "{error}");
}

#[test]
fn metadata_that_is_missing_or_not_understood_is_an_error_that_names_it() {
    let error =
        error_after(|store| fs::remove_file(group(store).join("zarr.json")).unwrap(), "volume_sdf.pt");
    assert!(error.to_string().contains(&format!("{SAMPLE}.zarr/zarr.json is missing")), "{error}");

    let codec = |store: &Path| {
        edit_array(store, "volume/sdf", |array| {
            array["codecs"][0]["configuration"]["codecs"][1]["name"] = "lz77".into();
        });
    };
    let error = error_after(codec, "volume_sdf.pt");
    assert!(error.to_string().contains("unsupported codecs (bytes, lz77)"), "{error}");

    let field = |store: &Path| edit_array(store, "volume/sdf", |array| array["magic"] = json!({"x": 1}));
    assert!(error_after(field, "volume_sdf.pt").to_string().contains("the metadata has magic"));

    let huge = |store: &Path| {
        edit_array(store, "volume/sdf", |array| {
            array["chunk_grid"]["configuration"]["chunk_shape"] = json!([1u64 << 40, 1]);
            array["codecs"][0]["configuration"]["chunk_shape"] = json!([1u64 << 40, 1]);
        });
    };
    let error = error_after(huge, "volume_sdf.pt");
    assert!(error.to_string().contains("has not between 1 and 2147483647 bytes"), "{error}");
}

#[test]
fn a_truncated_shard_and_a_damaged_index_are_errors_that_name_the_object() {
    let shard = |store: &Path| group(store).join("volume/sdf/c/0/0");
    let truncate = |store: &Path| {
        let bytes = fs::read(shard(store)).unwrap();
        fs::write(shard(store), &bytes[..100]).unwrap();
    };
    let error = error_after(truncate, "volume_sdf.pt");
    assert!(error.to_string().contains("volume/sdf/c/0/0: it has 100 bytes"), "{error}");
    assert!(error.remedy().unwrap().contains("truncated"), "{error}");

    let cut_off = |store: &Path| {
        let bytes = fs::read(shard(store)).unwrap();
        fs::write(shard(store), &bytes[..bytes.len() - 7]).unwrap();
    };
    let error = error_after(cut_off, "volume_sdf.pt");
    assert!(error.to_string().contains("index has CRC-32C"), "{error}");
}

#[test]
fn a_chunk_that_does_not_decode_fails_alone() {
    let (_dir, store) = common::copy(SHAPENET);
    let shard = group(&store).join("volume/sdf/c/0/0");
    let mut bytes = fs::read(&shard).unwrap();
    // The first chunk's blosc header claims another size.
    bytes[4] ^= 1;
    fs::write(&shard, &bytes).unwrap();
    let (fs, _) = common::open(&store, &[Format::Pt], 1 << 20).unwrap();
    let file = common::walk(&fs, &format!("{SAMPLE}/volume_sdf.pt")).unwrap();
    let mut out = Vec::new();
    let error = fs.read(file.number, 0, 4096, &mut out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for part in [SAMPLE, "field volume_sdf", "array param0/", "chunk 0", "does not decode"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    fs.read(file.number, 4096, 4096, &mut out).expect("the chunks after it are whole");
}

#[test]
fn a_shard_that_was_replaced_is_stale_and_never_mixed() {
    let (_dir, store) = common::copy(SHAPENET);
    let (fs, _) = common::open(&store, &[Format::Pt], 0).unwrap();
    let path = format!("{SAMPLE}/volume_sdf.pt");
    let before = common::read(&fs, &path).unwrap();
    let shard = group(&store).join("volume/sdf/c/0/0");
    let new = shard.with_extension("new");
    fs::copy(&shard, &new).unwrap();
    fs::rename(&new, &shard).unwrap();
    let error = common::read(&fs, &path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
    let (fs, _) = common::open(&store, &[Format::Pt], 0).unwrap();
    assert_eq!(common::read(&fs, &path).unwrap(), before);
}

#[test]
fn a_broken_sample_is_eio_through_a_mount_with_one_line_in_the_log() {
    let (_dir, store) = common::copy(SHAPENET);
    fs::write(group(&store).join("volume/sdf/c/0/0"), "short").unwrap();
    let mount = Mount::new(&store, &[]);
    let error = fs::read(mount.path().join(SAMPLE).join("volume_sdf.pt")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    fs::read(mount.path().join(SAMPLE).join("volume_points.pt")).expect("the other fields are whole");
    let log = mount.unmount();
    // The kernel may ask more than once; that is told as a number.
    let told = |line: &&str| line.contains("WARN") && !line.contains("more like this");
    let lines: Vec<_> = log.lines().filter(told).collect();
    assert_eq!(lines.len(), 1, "{log}");
    for part in [SAMPLE, "volume_sdf", "volume/sdf/c/0/0", "it has 5 bytes", "hint="] {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
}

#[test]
fn missing_chunks_and_missing_objects_read_as_the_fill_value() {
    let (_dir, store) = common::copy(SHAPENET);
    fs::remove_file(group(&store).join("volume/sdf/c/0/0")).unwrap();
    let (fs, _) = common::open(&store, &[Format::Npy], 1 << 20).unwrap();
    let bytes = common::read(&fs, &format!("{SAMPLE}/volume_sdf.npy")).unwrap();
    assert_eq!(bytes.len(), 128 + 2396 * 2);
    assert!(bytes[128..].iter().all(|byte| *byte == 0));
}
