//! A mount from its beginning to its end.
//!
//! fuser's own teardown is not used: it unmounts by path, and so whatever is mounted there by
//! then. The session is never dropped while the mount stands; a mount ends by being detached from
//! its place, by us or by anyone, and the process ends when its last request is answered.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use fuser::{Config, MountOption, Session, SessionACL};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use signal_hook::iterator::Signals;

use super::reload::{Reloader, Replies};
use super::{Kernel, handover, mounts};
use crate::error::{Error, Result};
use crate::fs::Filesystem;
use crate::metrics::Requests;

/// For how long nothing must have been asked for a mount that ends to be taken as unused: those who
/// are in the middle of a file ask sooner.
const QUIET: Duration = Duration::from_millis(250);

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
    /// For how long those who are reading may go on when the mount ends.
    pub grace: Duration,
    /// Whether nodes have extended attributes.
    pub xattrs: bool,
}

/// A mount that answers.
pub struct Mounted {
    target: PathBuf,
    requests: Arc<Requests>,
    ends: Receiver<End>,
    device: OwnedFd,
    grace: Duration,
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The mount is no more.
    Unmounted,
    /// The mount stands, for the next process to serve.
    LeftStanding,
}

/// Why a mount ended.
#[derive(Debug)]
enum End {
    /// It was unmounted, by whomever, and no file is open any more.
    Unmounted(std::io::Result<()>),
    /// A signal asked for it.
    Signal(i32),
}

/// Mounts a filesystem, or goes on with the mount that an earlier process left standing, given the
/// kernel's end of it. When this returns, the mount answers.
///
/// # Errors
/// A mount point that is none, a system that refuses.
pub fn mount(fs: Arc<Filesystem>, options: &MountOptions, left: Option<&OwnedFd>) -> Result<Mounted> {
    let target = &options.target;
    // Before the mount: a signal from here on ends it in order.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR2])
        .map_err(|e| Error::io("set up signal handling", &e))?;

    let (requests, replies) = (Arc::clone(&fs.metrics().requests), Arc::new(Replies::default()));
    let (uid, gid) = options.owner;
    let kernel = Kernel {
        fs: Arc::clone(&fs),
        requests: Arc::clone(&requests),
        replies: Arc::clone(&replies),
        uid,
        gid,
        xattrs: options.xattrs,
    };
    let session = match left {
        None => Session::new(kernel, target, &config(options)).map_err(|e| refused(target, &e))?,
        Some(device) => handover::resume(kernel, device, config(options))
            .map_err(|e| Error::io(format_args!("go on with the mount at {}", target.display()), &e))?,
    };
    let device = session.as_fd().try_clone_to_owned().map_err(|e| Error::io("share /dev/fuse", &e))?;
    let background = session.spawn().map_err(|e| Error::io("start the mount's threads", &e))?;
    raise_read_ahead(target);
    let reloader = Reloader { fs, replies, notifier: background.notifier(), target: target.clone() };

    let (sender, ends) = mpsc::channel();
    let unmounted = sender.clone();
    // Joining holds the session for as long as the mount stands, as the note above asks for.
    thread::spawn(move || unmounted.send(End::Unmounted(background.join())));
    // Signals that come before a reload has begun are served by that one.
    let (reload, reloads) = mpsc::sync_channel(1);
    thread::spawn(move || {
        for () in reloads {
            // It logs what it did; when it failed, the mount goes on as it was.
            _ = reloader.reload();
        }
    });
    thread::spawn(move || {
        for signal in signals.forever() {
            if signal == SIGHUP {
                _ = reload.try_send(());
            } else if sender.send(End::Signal(signal)).is_err() {
                break;
            }
        }
    });
    Ok(Mounted { target: target.clone(), requests, ends, device, grace: options.grace })
}

impl Mounted {
    /// The kernel's end of the mount.
    pub fn device(&self) -> &OwnedFd {
        &self.device
    }

    /// Watches whether requests are answered.
    ///
    /// # Errors
    /// When no more descriptors are to be had.
    pub fn pulse(&self) -> Result<Pulse> {
        let device = self.device.try_clone().map_err(|e| Error::io("share /dev/fuse", &e))?;
        Ok(Pulse { device, requests: Arc::clone(&self.requests), answered: 0 })
    }

    /// Waits for the end: that the mount is unmounted, or a signal, upon which it is. Its name is gone
    /// at once; who reads from a file that is open may go on for the time of grace, or until a second
    /// signal. SIGUSR2 leaves the mount standing when it is `kept` for another process.
    ///
    /// # Errors
    /// When the mount broke down or cannot be detached.
    pub fn wait(&self, kept: bool) -> Result<Ended> {
        match self.ends.recv() {
            Ok(End::Unmounted(ended)) => ended.map_err(|e| Error::io("serve the mount", &e))?,
            Ok(End::Signal(SIGUSR2)) if kept => return Ok(Ended::LeftStanding),
            Ok(End::Signal(signal)) => {
                tracing::debug!(signal, "unmounting");
                mounts::detach(&self.target)?;
                self.drain();
            }
            Err(_) => {}
        }
        Ok(Ended::Unmounted)
    }

    /// Waits until the session has ended or nobody reads any more.
    fn drain(&self) {
        const PAUSE: Duration = Duration::from_millis(10);
        let deadline = Instant::now() + self.grace;
        let (mut seen, mut quiet_since) = (self.requests.answered(), Instant::now());
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match self.ends.recv_timeout(left.min(PAUSE)) {
                Ok(End::Unmounted(_)) => return,
                Ok(End::Signal(_)) => {
                    return tracing::warn!("a second signal: what is being read is given up");
                }
                Err(_) => {}
            }
            let total = self.requests.answered();
            if self.requests.in_flight.load(Ordering::Acquire) > 0 || total != seen {
                (seen, quiet_since) = (total, Instant::now());
            } else if quiet_since.elapsed() >= QUIET {
                return;
            }
        }
        tracing::warn!("files were still being read after {} s; they are given up", self.grace.as_secs());
    }
}

/// Tells whether the mount serves, without asking it: a process that waits for its own answer cannot
/// be killed while it waits.
pub struct Pulse {
    device: OwnedFd,
    requests: Arc<Requests>,
    answered: u64,
}

impl Pulse {
    /// Whether since the last call a request was answered, or nobody waits for one: no thread is at
    /// one, and the kernel has none that no thread took.
    pub fn beats(&mut self) -> bool {
        let in_flight = self.requests.in_flight.load(Ordering::Acquire);
        let answered = self.requests.answered();
        let moved = std::mem::replace(&mut self.answered, answered) != answered;
        moved || (in_flight == 0 && !self.queued())
    }

    fn queued(&self) -> bool {
        let mut device = [PollFd::new(&self.device, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut device, Some(&now)).is_ok_and(|ready| ready > 0)
            && device[0].revents().contains(PollFlags::IN)
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
