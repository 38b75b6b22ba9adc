//! What systemd is told, and what it keeps for the next process. Where systemd did not start this
//! process, or a message does not arrive, nothing happens: a mount does not depend on it.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState::{
    self, FdName, FdStore, FdStoreRemove, Ready, Reloading, Status, Stopping, Watchdog,
};

/// Whether systemd started this process and wants to hear of it.
pub fn listens() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// The service works, or works again after a reload.
pub fn ready(status: &str) {
    tell(&[Ready, Status(status)]);
}

/// A reload begins; [`ready`] ends it, whether it succeeded or not.
pub fn reloading() {
    // systemd holds the time against that of the signal: the reload that it asked for has begun.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[Reloading, now]),
        Err(_) => tell(&[Reloading]),
    }
}

/// The service ends.
pub fn stopping(status: &str) {
    tell(&[Stopping, Status(status)]);
}

/// What the service does, in a line for `systemctl status`.
pub fn status(status: &str) {
    tell(&[Status(status)]);
}

/// The service still works.
pub fn alive() {
    tell(&[Watchdog]);
}

/// How often [`alive`] must be heard at least, if at all.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Gives a descriptor to systemd, which hands it to the next process of this service, however this
/// one ends. One of the same name is replaced.
pub fn keep(name: &str, descriptor: BorrowedFd<'_>) {
    release(name);
    let kept = sd_notify::notify_with_fds(&[FdStore, FdName(name)], &[descriptor]);
    if let Err(error) = kept {
        tracing::debug!("systemd does not keep {name}: {error}");
    }
}

/// Takes back what [`keep`] gave.
pub fn release(name: &str) {
    tell(&[FdStoreRemove, FdName(name)]);
}

/// Takes the descriptors that an earlier process gave to systemd, with their names. Only the first
/// call has them.
pub fn kept() -> Vec<(String, OwnedFd)> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    let Ok(kept) = sd_notify::listen_fds_with_names() else { return Vec::new() };
    // SAFETY: systemd opened these for this process, as LISTEN_PID says, before its first instruction;
    // their numbers are known from here alone, and here they are taken once.
    kept.map(|(number, name)| (name, unsafe { OwnedFd::from_raw_fd(number) })).collect()
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("systemd does not hear: {error}");
    }
}
