//! `samplefs inspect`, `ls` and `cat`: what a mount would show, and what it would cost.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use common::Mount;
use samplefs::format::Format;
use serde_json::Value;

const STORE: &str = "golden/shapenet_store";
const SAMPLE: &str = "param0/c41ea2177b0cd65aaf5ee1a1938ca886";

fn cat(store: &Path, path: &str) -> Vec<u8> {
    let output = common::samplefs(["cat"]).arg(store).arg(path).output().unwrap();
    assert!(output.status.success(), "{path}: {}", common::stderr(&output));
    output.stdout
}

fn inspect(store: &Path, args: &[&str]) -> Value {
    let shown = common::run(common::samplefs(["inspect", "--json"]).arg(store).args(args));
    serde_json::from_str(&shown).unwrap()
}

#[test]
fn cat_and_ls_show_what_the_mount_shows() {
    for store in ["golden/shapenet_store", "golden/drivaer_store"] {
        let store = common::data(store);
        let mount = Mount::new(&store, &[]);
        let (fs, _) = common::open(&store, &[Format::Pt], 1 << 20).unwrap();
        let files = common::files(&fs);
        let views = files.iter().map(|file| format!("subsample_300_7/{file}"));
        for file in files.iter().cloned().chain(views) {
            // Plain files stand beside the manifest and are no part of a view.
            let Ok(mounted) = fs::read(mount.path().join(&file)) else { continue };
            assert!(cat(&store, &file) == mounted, "{file}");
        }
        let dirs = files.iter().filter_map(|file| file.rsplit_once('/')).map(|(dir, _)| dir);
        for dir in dirs.chain([""]) {
            let listed = common::run(common::samplefs(["ls"]).arg(&store).arg(dir));
            let mut listed: Vec<_> = listed.lines().collect();
            listed.sort_unstable();
            let names = fs::read_dir(mount.path().join(dir)).unwrap();
            let mut names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            assert_eq!(listed, names, "{dir}");
        }
        mount.unmount();
    }
}

/// Holds the plan for a range of a file against what a read of it asks of a store.
fn plan_holds(store: &Path, sample: &str, file: &str, range: Range<u64>) {
    let (fs, counted) = common::open(store, &[Format::Pt], 64 << 20).unwrap();
    let path = format!("{sample}/{file}");
    let node = common::walk(&fs, &path).unwrap();
    let range = range.start..range.end.min(node.size);
    let typed = format!("{}..{}", range.start, range.end);
    let plan = &inspect(store, &[&path, "--range", &typed])["plan"];
    let before = (counted.requests(), counted.bytes());
    let mut bytes = Vec::new();
    fs.read(node.number, range.start, (range.end - range.start) as usize, &mut bytes).unwrap();
    let seen = (counted.requests() - before.0, counted.bytes() - before.1);
    // The plan begins when the sample's metadata is there, which is one request; a read that needs
    // nothing of the store does not make it.
    let metadata = fs::metadata(store.join(format!("{sample}.zarr/zarr.json"))).unwrap().len();
    let first = if seen.0 == 0 { (0, 0) } else { (1, metadata) };
    let planned = (plan["requests"].as_u64().unwrap(), plan["fetch"].as_u64().unwrap());
    assert_eq!(seen, (planned.0 + first.0, planned.1 + first.1), "{path} {typed}: {plan}");
}

#[test]
fn the_plan_is_what_a_counting_store_sees() {
    let (_dir, recorded) = common::copy(STORE);
    common::record_checksums(&recorded);
    let (file, view) = ("volume_points.pt", "subsample_300_0/volume_velocity.pt");
    for store in [common::data(STORE), recorded] {
        for range in [0..64, 0..4096, 5_000..5_001, 3_000..20_000, 0..u64::MAX] {
            plan_holds(&store, SAMPLE, file, range);
        }
        // The last begins at the end of the zip: of a view that cuts a chunk, the checksum that
        // stands there costs that chunk.
        for range in [0..u64::MAX, 3_000..3_500, 4_400..u64::MAX] {
            plan_holds(&store, SAMPLE, view, range);
        }
    }
    let odd = common::data("odd/layouts");
    for sample in
        ["unsharded/blosc", "unsharded/one-chunk", "keys/dots", "sharded/several", "sharded/chunk-of-one"]
    {
        for range in [0..u64::MAX, 700..701] {
            plan_holds(&odd, sample, "volume_position.pt", range);
        }
    }
}

#[test]
fn a_plan_names_every_object_and_range() {
    let path = format!("{SAMPLE}/volume_points.pt");
    let store = common::data(STORE);
    let plan = &inspect(&store, &[&path, "--range", "0..4096"])["plan"];
    let shard = fs::read(store.join(format!("{SAMPLE}.zarr/volume/position/c/0/0"))).unwrap();
    let index = &shard[shard.len() - (10 * 16 + 4)..];
    let word = |at: usize| u64::from_le_bytes(index[at * 8..][..8].try_into().unwrap());
    let chunks = plan["chunks"].as_array().unwrap();
    // A prefix of 576 bytes, then rows of 12 in chunks of 256 rows.
    assert_eq!(chunks.len(), 2);
    for (at, (chunk, used)) in chunks.iter().zip([3072, 4096 - 576 - 3072]).enumerate() {
        let (start, size) = (word(2 * at), word(2 * at + 1));
        assert_eq!(chunk["range"], Value::from([start, start + size]));
        assert_eq!((chunk["fetch"].as_u64(), chunk["used"].as_u64()), (Some(size), Some(used)));
        assert_eq!(chunk["object"], format!("{SAMPLE}.zarr/volume/position/c/0/0"));
    }
}

#[test]
fn a_store_is_summed_up() {
    let shown = inspect(&common::data(STORE), &[]);
    assert_eq!((&shown["dataset"], &shown["samples"]), (&"ShapeNetCarDataset".into(), &3.into()));
    assert_eq!(shown["domains"]["volume"]["points"], 7242);
    assert_eq!(shown["domains"]["volume"]["points_a_sample"]["median"], 2396);
    assert_eq!(shown["file_names_from"], "the FileMap known for ShapeNetCarDataset");
    assert_eq!(shown["checksums"], "none recorded");
    let fields: BTreeMap<_, _> = shown["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| (field["name"].as_str().unwrap(), field))
        .collect();
    let sdf = fields["volume_sdf"];
    let parts = ["file", "stored", "served", "width", "chunk_rows", "shard_rows"].map(|key| &sdf[key]);
    let expected: [Value; 6] =
        ["volume_sdf.pt".into(), "float16".into(), "float32".into(), 1.into(), 256.into(), 2560.into()];
    assert_eq!(parts, expected.each_ref());
    // The shards' own sizes on disk, and all values as float32.
    let mut stored = 0;
    let mut open = vec![common::data(STORE)];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => open.push(entry.path()),
                false if entry.file_name() == "0" => stored += entry.metadata().unwrap().len(),
                false => {}
            }
        }
    }
    let bytes = &shown["bytes"];
    assert_eq!(bytes["of_samples_measured"]["stored"], stored);
    assert_eq!(bytes["served"], (1417 * (3 + 1 + 3) + 7242 * (3 + 3 + 3 + 1)) * 4);
}

#[test]
fn recorded_checksums_and_other_names_show() {
    let (_dir, store) = common::copy(STORE);
    common::record_checksums(&store);
    assert_eq!(inspect(&store, &[])["checksums"], "recorded for every chunk");
    let canonical = inspect(&store, &["--filemap", "canonical"]);
    assert_eq!(canonical["file_names_from"], "canonical names");
    assert_eq!(canonical["fields"][0]["file"], "surface_position.pt");
    assert_eq!(inspect(&store, &["--format", "npy"])["fields"][1]["served"], "float16");
}

#[test]
fn nodes_of_every_kind_are_described() {
    let store = common::data("golden/drivaer_store");
    let view = inspect(&store, &["E_S_WWC_WM_005/subsample_100_1/volume_p.pt"]);
    assert_eq!((&view["view"], &view["shape"]), (&"subsample_100_1".into(), &Value::from([100])));
    let parts: u64 = ["prefix", "payload", "suffix"].iter().map(|p| view["bytes"][p].as_u64().unwrap()).sum();
    assert_eq!(view["size"], parts);
    assert_eq!(inspect(&store, &["subsample_100_1"])["kind"], "directory");
    assert_eq!(inspect(&store, &["train_design_ids.txt"])["kind"], "plain file");
}

#[test]
fn what_is_not_there_is_told_with_the_right_exit_code() {
    let store = common::data(STORE);
    let file = format!("{SAMPLE}/volume_points.pt");
    for (command, args, code, said) in [
        ("cat", vec!["no/such"], 1, "no/such: no such name"),
        ("cat", vec![SAMPLE], 1, "is a directory"),
        ("ls", vec!["no"], 1, "no such name"),
        ("inspect", vec![&file, "--range", "0..99999999"], 2, "of a file of"),
        ("inspect", vec![&file, "--range", "5..1"], 2, "no range of bytes"),
        ("inspect", vec![SAMPLE, "--range", "0..1"], 2, "only files of samples"),
    ] {
        let output = common::samplefs([command]).arg(&store).args(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{command} {args:?}");
        assert!(common::stderr(&output).contains(said), "{command} {args:?}: {}", common::stderr(&output));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let store = common::data(STORE);
    for arguments in [vec!["ls"], vec!["inspect"], vec!["stats"], vec!["verify"]] {
        let mut child = common::samplefs(&arguments)
            .arg(&store)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", common::stderr(&output));
        assert_eq!(common::stderr(&output), "", "{arguments:?}");
    }
}
