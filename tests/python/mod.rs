//! Runs the scripts beside this file with a Python that has torch, numpy and zarr.

#![allow(dead_code)] // Not every test file that includes this needs everything in it.

use std::path::Path;
use std::process::Command;

/// The interpreter: `SAMPLEFS_TEST_PYTHON`, or what `scripts/python-env` prints.
fn interpreter() -> String {
    if let Ok(path) = std::env::var("SAMPLEFS_TEST_PYTHON") {
        return path;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/python-env");
    let output = Command::new(&script).output().expect("scripts/python-env can be run");
    assert!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a path").trim().to_owned()
}

/// Runs `tests/python/<script>` with these arguments; its standard output.
pub fn run(script: &str, arguments: &[&Path]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
    let output = Command::new(interpreter()).arg(path).args(arguments).output().expect("Python can be run");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
