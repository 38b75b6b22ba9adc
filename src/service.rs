//! A mount as a service of systemd: it is watched, and it outlives its process.

use std::os::fd::AsFd;
use std::thread;

use crate::error::{Error, ErrorKind, Result};
use crate::fs::Filesystem;
use crate::fuse::handover::Handover;
use crate::fuse::{MountOptions, Mounted, mounts};
use crate::systemd;

/// The names under which systemd keeps the kernel's end of the mount and the journal of its views.
const DEVICE: &str = "samplefs-device";
const JOURNAL: &str = "samplefs-journal";

/// What an earlier process of this service left.
pub fn left_behind() -> Option<Handover> {
    let mut kept = systemd::kept();
    let mut take = |name| Some(kept.swap_remove(kept.iter().position(|(kept, _)| kept == name)?).1);
    let (device, journal) = (take(DEVICE)?, take(JOURNAL)?);
    Some(Handover { device, journal: journal.into() })
}

/// The mount that an earlier process left, if this one can go on with it; else it is taken away.
///
/// # Errors
/// A mount that cannot be taken away.
pub fn take_over(left: Handover, fs: &Filesystem, options: &MountOptions) -> Result<Option<Handover>> {
    if left.fits(fs, &options.target, options.owner)? {
        return Ok(Some(left));
    }
    tracing::info!("what is shown is not what was, so the store is mounted anew");
    systemd::release(DEVICE);
    systemd::release(JOURNAL);
    if mounts::at(&options.target)?.is_some_and(|mount| mount.is_fuse()) {
        mounts::unmount(&options.target)?;
    }
    Ok(None)
}

/// Leaves the mount to the next process of this service. False where that cannot be.
///
/// # Errors
/// No descriptors or memory for it.
pub fn keep(fs: &Filesystem, options: &MountOptions, mounted: &Mounted) -> Result<bool> {
    if !systemd::listens() {
        return Ok(false);
    }
    let device = mounted.device().try_clone().map_err(|e| Error::io("share /dev/fuse", &e))?;
    let Some(left) = Handover::prepare(fs, &options.target, options.owner, device)? else { return Ok(false) };
    systemd::keep(JOURNAL, left.journal.as_fd());
    systemd::keep(DEVICE, left.device.as_fd());
    Ok(true)
}

/// Tells systemd that the mount serves, for as long as it does.
///
/// # Errors
/// No thread or descriptor for it.
pub fn watch(mounted: &Mounted) -> Result<()> {
    let Some(period) = systemd::watchdog() else { return Ok(()) };
    let mut pulse = mounted.pulse()?;
    let watch = move || loop {
        thread::sleep(period / 2);
        if pulse.beats() {
            systemd::alive();
        } else {
            tracing::warn!("requests wait and none was answered in {} s", (period / 2).as_secs_f32());
        }
    };
    let started = thread::Builder::new().name("watchdog".to_owned()).spawn(watch);
    started.map(drop).map_err(|e| Error::new(ErrorKind::System, format!("cannot start a thread: {e}")))
}
