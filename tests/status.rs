//! What mounts tell of themselves over their sockets, whatever state they are in.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use common::{Mount, run, samplefs, stderr};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use samplefs::error::Result;
use samplefs::format::Format;
use samplefs::fs::{Filesystem, Options, Prefetch};
use samplefs::fuse::{self, MountOptions, mounts};
use samplefs::layout::names::FileNames;
use samplefs::status::Watched;
use samplefs::store::local::Local;
use samplefs::store::{Found, Objects, Part, PlainFile, Version};
use serde_json::Value;

const STORE: &str = "golden/drivaer_store";
const FILE: &str = "E_S_WWC_WM_005/volume_U.pt";

fn status(mountpoint: &Path) -> Value {
    serde_json::from_str(&run(samplefs(["status", "--json"]).arg(mountpoint))).unwrap()
}

/// The status of every mount of this user, those of other tests among them.
fn all() -> Vec<Value> {
    serde_json::from_str(&run(&mut samplefs(["status", "--json"]))).unwrap()
}

fn directory() -> PathBuf {
    if geteuid().is_root() {
        "/run/samplefs".into()
    } else {
        PathBuf::from(std::env::var("XDG_RUNTIME_DIR").unwrap()).join("samplefs")
    }
}

#[test]
fn a_mount_tells_what_it_shows_and_what_it_has_done() {
    let mount = Mount::new(&common::data(STORE), &["--memory-target", "4M"]);
    let file = File::open(mount.path().join(FILE)).unwrap();
    file.read_exact_at(&mut [0; 4096], 8192).unwrap();
    drop(file);
    assert!(fs::metadata(mount.path().join("subsample_5_0")).unwrap().is_dir());

    let told = status(mount.path());
    assert_eq!(told["mountpoint"], mount.path().to_str().unwrap());
    assert_eq!(told["store"], common::data(STORE).to_str().unwrap());
    assert_eq!((&told["dataset"], &told["samples"]), (&"DrivAerNetDataset".into(), &3.into()));
    assert_eq!((&told["pid"], &told["views_in_use"]), (&mount.pid().into(), &1.into()));
    assert!(told["bytes_served"].as_u64().unwrap() >= 4096);
    assert!(told["read_amplification"].as_f64().unwrap() > 0.0);
    assert_eq!(told["memory"]["cache_limit"], 3 << 20);
    assert!(told["memory"]["cache"].as_u64().unwrap() <= 3 << 20);
    assert_eq!(
        (&told["failures"]["invalid"], &told["last_failures"]),
        (&0.into(), &Value::Array(Vec::new()))
    );

    assert!(all().iter().any(|other| other["mountpoint"] == told["mountpoint"]));
    let outline = run(samplefs(["status"]).arg(mount.path()));
    assert!(outline.lines().any(|line| line.starts_with("dataset") && line.ends_with(" DrivAerNetDataset")));
    let found = fs::metadata(directory()).unwrap();
    assert_eq!((found.mode() & 0o777, found.uid()), (0o700, geteuid().as_raw()));
    mount.unmount();
}

#[test]
fn failures_are_counted_kept_and_told_in_the_log_once_with_how_many_more() {
    let (_dir, store) = common::copy(STORE);
    let shard = store.join("E_S_WWC_WM_005.zarr/volume/velocity/c/0/0");
    fs::write(&shard, &fs::read(&shard).unwrap()[..100]).unwrap();
    let mount = Mount::new(&store, &[]);
    for _ in 0..30 {
        assert_eq!(fs::read(mount.path().join(FILE)).unwrap_err().raw_os_error(), Some(libc::EIO));
    }
    let told = status(mount.path());
    let failed = told["failures"]["invalid"].as_u64().unwrap();
    assert!(failed >= 30, "{told}");
    assert!(told["chunks"]["integrity_failures"].as_u64().unwrap() >= 30);
    let last = told["last_failures"].as_array().unwrap();
    assert_eq!(
        (last.len(), &last[15]["operation"], &last[15]["kind"]),
        (16, &"read".into(), &"invalid".into())
    );
    assert!(last[15]["message"].as_str().unwrap().contains("volume/velocity"), "{last:?}");

    let log = mount.unmount();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("WARN")).collect();
    let (more, lines): (Vec<&str>, Vec<_>) =
        lines.into_iter().partition(|line| line.contains("more like this"));
    assert!((1..=10).contains(&lines.len()), "{log}");
    let held = failed - lines.len() as u64;
    assert!(
        more.len() == 1 && more[0].contains(&format!("… {held} more like this in the last 60 s")),
        "{log}"
    );
    assert!(log.contains(&format!("failed={failed}")), "{log}");
}

/// A store that answers reads of velocities when it is told to.
struct Stalled(Local, Mutex<Receiver<()>>);

impl Objects for Stalled {
    fn location(&self) -> String {
        self.0.location()
    }

    fn read(
        &self,
        path: &str,
        part: Part,
        expected: Option<&Version>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        if path.contains("velocity/c/") {
            // An error is that the test is over, which is as good.
            _ = self.1.lock().unwrap().recv();
        }
        self.0.read(path, part, expected, buffer)
    }

    fn list(&self) -> Result<Vec<PlainFile>> {
        self.0.list()
    }
}

#[test]
fn a_mount_whose_every_thread_hangs_tells_its_status() {
    let dir = tempfile::tempdir().unwrap();
    let (go_on, stalled) = channel();
    let objects = Arc::new(Stalled(Local::open(&common::data(STORE)).unwrap(), Mutex::new(stalled)));
    let options = Options {
        names: FileNames::Auto,
        formats: &[Format::Pt],
        cache: 1 << 20,
        prefetch: Prefetch::Auto,
        metrics: Arc::default(),
    };
    let fs = Arc::new(Filesystem::open(objects, &options).unwrap());
    let options = MountOptions {
        target: dir.path().canonicalize().unwrap(),
        source: "stalled".to_owned(),
        allow_other: false,
        owner: (0, 0),
        threads: 1,
        grace: Duration::ZERO,
        xattrs: true,
    };
    let mounted = fuse::mount(Arc::clone(&fs), &options, None).unwrap();
    let watched = Watched {
        fs,
        mountpoint: options.target.clone(),
        store: "stalled".to_owned(),
        cache_limit: 1 << 20,
        since: SystemTime::now(),
        metrics: None,
    };
    let answering = watched.answer().unwrap();
    // A process of its own: a file that this one had open would be closed, and so the mount asked, by every
    // command that it starts.
    let mut head = Command::new("head");
    head.args(["-c", "2"]).arg(options.target.join(FILE)).stdin(Stdio::null()).stdout(Stdio::piped());
    let reading = head.spawn().unwrap();
    // The one thread of the mount has the read once it is counted; the mount then answers nothing.
    while status(&options.target)["requests_in_flight"] != 1 {}
    assert_eq!(status(&options.target)["store"], "stalled");
    drop(go_on);
    assert_eq!(reading.wait_with_output().unwrap().stdout, b"PK");
    drop(answering);
    assert_eq!(samplefs(["status"]).arg(&options.target).output().unwrap().status.code(), Some(1));
    mounts::unmount(&options.target).unwrap();
    mounted.wait(false).unwrap();
}

#[test]
fn sockets_of_killed_mounts_are_taken_away_and_their_place_is_free() {
    let mut mount = Mount::new(&common::data(STORE), &[]);
    let target = mount.path().to_owned();
    let sockets = || fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let before: Vec<_> = sockets().collect();
    mount.kill();
    let output = samplefs(["status"]).arg(&target).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no samplefs of this user serves"), "{}", stderr(&output));
    assert!(all().iter().all(|other| other["mountpoint"] != target.to_str().unwrap()));
    assert!(before.iter().any(|socket| !socket.exists()), "the dead socket was there and is gone");

    run(samplefs(["mount", "--daemon"]).arg(common::data(STORE)).arg(&target));
    assert_eq!(status(&target)["mountpoint"], target.to_str().unwrap());
    run(samplefs(["unmount"]).arg(&target));
}

#[test]
fn sigusr1_writes_the_status_to_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mount = Mount::new(&common::data(STORE), &["--log-file", log.to_str().unwrap()]);
    kill_process(Pid::from_raw(mount.pid() as i32).unwrap(), Signal::USR1).unwrap();
    // The mount goes on; the line comes from a thread of its own.
    let line = loop {
        let text = fs::read_to_string(&log).unwrap();
        if let Some(line) = text.lines().find(|line| line.contains("status: ") && line.ends_with('}')) {
            break line.to_owned();
        }
        assert!(fs::metadata(mount.path().join(FILE)).unwrap().is_file());
    };
    let told: Value = serde_json::from_str(line.split_once("status: ").unwrap().1).unwrap();
    assert_eq!(told["mountpoint"], mount.path().to_str().unwrap());
    mount.unmount();
}

#[test]
fn without_a_session_directory_a_user_is_told_where_one_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("samplefs");
    fs::copy(env!("CARGO_BIN_EXE_samplefs"), &binary).unwrap();
    run(Command::new("chmod").arg("755").args([dir.path(), &binary]));
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).stdin(Stdio::null());
    let output = command.arg(&binary).arg("status").env_remove("XDG_RUNTIME_DIR").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("XDG_RUNTIME_DIR names no directory"), "{}", stderr(&output));
}
