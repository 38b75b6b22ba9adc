//! A mount's beginning and end: what ends it ends it cleanly, and nothing is left.

mod common;

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Mount, data, is_mounted, run, samplefs, stderr};

const STORE: &str = "golden/drivaer_store";
const FILE: &str = "E_S_WWC_WM_005/volume_U.pt";

#[test]
fn signals_end_a_mount_cleanly_also_while_files_are_open() {
    for signal in ["-INT", "-TERM"] {
        for open in [false, true] {
            let mount = Mount::new(&data(STORE), &[]);
            let held = open.then(|| File::open(mount.path().join(FILE)).unwrap());
            mount.signal(signal);
            let (status, log) = mount.ended();
            assert_eq!(status.code(), Some(0), "{signal}: {log}");
            assert!(log.contains("unmounted"), "{log}");
            drop(held);
        }
    }
}

/// Reads a file of the mount from the store, again and again, until that fails: how often it could.
fn read_on(mount: &Mount, stop_after: usize) -> std::thread::JoinHandle<usize> {
    let mut file = File::open(mount.path().join(FILE)).unwrap();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        (0..stop_after)
            .take_while(|_| {
                rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
                file.rewind().is_ok() && file.read_to_end(&mut bytes).is_ok()
            })
            .count()
    })
}

#[test]
fn who_reads_when_a_mount_ends_may_finish() {
    let mount = Mount::new(&data(STORE), &["--grace", "60"]);
    let (target, reader) = (mount.path().to_owned(), read_on(&mount, 1000));
    mount.signal("-TERM");
    assert_eq!(reader.join().unwrap(), 1000);
    let (status, log) = mount.ended();
    assert!(status.success() && !log.contains("given up"), "{log}");
    assert!(!is_mounted(&target));
}

#[test]
fn a_second_signal_and_the_end_of_grace_end_a_mount_at_once() {
    let mount = Mount::new(&data(STORE), &["--grace", "600"]);
    let reader = read_on(&mount, usize::MAX);
    mount.signal("-TERM");
    while is_mounted(mount.path()) {
        std::thread::yield_now();
    }
    mount.signal("-INT");
    let (status, log) = mount.ended();
    assert!(status.success() && log.contains("a second signal"), "{log}");
    reader.join().unwrap();

    let mount = Mount::new(&data(STORE), &["--grace", "0"]);
    let reader = read_on(&mount, usize::MAX);
    mount.signal("-TERM");
    let (status, log) = mount.ended();
    assert!(status.success() && log.contains("still being read after 0 s"), "{log}");
    reader.join().unwrap();
}

#[test]
fn unmounting_by_any_command_ends_the_process_with_0() {
    let commands: [&[&str]; 3] = [&["umount"], &["fusermount3", "-u"], &["umount", "-l"]];
    for command in commands {
        let mount = Mount::new(&data(STORE), &[]);
        run(Command::new(command[0]).args(&command[1..]).arg(mount.path()));
        let (status, log) = mount.ended();
        assert_eq!(status.code(), Some(0), "{command:?}: {log}");
    }
}

#[test]
fn samplefs_unmount_works_while_a_file_is_open() {
    let mount = Mount::new(&data(STORE), &[]);
    let mut held = File::open(mount.path().join(FILE)).unwrap();
    let output = samplefs(["umount"]).arg(mount.path()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!is_mounted(mount.path()));
    // The file stays readable until it is closed; then the process ends.
    let mut bytes = Vec::new();
    held.read_to_end(&mut bytes).unwrap();
    assert!(bytes.starts_with(b"PK"));
    drop(held);
    assert_eq!(mount.ended().0.code(), Some(0));
}

#[test]
fn a_daemon_returns_when_the_mount_answers_and_is_gone_after_unmount() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("mount point");
    let log = dir.path().join("log");
    fs::create_dir(&target).unwrap();
    let mut command = samplefs(["mount", "--daemon", "--log-file"]);
    command.arg(&log).arg(data(STORE)).arg(&target);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("is mounted at"), "{}", stderr(&output));
    assert!(fs::read(target.join(FILE)).unwrap().starts_with(b"PK"));
    run(samplefs(["unmount"]).arg(&target));
    assert!(!is_mounted(&target));
    assert!(fs::metadata(target.join(FILE)).is_err());
}

#[test]
fn a_daemon_that_cannot_mount_says_why_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let output = samplefs(["mount", "--daemon"]).arg(dir.path()).arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("manifest.json: no such file"), "{}", stderr(&output));
}

#[test]
fn a_dead_mount_is_cleared_at_the_next_start() {
    let mut mount = Mount::new(&data(STORE), &[]);
    let target = mount.path().to_owned();
    mount.kill();
    assert_eq!(fs::metadata(&target).unwrap_err().raw_os_error(), Some(libc::ENOTCONN));

    let mut command = samplefs(["mount", "--daemon"]);
    let output = command.arg(data(STORE)).arg(&target).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(fs::metadata(target.join(FILE)).unwrap().is_file());
    run(samplefs(["unmount"]).arg(&target));
}

#[test]
fn a_mount_point_that_is_in_use_is_refused_and_left_alone() {
    let mount = Mount::new(&data(STORE), &[]);
    let output = samplefs(["mount", "--daemon"]).arg(data(STORE)).arg(mount.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("is mounted at") && stderr(&output).contains("hint: samplefs unmount"));
    assert!(fs::read(mount.path().join(FILE)).unwrap().starts_with(b"PK"));
    mount.unmount();
}

#[test]
fn what_is_no_samplefs_mount_is_not_unmounted() {
    let dir = tempfile::tempdir().unwrap();
    for (target, said) in [(dir.path(), "not mounted"), (Path::new("/proc"), "is a proc mount")] {
        let output = samplefs(["unmount"]).arg(target).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{target:?}");
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

#[test]
fn a_relative_store_and_mount_point_are_those_of_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("m")).unwrap();
    std::os::unix::fs::symlink(data(STORE), dir.path().join("store")).unwrap();
    let mut command = samplefs(["mount", "--daemon", "store", "m"]);
    let output = command.current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(fs::read(dir.path().join("m").join(FILE)).unwrap().starts_with(b"PK"));
    run(samplefs(["umount", "m"]).current_dir(dir.path()));
}

#[test]
fn a_store_can_be_mounted_over_itself() {
    let (_dir, store) = common::copy(STORE);
    let output = samplefs(["mount", "--daemon"]).arg(&store).arg(&store).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(fs::read(store.join(FILE)).unwrap().starts_with(b"PK"));
    assert!(!store.join("manifest.json").exists());
    run(samplefs(["unmount"]).arg(&store));
    assert!(store.join("manifest.json").exists());
}

#[test]
fn owner_modes_and_times_are_as_promised_and_writing_is_refused() {
    let mount = Mount::new(&data(STORE), &["--uid", "1234", "--gid", "5678"]);
    let manifest = fs::metadata(data(STORE).join("manifest.json")).unwrap();
    let file = fs::metadata(mount.path().join(FILE)).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (1234, 5678, 0o444));
    assert_eq!((file.mtime(), file.mtime_nsec()), (manifest.mtime(), manifest.mtime_nsec()));
    assert_eq!(file.blocks(), file.size().div_ceil(512));
    let dir = fs::metadata(mount.path().join("E_S_WWC_WM_005")).unwrap();
    assert_eq!((dir.mode() & 0o7777, dir.nlink()), (0o555, 2));
    for failed in [
        fs::write(mount.path().join("new"), "x"),
        fs::write(mount.path().join(FILE), "x"),
        fs::remove_file(mount.path().join(FILE)),
        fs::create_dir(mount.path().join("d")),
        fs::rename(mount.path().join(FILE), mount.path().join("x")),
    ] {
        assert_eq!(failed.unwrap_err().raw_os_error(), Some(libc::EROFS));
    }
    let long = fs::metadata(mount.path().join("x".repeat(256))).unwrap_err();
    assert_eq!(long.raw_os_error(), Some(libc::ENAMETOOLONG));
    let through = fs::metadata(mount.path().join(FILE).join("x")).unwrap_err();
    assert_eq!(through.raw_os_error(), Some(libc::ENOTDIR));
}

#[test]
fn a_user_without_root_can_mount_and_unmount() {
    // As nobody, in a directory of its own; /dev/fuse must be readable for it, as it is on most systems.
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("m");
    let binary = dir.path().join("samplefs");
    fs::create_dir(&target).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_samplefs"), &binary).unwrap();
    let (_store, store) = common::copy(STORE);
    let opened = [dir.path(), &binary, store.parent().unwrap()];
    run(Command::new("chmod").arg("755").args(opened));
    run(Command::new("chmod").arg("-R").arg("a+rX").arg(&store));
    run(Command::new("chown").arg("nobody").arg(&target));
    let before = fs::metadata("/dev/fuse").unwrap().mode();
    run(Command::new("chmod").args(["666", "/dev/fuse"]));

    let nobody = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).stdin(Stdio::null());
        command
    };
    let mut mount = nobody();
    let output = mount.arg(&binary).args(["mount", "--daemon"]).arg(&store).arg(&target).output().unwrap();
    let read = nobody().args(["head", "-c", "2"]).arg(target.join(FILE)).output().unwrap();
    let other = Command::new("head").arg(target.join(FILE)).output().unwrap();
    let unmounted = nobody().arg(&binary).arg("unmount").arg(&target).output().unwrap();
    run(Command::new("chmod").args([&format!("{:o}", before & 0o7777), "/dev/fuse"]));

    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(read.stdout, b"PK", "{}", stderr(&read));
    assert!(!other.status.success(), "without --allow-other even root is shut out");
    assert!(unmounted.status.success(), "{}", stderr(&unmounted));
    assert!(!is_mounted(&target));
}
