//! What the README shows works: its shell examples run as they stand, one after the other.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// The blocks of the README in that language.
fn blocks<'a>(readme: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    readme.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_shell_examples_run_as_they_stand() {
    let readme = include_str!("../README.md");
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_samplefs"), bin.join("samplefs")).unwrap();
    let python = common::python("frames.py").get_program().to_owned();
    // A link would hide from Python which environment it belongs to.
    fs::write(bin.join("python"), format!("#!/bin/sh\nexec {} \"$@\"\n", python.display())).unwrap();
    common::run(Command::new("chmod").arg("+x").arg(bin.join("python")));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());

    // The two commands are scripts that run this test themselves.
    let examples: Vec<_> = blocks(readme, "sh").into_iter().filter(|b| !b.contains("scripts/")).collect();
    assert!(examples.len() >= 2, "the README lost its examples");
    for example in examples {
        let mut shell = Command::new("bash");
        shell.args(["-e", "-u", "-o", "pipefail", "-c", example]).env("PATH", &path).current_dir(dir.path());
        common::run(&mut shell);
    }
    assert!(!common::is_mounted(&dir.path().join("mnt")));
}

#[test]
fn every_script_that_the_readme_names_is_there() {
    let readme = include_str!("../README.md");
    for name in ["demo", "test", "lint", "deny", "bench", "fixtures", "python-env"] {
        assert!(readme.contains(&format!("scripts/{name}")), "the README does not tell of scripts/{name}");
        assert!(Path::new("scripts").join(name).is_file(), "{name}");
    }
}
