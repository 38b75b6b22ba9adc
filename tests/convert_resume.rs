//! A run that was killed, ran out of space or was stopped goes on where it was, and ends with the
//! store of a run that nothing disturbed.

mod common;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{assert_same, copy_tree, data, tree};

/// A source of the golden samples, each `times` times.
fn source(root: &Path, times: usize) {
    for i in 0..times {
        copy_tree(&data("golden/shapenet_pt"), &root.join(format!("copy{i}")));
    }
    fs::write(root.join("train.txt"), "param0\n").unwrap();
}

fn convert(source: &Path, store: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_samplefs"));
    command.arg("convert").args([source, store]).args(["--filemap", "shapenet-car"]);
    command.args(["--chunk-points", "256", "--workers", "2"]).args(more);
    command.stderr(Stdio::piped());
    command
}

fn output(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// Every group with metadata must be whole; returns how many there are.
fn check_visible(store: &Path, undisturbed: &Path) -> usize {
    let mut whole = 0;
    for copy in fs::read_dir(store).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        let name = copy.file_name().unwrap();
        if !name.to_str().unwrap().starts_with("copy") {
            continue;
        }
        for param in fs::read_dir(&copy).unwrap().map(|entry| entry.unwrap().path()) {
            for group in fs::read_dir(&param).unwrap().map(|entry| entry.unwrap().path()) {
                if group.join("zarr.json").exists() {
                    assert_same(&group, &undisturbed.join(group.strip_prefix(store).unwrap()));
                    whole += 1;
                }
            }
        }
    }
    whole
}

#[test]
fn killed_at_any_point_the_same_command_goes_on_and_ends_with_the_same_store() {
    let directory = tempfile::tempdir().unwrap();
    let (from, undisturbed) = (directory.path().join("source"), directory.path().join("undisturbed"));
    source(&from, 6);
    let started = Instant::now();
    assert_eq!(output(convert(&from, &undisturbed, &[])).0, Some(0));
    let whole_run = started.elapsed();

    let (mut kills, mut progress_seen) = (0, 0);
    for round in 0..4u32 {
        let store = directory.path().join(format!("store{round}"));
        // Steps of no common measure, so that rounds are killed at other points.
        let step = whole_run * (3 + 2 * round) / 40;
        for attempt in 1u32.. {
            let mut child = convert(&from, &store, &[]).spawn().unwrap();
            std::thread::sleep(
                step.saturating_mul(attempt.min(40)) / 2 + Duration::from_millis(u64::from(round)),
            );
            let killed = child.try_wait().unwrap().is_none();
            child.kill().unwrap();
            child.wait().unwrap();
            if !killed {
                break;
            }
            kills += 1;
            let visible = check_visible(&store, &undisturbed);
            progress_seen += usize::from(visible > 0 && visible < 18);
            assert!(visible == 18 || !store.join("manifest.json").exists(), "a manifest before its samples");
        }
        let (code, _) = output(convert(&from, &store, &[]));
        assert!(matches!(code, Some(0 | 1)), "finished already, or finished now");
        assert_same(&store, &undisturbed);
    }
    assert!(kills > 6, "{kills} kills");
    assert!(progress_seen > 0, "half-made stores were seen {progress_seen} times");
}

#[test]
fn samples_that_are_done_are_not_done_again() {
    let directory = tempfile::tempdir().unwrap();
    let (from, store) = (directory.path().join("source"), directory.path().join("store"));
    source(&from, 2);
    // The fourth sample in order is broken: with --on-error fail the run ends there.
    let broken = from.join("copy1/param0/c41ea2177b0cd65aaf5ee1a1938ca886/volume_sdf.pt");
    let good = fs::read(&broken).unwrap();
    fs::write(&broken, "nothing").unwrap();
    let (code, text) = output(convert(&from, &store, &["--on-error", "fail"]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("copy1/param0") && text.contains("volume_sdf"), "{text}");
    assert!(!store.join("manifest.json").exists());
    let done = store.join("copy0/param0/c41ea2177b0cd65aaf5ee1a1938ca886.zarr/zarr.json");
    let before = fs::metadata(&done).unwrap().modified().unwrap();

    let options = store.join(".samplefs-convert/options.json");
    let recorded = fs::read(&options).unwrap();

    fs::write(&broken, good).unwrap();
    let (code, text) = output(convert(&from, &store, &["--on-error", "fail"]));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("there from an earlier run"), "{text}");
    assert_eq!(fs::metadata(&done).unwrap().modified().unwrap(), before);
    let undisturbed = directory.path().join("undisturbed");
    assert_eq!(output(convert(&from, &undisturbed, &[])).0, Some(0));
    assert_same(&store, &undisturbed);

    // As if killed between the manifest and the removal of the staging directory.
    fs::create_dir(options.parent().unwrap()).unwrap();
    fs::write(&options, recorded).unwrap();
    assert_eq!(output(convert(&from, &store, &[])).0, Some(0));
    assert_same(&store, &undisturbed);
}

#[test]
fn a_half_made_store_takes_no_other_options_and_says_which_differ() {
    let directory = tempfile::tempdir().unwrap();
    let (from, store) = (directory.path().join("source"), directory.path().join("store"));
    source(&from, 1);
    fs::write(from.join("copy0/param2/0fa9edcd6a8eca1bf0381d3879d3429a/volume_sdf.pt"), "nothing").unwrap();
    assert_eq!(output(convert(&from, &store, &["--on-error", "fail"])).0, Some(1));
    let other = ["--shuffle-seed", "7", "--field-dtype", "volume_sdf=float32"];
    let (code, text) = output(convert(&from, &store, &other));
    assert_eq!(code, Some(1), "{text}");
    for part in ["shuffle_seed was 0, is now 7", r#"dtype of volume_sdf was "float16", is now "float32""#] {
        assert!(text.contains(part), "{text}");
    }
    let (code, text) = output(convert(&from, &store, &[&other[..], &["--overwrite"]].concat()));
    assert_eq!(code, Some(3), "{text}");
    let afresh = directory.path().join("afresh");
    assert_eq!(output(convert(&from, &afresh, &other)).0, Some(3));
    assert_same(&store, &afresh);
}

#[test]
fn a_finished_store_is_replaced_only_when_asked_and_only_by_a_source_that_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let (from, store) = (directory.path().join("source"), directory.path().join("store"));
    source(&from, 1);
    assert_eq!(output(convert(&from, &store, &[])).0, Some(0));
    let before = tree(&store);
    let (code, text) = output(convert(&from, &store, &[]));
    assert!(code == Some(1) && text.contains("finished store") && text.contains("--overwrite"), "{text}");
    assert_eq!(tree(&store), before);

    let other = directory.path().join("other");
    fs::create_dir(&other).unwrap();
    let (code, text) = output(convert(&other, &store, &["--overwrite"]));
    assert!(code == Some(1) && text.contains("no sample"), "{text}");
    for (path, _) in tree(&from) {
        let path = other.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "nothing").unwrap();
    }
    let (code, text) = output(convert(&other, &store, &["--overwrite"]));
    assert!(code == Some(1) && text.contains("the store is kept"), "{text}");
    assert_eq!(tree(&store), before);

    assert_eq!(output(convert(&from, &store, &["--overwrite", "--shuffle-seed", "9"])).0, Some(0));
    let afresh = directory.path().join("afresh");
    assert_eq!(output(convert(&from, &afresh, &["--shuffle-seed", "9"])).0, Some(0));
    assert_same(&store, &afresh);
}

#[test]
fn a_directory_that_is_no_store_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (from, store) = (directory.path().join("source"), directory.path().join("store"));
    source(&from, 1);
    fs::create_dir(&store).unwrap();
    fs::write(store.join("thesis.tex"), "ten years").unwrap();
    for more in [&[][..], &["--overwrite"]] {
        let (code, text) = output(convert(&from, &store, more));
        assert!(code == Some(1) && text.contains("is not empty and is not a store"), "{text}");
        assert_eq!(tree(&store).len(), 1);
    }
}

#[test]
fn a_store_that_cannot_be_written_ends_the_run_and_a_later_one_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (from, store) = (directory.path().join("source"), directory.path().join("store"));
    source(&from, 1);
    let mut command = convert(&from, &store, &[]);
    // No file may grow beyond 16 KiB: a write fails as on a full disk.
    // SAFETY: both calls only change the child's own limits, and are safe between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            let limit = libc::rlimit { rlim_cur: 16 << 10, rlim_max: 16 << 10 };
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
            Ok(())
        });
    }
    let (code, text) = output(command);
    assert!(code == Some(1) && text.contains("cannot write") && text.contains("goes on"), "{text}");
    assert!(!store.join("manifest.json").exists());
    assert_eq!(output(convert(&from, &store, &[])).0, Some(0));
    let undisturbed = directory.path().join("undisturbed");
    assert_eq!(output(convert(&from, &undisturbed, &[])).0, Some(0));
    assert_same(&store, &undisturbed);
}
