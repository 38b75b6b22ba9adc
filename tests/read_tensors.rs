//! Every kind of file that torch and numpy save is read, value for value; everything else is
//! refused, by name, and nothing in it is run.

mod common;

use std::fs;
use std::path::Path;

use samplefs::convert::file;
use samplefs::convert::files::LocalFiles;
use samplefs::convert::tensor::Tensor;
use samplefs::error::{Error, Result};
use serde_json::Value;

fn read(path: &Path) -> Result<Tensor> {
    let files = LocalFiles::open(path.parent().unwrap())?;
    file::read(&files, path.file_name().unwrap().to_str().unwrap(), 0, Vec::new())
}

fn files() -> (tempfile::TempDir, Vec<Value>) {
    let directory = tempfile::tempdir().unwrap();
    common::run(common::python("make_tensors.py").args([directory.path()]));
    let index = fs::read(directory.path().join("index.json")).unwrap();
    let Value::Array(index) = serde_json::from_slice(&index).unwrap() else { panic!("a list") };
    (directory, index)
}

#[test]
fn what_torch_and_numpy_save_is_read_and_what_only_looks_like_it_is_refused() {
    let (directory, index) = files();
    assert!(index.len() > 120, "{} files", index.len());
    for entry in &index {
        let name = entry["file"].as_str().unwrap();
        let path = directory.path().join(name);
        match entry["error"].as_str() {
            None => check(name, &read(&path).unwrap_or_else(|e| panic!("{name}: {e}")), entry, &path),
            Some(part) => {
                let error = read(&path).map(|_| ()).expect_err(name);
                let message = error.to_string();
                assert!(message.contains(part) && message.contains(name), "{name}: {message}");
                assert!(message.len() < 400, "{name}: {message}");
            }
        }
    }
    assert!(!directory.path().join("was-run").exists(), "a pickle was executed");
}

fn check(name: &str, tensor: &Tensor, entry: &Value, path: &Path) {
    let layout = tensor.layout();
    let shape: Vec<u64> = serde_json::from_value(entry["shape"].clone()).unwrap();
    assert_eq!(layout.dtype.name(), entry["dtype"].as_str().unwrap(), "{name}");
    assert_eq!(layout.rows as u64, shape[0], "{name}");
    assert_eq!(layout.columns as u64, shape.get(1).copied().unwrap_or(1), "{name}");
    let mut values = Vec::new();
    tensor.gather(0..layout.rows, layout.columns, &mut values);
    let expected = fs::read(path.with_file_name(format!("{name}.bin"))).unwrap();
    assert!(values == expected, "{name}: other values");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let (directory, _) = files();
    for name in ["dtype_float32.pt", "older_float32.pt", "rows_float32.npy"] {
        let whole = fs::read(directory.path().join(name)).unwrap();
        let path = directory.path().join(format!("cut_{name}"));
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let outcome: std::result::Result<_, Error> = read(&path).map(|_| ());
            assert!(outcome.is_err(), "{name} cut to {length} bytes");
        }
    }
}
