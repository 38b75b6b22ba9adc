//! A mount from its beginning to its end.
//!
//! fuser's own teardown is not used: it unmounts by path, and so whatever is mounted there by
//! then. The session is never dropped while the mount stands; a mount ends by being detached from
//! its place, by us or by anyone, and the process ends when its last request is answered.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use fuser::{Config, MountOption, Session, SessionACL};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Kernel, mounts};
use crate::error::{Error, Result};
use crate::fs::Filesystem;
use crate::metrics::Requests;

/// How long requests that are being answered may still take when the mount ends.
const GRACE: Duration = Duration::from_secs(10);

/// KiB that the kernel reads ahead. The default of 128 costs a third of the throughput; more than
/// 1 MiB makes random page faults fetch several times what they need.
const READ_AHEAD_KB: &str = "1024";

/// What a mount needs to know.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// Where.
    pub target: PathBuf,
    /// What the table of mounts shows as the source.
    pub source: String,
    /// Whether users other than the one who mounts may read.
    pub allow_other: bool,
    /// Whom files belong to.
    pub owner: (u32, u32),
    /// Threads that answer requests.
    pub threads: usize,
    /// Whether nodes have extended attributes.
    pub xattrs: bool,
}

/// A mount that answers.
pub struct Mounted {
    target: PathBuf,
    requests: Arc<Requests>,
    ends: Receiver<End>,
}

/// Why a mount ended.
#[derive(Debug)]
enum End {
    /// It was unmounted, by whomever, and no file is open any more.
    Unmounted(std::io::Result<()>),
    /// A signal asked for it.
    Signal(i32),
}

/// Mounts a filesystem. When this returns, the mount answers.
///
/// # Errors
/// A mount point that is none, a system that refuses.
pub fn mount(fs: Arc<Filesystem>, options: &MountOptions) -> Result<Mounted> {
    let target = &options.target;
    // Before the mount: a signal from here on ends it in order.
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|e| Error::io("set up signal handling", &e))?;

    let requests = Arc::clone(&fs.metrics().requests);
    let (uid, gid) = options.owner;
    let kernel = Kernel { fs, requests: Arc::clone(&requests), uid, gid, xattrs: options.xattrs };
    let session = Session::new(kernel, target, &config(options)).map_err(|e| refused(target, &e))?;
    let background = session.spawn().map_err(|e| Error::io("start the mount's threads", &e))?;
    raise_read_ahead(target);

    let (sender, ends) = mpsc::channel();
    let unmounted = sender.clone();
    // Joining holds the session for as long as the mount stands, as the note above asks for.
    thread::spawn(move || unmounted.send(End::Unmounted(background.join())));
    thread::spawn(move || {
        for signal in signals.forever() {
            if sender.send(End::Signal(signal)).is_err() {
                break;
            }
        }
    });
    Ok(Mounted { target: target.clone(), requests, ends })
}

impl Mounted {
    /// Waits for the mount's end: that it is unmounted, or a signal, upon which it is. Requests that
    /// are being answered are waited for, within a limit; files that are open stop working when the
    /// process ends.
    ///
    /// # Errors
    /// When the mount broke down or cannot be detached.
    pub fn wait(&self) -> Result<()> {
        match self.ends.recv() {
            Ok(End::Unmounted(ended)) => ended.map_err(|e| Error::io("serve the mount", &e)),
            Ok(End::Signal(signal)) => {
                tracing::debug!(signal, "unmounting");
                mounts::detach(&self.target)?;
                self.drain();
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    /// Waits until the session has ended or no request is in flight.
    fn drain(&self) {
        let deadline = Instant::now() + GRACE;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let pause = left.min(Duration::from_millis(10));
            let ended = matches!(self.ends.recv_timeout(pause), Ok(End::Unmounted(_)));
            if ended || self.requests.in_flight.load(Ordering::Acquire) == 0 {
                return;
            }
        }
        tracing::warn!("requests were still being answered after {} s; they are given up", GRACE.as_secs());
    }
}

fn config(options: &MountOptions) -> Config {
    let mut config = Config::default();
    // Commas separate options where a mount goes through fusermount3.
    let source = options.source.replace(',', "_");
    config.mount_options = vec![
        MountOption::FSName(source),
        // fuser's Subtype is fusermount3's alone; the kernel takes this too and shows fuse.samplefs.
        MountOption::CUSTOM("subtype=samplefs".to_owned()),
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::DefaultPermissions,
    ];
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(options.threads);
    config
}

/// Best effort: it needs root, and a mount without it works, only slower.
fn raise_read_ahead(target: &Path) {
    let Ok(Some(mount)) = mounts::at(target) else { return };
    let path = format!("/sys/class/bdi/{}/read_ahead_kb", mount.device);
    if let Err(e) = fs::write(&path, READ_AHEAD_KB) {
        tracing::debug!("cannot raise the read-ahead in {path}: {e}");
    }
}

fn refused(target: &Path, error: &std::io::Error) -> Error {
    let message = error.to_string();
    let refused = Error::io(format_args!("mount at {}", target.display()), error);
    if !Path::new("/dev/fuse").exists() {
        refused.hint("/dev/fuse is missing: load the fuse module, or give the container that device")
    } else if message.contains("user_allow_other") {
        refused.hint("put user_allow_other into /etc/fuse.conf, or mount without --allow-other")
    } else if !rustix::process::geteuid().is_root() {
        refused.hint("mounting without root needs fusermount3 (Debian: fuse3) and a mount point of one's own")
    } else {
        refused
    }
}
