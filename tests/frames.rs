//! `.pt` and `.npy` bytes of many shapes and types load in real torch, new and old, and in numpy.

mod common;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use common::{python, run};
use samplefs::dtype::DType;
use samplefs::format::Format;
use serde_json::{Value, json};

const SHAPES: [(u64, u32); 12] = [
    (0, 1),
    (0, 3),
    (1, 1),
    (1, 3),
    (2, 2),
    (85, 3),
    (255, 1),
    (256, 1),
    (257, 7),
    (65_535, 1),
    (65_536, 1),
    (22_000, 3),
];

/// Values that every type holds.
fn value(index: u64) -> u8 {
    (index % 2) as u8
}

fn stored(dtype: DType, index: u64) -> Vec<u8> {
    let value = value(index);
    match dtype {
        DType::F16 => half::f16::from(value).to_le_bytes().to_vec(),
        DType::F32 => f32::from(value).to_le_bytes().to_vec(),
        DType::F64 => f64::from(value).to_le_bytes().to_vec(),
        integer => u64::from(value).to_le_bytes()[..integer.size()].to_vec(),
    }
}

/// Writes a file of that format and gives its name.
fn write(dir: &Path, format: Format, rows: u64, dim: u32, dtype: DType, crc: bool) -> String {
    let frame = format.frame(rows, dim, dtype);
    let served = format.served(dtype);
    let payload: Vec<u8> = (0..rows * u64::from(dim)).flat_map(|index| stored(served, index)).collect();
    assert_eq!(payload.len() as u64, frame.payload);
    let suffix = format.suffix(rows, dim, if crc { crc32fast::hash(&payload) } else { 0 });
    let name = format.file_name(&format!("{}_{rows}_{dim}_{crc}", dtype.name()));
    fs::write(dir.join(&name), [frame.prefix, payload, suffix].concat()).unwrap();
    name
}

fn check(found: &Value, name: &str, rows: u64, dim: u32, dtype: &str) {
    let shape = if dim == 1 { json!([rows]) } else { json!([rows, dim]) };
    let sum: u64 = (0..rows * u64::from(dim)).map(|index| u64::from(value(index))).sum();
    assert_eq!((&found["shape"], found["dtype"].as_str()), (&shape, Some(dtype)), "{name}");
    assert_eq!(found["sum"].as_f64(), Some(sum as f64), "{name}");
}

fn load(mut python: Command, dir: &Path, names: &[String]) -> Value {
    serde_json::from_str(&run(python.current_dir(dir).args(names))).unwrap()
}

#[test]
fn pt_files_of_any_shape_load_in_new_and_old_torch_with_and_without_checksum() {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<_> = SHAPES
        .iter()
        .flat_map(|(rows, dim)| [true, false].map(|crc| (*rows, *dim, crc)))
        .map(|(rows, dim, crc)| (rows, dim, write(dir.path(), Format::Pt, rows, dim, DType::F32, crc)))
        .collect();
    let names: Vec<String> = files.iter().map(|(_, _, name)| name.clone()).collect();
    let mut all = vec![load(python("frames.py"), dir.path(), &names)];
    if let Ok(old) = std::env::var("SAMPLEFS_TEST_OLD_PYTHON") {
        let mut python = Command::new(old);
        python.arg("-B").arg(common::data("python/frames.py"));
        all.push(load(python, dir.path(), &names));
    }
    for found in all {
        files.iter().for_each(|(rows, dim, name)| check(&found[name], name, *rows, *dim, "float32"));
    }
}

#[test]
fn pt_files_with_their_checksum_pass_unzip_and_zipfile() {
    let dir = tempfile::tempdir().unwrap();
    for (rows, dim) in SHAPES {
        let name = write(dir.path(), Format::Pt, rows, dim, DType::F32, true);
        run(Command::new("unzip").arg("-tq").arg(dir.path().join(&name)));
        run(Command::new("python3").args(["-m", "zipfile", "-t"]).arg(dir.path().join(&name)));
    }
    // The check can fail: without its checksum a file does not pass.
    let name = write(dir.path(), Format::Pt, 2, 2, DType::F32, false);
    assert!(!Command::new("unzip").arg("-tq").arg(dir.path().join(name)).output().unwrap().status.success());
}

#[test]
fn npy_files_of_any_shape_and_type_load_in_numpy() {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<_> = DType::STORED
        .iter()
        .flat_map(|dtype| SHAPES.map(|(rows, dim)| (rows, dim, *dtype)))
        .map(|(rows, dim, dtype)| (rows, dim, dtype, write(dir.path(), Format::Npy, rows, dim, dtype, false)))
        .collect();
    let names: Vec<String> = files.iter().map(|(.., name)| name.clone()).collect();
    let found = load(python("frames.py"), dir.path(), &names);
    files.iter().for_each(|(rows, dim, dtype, name)| check(&found[name], name, *rows, *dim, dtype.name()));
}

#[test]
fn files_of_more_than_4_gib_load_by_their_zip64_records() {
    let dir = tempfile::tempdir().unwrap();
    // 4 GiB less a row, exactly, and more; a row of three values does not divide 4 GiB.
    let shapes = [(1u64 << 30, 1u32), ((1 << 30) - 1, 1), (400_000_000, 3)];
    let mut names = Vec::new();
    for (rows, dim) in shapes {
        for format in [Format::Pt, Format::Npy] {
            let frame = format.frame(rows, dim, DType::F32);
            let name = format.file_name(&format!("large_{rows}_{dim}"));
            let mut file = File::create(dir.path().join(&name)).unwrap();
            file.write_all(&frame.prefix).unwrap();
            file.write_all(&1.5f32.to_le_bytes()).unwrap();
            // What lies between is a hole: the file takes a few blocks of the disk.
            let end = frame.prefix.len() as u64 + frame.payload;
            file.seek(SeekFrom::Start(end - 4)).unwrap();
            file.write_all(&2.5f32.to_le_bytes()).unwrap();
            file.write_all(&format.suffix(rows, dim, 0)).unwrap();
            assert_eq!(file.metadata().unwrap().len(), frame.size());
            names.push((name, rows, dim));
        }
    }
    let mut command = python("frames.py");
    command.current_dir(dir.path()).arg("--ends").args(names.iter().map(|(name, ..)| name));
    let found: Value = serde_json::from_str(&run(&mut command)).unwrap();
    for (name, rows, dim) in &names {
        let shape = if *dim == 1 { json!([rows]) } else { json!([rows, dim]) };
        let got = &found[name];
        assert_eq!(
            (&got["shape"], &got["first"], &got["last"]),
            (&shape, &json!(1.5), &json!(2.5)),
            "{name}"
        );
    }
}
