//! Settings come from the command line, else a file, else the environment, else the default.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use common::{data, is_mounted, run, samplefs, stderr};
use tempfile::TempDir;

const STORE: &str = "golden/shapenet_store";

fn file(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mount.toml");
    fs::write(&path, text).unwrap();
    (dir, path)
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_command_line_goes_before_the_file_and_the_file_before_the_environment() {
    let (_dir, path) = file("memory-target = '1G'\nthreads = 3\nallow-other = false\nformat = 'npy'\n");
    let mut show = samplefs(["config", "show", "/data/store", "--threads", "4", "--config"]);
    show.arg(&path)
        .env("SAMPLEFS_THREADS", "5")
        .env("SAMPLEFS_MEMORY_TARGET", "2G")
        .env("SAMPLEFS_ALLOW_OTHER", "true")
        .env("SAMPLEFS_UID", "1000")
        .env("SAMPLEFS_GID", "")
        .env("SAMPLEFS_NO_SUCH_THING", "1");
    let shown = stdout(&show.output().unwrap());
    let words: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    let file = format!("{}:", path.display());
    let at = |line| format!("{file}{line}");
    for line in [
        vec!["store", "=", "\"/data/store\"", "#", "command", "line"],
        vec!["#", "mountpoint", "#", "default"],
        vec!["threads", "=", "4", "#", "command", "line"],
        vec!["memory-target", "=", "\"1G\"", "#", &at(1)],
        vec!["allow-other", "=", "false", "#", &at(3)],
        vec!["format", "=", "\"npy\"", "#", &at(4)],
        vec!["uid", "=", "1000", "#", "SAMPLEFS_UID"],
        vec!["#", "gid", "#", "default"],
        vec!["filemap", "=", "\"auto\"", "#", "default"],
    ] {
        assert!(words.contains(&line), "{line:?} is not in\n{shown}");
    }
}

#[test]
fn what_is_shown_is_a_file_that_checks_and_shows_the_same() {
    let mut show = samplefs(["config", "show", "/data/a \"b\"\\c", "/mnt", "--allow-other", "-vv"]);
    let shown = stdout(&show.output().unwrap());
    let (_dir, path) = file(&shown);
    run(samplefs(["config", "check"]).arg(&path));
    let again = stdout(&samplefs(["config", "show", "--config"]).arg(&path).output().unwrap());
    let settings = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.rsplit_once('#').unwrap().0.trim_end().to_owned()).collect()
    };
    assert_eq!(settings(&shown), settings(&again));
}

#[test]
fn every_option_of_mount_is_a_setting() {
    let help = stdout(&samplefs(["mount", "--help"]).output().unwrap());
    let shown = stdout(&samplefs(["config", "show"]).output().unwrap());
    let names: Vec<&str> =
        shown.lines().map(|line| line.trim_start_matches("# ").split_whitespace().next().unwrap()).collect();
    let options = help.split_whitespace().filter_map(|word| word.strip_prefix("--"));
    let mut seen = 0;
    for option in options.map(|option| option.trim_end_matches(['.', ',', ';'])) {
        if !["help", "config", ""].contains(&option) {
            assert!(names.contains(&option), "{option} is not in\n{shown}");
            seen += 1;
        }
    }
    assert!(seen > 8, "{help}");
}

#[test]
fn secrets_in_urls_are_masked() {
    let (_dir, path) = file("store = 'https://me:secret@host/store?signature=secret'\n");
    let shown = stdout(&samplefs(["config", "show", "--config"]).arg(&path).output().unwrap());
    assert!(shown.contains("https://***@host/store?signature=***"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn a_wrong_file_is_refused_with_all_that_is_wrong_in_it() {
    let (_dir, path) = file("store = 'x'\nmemory_target = 1\nthreads = true\n");
    let output = samplefs(["config", "check"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains(":2: unknown key \"memory_target\"\nhint: did you mean memory-target?"), "{said}");
    assert!(said.contains(":3: threads: expected a number or a string, found true"), "{said}");

    let mounted = samplefs(["mount", "--config"]).arg(&path).arg(data(STORE)).arg("/").output().unwrap();
    assert_eq!(mounted.status.code(), Some(2));
    assert!(stderr(&mounted).contains(":2: unknown key"), "{}", stderr(&mounted));
    let missing = samplefs(["mount", "--config", "/no/such/file"]).output().unwrap();
    assert!(stderr(&missing).contains("cannot read the configuration /no/such/file"), "{}", stderr(&missing));
}

#[test]
fn a_wrong_environment_variable_is_refused_by_name() {
    for (variable, value, said) in [
        ("SAMPLEFS_THREADS", "many", "SAMPLEFS_THREADS: invalid digit"),
        ("SAMPLEFS_ALLOW_OTHER", "maybe", "SAMPLEFS_ALLOW_OTHER: \"maybe\" is neither true nor false"),
        ("SAMPLEFS_FORMAT", "pth", "SAMPLEFS_FORMAT: invalid value 'pth'"),
    ] {
        let output = samplefs(["config", "show"]).env(variable, value).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

#[test]
fn a_mount_without_a_store_says_where_one_can_be_given() {
    let output = samplefs(["mount"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no store is given\nhint:"), "{}", stderr(&output));
}

#[test]
fn a_mount_takes_everything_from_its_file_also_that_it_is_a_daemon() {
    let target = tempfile::tempdir().unwrap();
    let store = data(STORE);
    let (_dir, path) = file(&format!(
        "store = {store:?}\nmountpoint = {:?}\nformat = 'both'\ndaemon = true\nuid = 4321\n",
        target.path()
    ));
    let output = samplefs(["mount", "--gid", "77", "--config"]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let listed = run(std::process::Command::new("find").arg(target.path()).args(["-name", "*.npy"]));
    let owner = run(std::process::Command::new("stat").args(["-c", "%u %g"]).arg(target.path()));
    run(samplefs(["unmount"]).arg(target.path()));
    assert!(listed.contains(".npy"), "format = both was not heard");
    assert_eq!(owner.trim(), "4321 77");
    assert!(!is_mounted(target.path()));
}
