//! The log of a mount in its forms.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::{Mount, is_mounted, run, samplefs};
use serde_json::Value;
use tempfile::TempDir;

const FILE: &str = "E_S_WWC_WM_005/volume_U.pt";

/// A store of which [`FILE`] cannot be read.
fn broken() -> (TempDir, PathBuf) {
    let (dir, store) = common::copy("golden/drivaer_store");
    fs::write(store.join("E_S_WWC_WM_005.zarr/volume/velocity/c/0/0"), "short").unwrap();
    (dir, store)
}

#[test]
fn as_json_every_line_is_an_object_with_level_message_and_fields() {
    let (dir, store) = broken();
    let log = dir.path().join("log");
    let mount = Mount::new(&store, &["--log-format", "json", "--log-file", log.to_str().unwrap()]);
    assert!(fs::read(mount.path().join(FILE)).is_err());
    mount.unmount();
    let text = fs::read_to_string(log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed = lines.iter().find(|line| line["operation"] == "read").unwrap();
    assert_eq!(failed["level"], "WARN");
    assert!(failed["message"].as_str().unwrap().contains("volume/velocity") && failed["hint"].is_string());
    let summary = lines.last().unwrap();
    assert_eq!(summary["message"], "unmounted");
    assert!(summary["failed"].as_u64().unwrap() >= 1 && summary["bytes_fetched"].as_u64().unwrap() > 0);
}

/// What a mount that fails a read says on a stderr that JOURNAL_STREAM describes so.
fn said(describe: impl Fn(&Path) -> String) -> String {
    let (dir, store) = broken();
    let (target, log) = (dir.path().join("m"), dir.path().join("stderr"));
    fs::create_dir(&target).unwrap();
    let stderr = File::create(&log).unwrap();
    let mut command = samplefs(["mount"]);
    command.arg(&store).arg(&target).env("JOURNAL_STREAM", describe(&log));
    let mut child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    while !is_mounted(&target) {
        assert!(child.try_wait().unwrap().is_none(), "{}", fs::read_to_string(&log).unwrap());
    }
    assert!(fs::read(target.join(FILE)).is_err());
    run(samplefs(["unmount"]).arg(&target));
    assert!(child.wait().unwrap().success());
    fs::read_to_string(&log).unwrap()
}

#[test]
fn lines_to_the_journal_carry_priorities_and_neither_time_nor_level() {
    let log = said(|stderr| {
        let found = fs::metadata(stderr).unwrap();
        format!("{}:{}", found.dev(), found.ino())
    });
    assert!(log.lines().any(|line| line.starts_with("<4>") && line.contains("volume/velocity")), "{log}");
    assert!(log.lines().any(|line| line.starts_with("<6>unmounted ")), "{log}");

    let log = said(|_| "1:1".to_owned());
    assert!(log.lines().any(|line| line.contains(" WARN ") && line.contains("volume/velocity")), "{log}");
    assert!(!log.contains("<4>"), "stderr is not that journal: {log}");
}
