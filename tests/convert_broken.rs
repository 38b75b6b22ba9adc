//! A broken sample is left out and told, with its field and what is wrong; nothing else suffers.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::convert;
use samplefs::convert::failure::Attempt;
use samplefs::convert::files::LocalFiles;
use samplefs::convert::recipe::Recipe;
use samplefs::convert::source::{Source, Tree};
use samplefs::convert::tensor::Tensor;
use samplefs::convert::{Run, run};
use samplefs::dtype::DType;
use samplefs::error::ErrorKind;
use samplefs::filemap::{FieldSpec, FileMap};
use samplefs::format::npy;
use samplefs::store::access::Access;
use samplefs::store::destination;
use serde_json::Value;

/// A FileMap of three fields in two domains.
const FILEMAP: &str = r#"{"surface_position": "points.pt", "surface_pressure": "pressure.pt",
    "volume_position": "volume.pt"}"#;

fn recipe() -> Recipe {
    Recipe::new("Test", FileMap::from_json(FILEMAP.as_bytes()).unwrap())
}

/// Writes `<stem>.npy` of the given shape.
fn write(sample: &Path, stem: &str, shape: &[u64], dtype: DType, values: &[u8]) {
    fs::create_dir_all(sample).unwrap();
    let mut file = npy::frame(shape, dtype).prefix;
    file.extend(values);
    fs::write(sample.join(format!("{stem}.npy")), file).unwrap();
}

fn floats(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// A sample of `n` surface and `n` volume points.
fn sample(path: &Path, n: u64) {
    let positions = floats((0..3 * n).map(|i| i as f32));
    write(path, "points", &[n, 3], DType::F32, &positions);
    write(path, "pressure", &[n], DType::F32, &floats((0..n).map(|i| i as f32)));
    write(path, "volume", &[n, 3], DType::F32, &positions);
}

/// Samples `a_good` and `z_good`, and between them one for each thing that can be wrong.
fn broken_tree(root: &Path) -> Vec<(&'static str, &'static str, &'static str)> {
    for name in ["a_good", "z_good"] {
        sample(&root.join(name), 10);
    }
    let make = |name: &str| {
        let path = root.join(name);
        sample(&path, 10);
        path
    };
    write(&make("fewer_rows"), "pressure", &[9], DType::F32, &floats([0.0; 9]));
    write(&make("too_narrow"), "volume", &[10, 2], DType::F32, &floats([0.0; 20]));
    let mut peak = [1.0; 10];
    (peak[2], peak[5]) = (f32::NAN, -70_000.0);
    write(&make("overflow"), "pressure", &[10], DType::F32, &floats(peak));
    peak[3] = f32::INFINITY;
    write(&make("infinite"), "pressure", &[10], DType::F32, &floats(peak));
    let integers: Vec<u8> = (65_500i64..65_510).flat_map(i64::to_le_bytes).collect();
    write(&make("integers"), "pressure", &[10], DType::I64, &integers);
    write(&make("no_points"), "points", &[0, 3], DType::F32, &[]);
    fs::write(make("garbage").join("pressure.npy"), "garbage").unwrap();
    let dangling = make("dangling").join("pressure.npy");
    fs::remove_file(&dangling).unwrap();
    std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
    let directory = make("directory").join("pressure.pt");
    std::os::unix::fs::symlink(".", &directory).unwrap();
    vec![
        ("dangling", "surface_pressure", "No such file"),
        ("directory", "surface_pressure", "not a file"),
        ("fewer_rows", "surface_pressure", "it has 9 rows, surface_position has 10"),
        ("garbage", "surface_pressure", "garbage/pressure.npy"),
        ("infinite", "surface_pressure", "peak magnitude inf exceeds float16's limit 65504"),
        ("integers", "surface_pressure", "peak magnitude 65509 exceeds float16's limit 65504"),
        ("no_points", "surface_position", "no points"),
        ("overflow", "surface_pressure", "peak magnitude 70000 exceeds float16's limit 65504"),
        ("too_narrow", "volume_position", "(10, 2)"),
    ]
}

#[test]
fn each_broken_sample_is_skipped_with_its_field_and_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let (source, store) = (directory.path().join("source"), directory.path().join("store"));
    let expected = broken_tree(&source);
    let summary = convert(&source, &store, &recipe(), None, &Run::default()).unwrap();
    assert_eq!((summary.samples, summary.written), (11, 2));
    assert_eq!(summary.skipped.len(), expected.len());
    for (skipped, (name, field, reason)) in summary.skipped.iter().zip(expected) {
        assert_eq!((skipped.sample.as_str(), skipped.field.as_str()), (name, field));
        assert!(skipped.reason.contains(reason), "{name}: {}", skipped.reason);
    }
    let remedies: Vec<_> = summary.skipped.iter().filter_map(|skipped| skipped.hint.as_deref()).collect();
    assert_eq!(remedies[0], "store it as float32: --field-dtype surface_pressure=float32");
    let manifest: Value = serde_json::from_slice(&fs::read(store.join("manifest.json")).unwrap()).unwrap();
    assert!(manifest["samples"].as_object().unwrap().keys().eq(["a_good", "z_good"]));
    let mut entries: Vec<_> = fs::read_dir(&store).unwrap().map(|e| e.unwrap().file_name()).collect();
    entries.sort();
    assert_eq!(entries, ["a_good.zarr", "manifest.json", "z_good.zarr"]);
}

#[test]
fn a_file_of_holes_that_is_longer_than_memory_is_refused_unread() {
    let directory = tempfile::tempdir().unwrap();
    let (source, store) = (directory.path().join("source"), directory.path().join("store"));
    sample(&source.join("holes"), 10);
    let rows = 1u64 << 40;
    let frame = npy::frame(&[rows], DType::F32);
    let path = source.join("holes/pressure.npy");
    fs::write(&path, &frame.prefix).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(frame.size()).unwrap();
    let summary = convert(&source, &store, &recipe(), None, &Run::default()).unwrap();
    assert!(summary.skipped[0].reason.contains("bytes of memory are left"), "{:?}", summary.skipped);
}

#[test]
fn the_remedy_that_an_overflow_names_works() {
    let directory = tempfile::tempdir().unwrap();
    let (source, store) = (directory.path().join("source"), directory.path().join("store"));
    broken_tree(&source);
    let field_dtypes = vec![("surface_pressure".to_owned(), DType::F32)];
    let recipe = Recipe { field_dtypes, ..recipe() };
    let summary = convert(&source, &store, &recipe, None, &Run::default()).unwrap();
    for cured in ["overflow", "infinite", "integers"] {
        assert!(store.join(format!("{cured}.zarr/zarr.json")).exists());
        assert!(summary.skipped.iter().all(|skipped| skipped.sample != cured));
    }
}

#[test]
fn exit_codes_and_report_tell_how_it_went() {
    let directory = tempfile::tempdir().unwrap();
    let (source, filemap) = (directory.path().join("source"), directory.path().join("filemap.json"));
    fs::write(&filemap, FILEMAP).unwrap();
    broken_tree(&source);
    let report = directory.path().join("report.json");
    let store = |name: &str| directory.path().join(name);
    let convert = |source: &Path, store: &Path, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_samplefs"));
        command.arg("convert").args([source, store]).arg("--filemap").arg(&filemap);
        let output = command.args(more).arg("--report").arg(&report).output().unwrap();
        let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap(), report)
    };

    let (code, text, json) = convert(&source, &store("some"), &[]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("2 of 11 samples") && text.contains("9 skipped"), "{text}");
    assert_eq!(json["summary"]["written"], 2);
    assert_eq!(json["summary"]["skipped"][2]["sample"], "fewer_rows");

    let (code, text, json) = convert(&source, &store("first"), &["--limit", "1"]);
    assert_eq!((code, &json["summary"]["samples"]), (Some(0), &Value::from(1)), "{text}");

    let (code, text, json) = convert(&source, &store("stop"), &["--on-error", "fail", "--workers", "1"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(json["error"].as_str().unwrap().contains("sample dangling, surface_pressure"), "{json}");

    fs::remove_dir_all(source.join("a_good")).unwrap();
    fs::remove_dir_all(source.join("z_good")).unwrap();
    let (code, text, json) = convert(&source, &store("none"), &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("every sample failed"), "{text}");
    assert_eq!(json["summary"]["skipped"].as_array().unwrap().len(), 9);
    assert_eq!(fs::read_dir(store("none")).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn what_is_no_sample_is_counted_and_root_files_stand_beside_the_manifest() {
    let directory = tempfile::tempdir().unwrap();
    let (source, store) = (directory.path().join("source"), directory.path().join("store"));
    for name in ["b/1", "b/2", "b-c", "B"] {
        sample(&source.join(name), 3);
    }
    fs::write(source.join("b/1/notes.txt"), "").unwrap();
    fs::write(source.join("b/2/mesh.vtk"), "").unwrap();
    sample(&source.join("incomplete"), 3);
    fs::remove_file(source.join("incomplete/volume.npy")).unwrap();
    fs::write(source.join("train.txt"), "b/1\n").unwrap();
    fs::write(source.join("manifest.json"), "not this one").unwrap();

    let tree = tree(&source);
    assert_eq!(tree.samples(), ["B", "b-c", "b/1", "b/2"], "the order of ids, not of directories");
    assert_eq!(tree.incomplete, 1);
    assert_eq!(tree.unnamed, Some((2, "b/1/notes.txt".to_owned())));
    convert(&source, &store, &recipe(), None, &Run::default()).unwrap();
    assert_eq!(fs::read_to_string(store.join("train.txt")).unwrap(), "b/1\n");
    assert!(fs::read_to_string(store.join("manifest.json")).unwrap().contains("dataset_name"));
}

fn tree(root: &Path) -> Tree {
    Tree::discover(Box::new(LocalFiles::open(root).unwrap()), None, &recipe().filemap, None).unwrap()
}

/// A source whose files are taken away while it is read.
struct Vanishing {
    tree: Tree,
    root: PathBuf,
}

impl Source for Vanishing {
    fn name(&self) -> String {
        self.tree.name()
    }

    fn samples(&self) -> &[String] {
        self.tree.samples()
    }

    fn bytes(&self, sample: usize) -> u64 {
        self.tree.bytes(sample)
    }

    fn largest(&self) -> u64 {
        self.tree.largest()
    }

    fn load(&self, sample: usize, field: &FieldSpec, buffer: Vec<u8>) -> Attempt<Tensor> {
        if sample == 2 {
            fs::remove_dir_all(&self.root).unwrap();
        }
        self.tree.load(sample, field, buffer)
    }
}

#[test]
fn a_source_that_vanishes_ends_the_run_and_once_it_is_back_the_run_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (source, store) = (directory.path().join("source"), directory.path().join("store"));
    let fill = || ["1", "2", "3", "4"].iter().for_each(|name| sample(&source.join(name), 50));
    fill();
    let vanishing = Vanishing { tree: tree(&source), root: source.clone() };
    let how = Run { workers: 1, ..Run::default() };
    let destination = destination::open(&store.clone().into(), &Access::default()).unwrap();
    let error = run(&vanishing, &*destination, &recipe(), &how).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(!store.join("manifest.json").exists());
    fill();
    let summary = convert(&source, &store, &recipe(), None, &how).unwrap();
    assert_eq!((summary.found_done, summary.written), (2, 2));
}

#[test]
fn a_view_that_repeats_one_row_without_end_costs_no_memory() {
    // Only a .pt can claim this; the position of such a sample is refused before its permutation.
    let directory = tempfile::tempdir().unwrap();
    let mut recipe = recipe();
    recipe.filemap = FileMap::from_json(br#"{"surface_position": "points.pt"}"#).unwrap();
    let path = directory.path().join("source/one");
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("points.pt"), endless_points()).unwrap();
    let store = directory.path().join("store");
    let summary = convert(&directory.path().join("source"), &store, &recipe, None, &Run::default()).unwrap();
    assert!(summary.skipped[0].reason.contains("points of a storage of 3 values"), "{:?}", summary.skipped);
}

/// torch's older format: 2^60 rows, all of them the three values at the end.
fn endless_points() -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    file.extend(b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s.");
    file.extend(
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n",
    );
    file.extend(b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x03NtQK\x00\x8a\x08");
    file.extend((1u64 << 60).to_le_bytes());
    file.extend(b"K\x03\x86K\x00K\x01\x86\x89ccollections\nOrderedDict\n)RtR.");
    file.extend(b"\x80\x02]X\x01\x00\x00\x000a.");
    file.extend(3u64.to_le_bytes());
    file.extend(floats([1.0, 2.0, 3.0]));
    file
}
