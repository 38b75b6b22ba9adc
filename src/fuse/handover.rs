//! A mount outlives the process that serves it: the next process goes on with the kernel's end of
//! it, and readers notice nothing but a pause.
//!
//! Three things must hold. The next process must number the nodes as this one did, which
//! [`Filesystem::identity`] tells. It must know the views that are in use: they stand in a journal.
//! And no request may be lost that this process took and did not answer: the kernel is told to send
//! those again, which it can since Linux 6.9. Where one does not hold, the next process mounts anew.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use fuser::{Config, Session};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{DupFlags, dup3, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{Kernel, mounts};
use crate::error::{Error, Result};
use crate::fs::Filesystem;

/// What one process leaves to the next.
pub struct Handover {
    /// The kernel's end of the mount.
    pub device: OwnedFd,
    /// The identity of what is shown, the mount's device, and the views in use.
    pub journal: File,
}

/// Which mount a journal belongs to: its first line.
fn title(fs: &Filesystem, target: &Path, owner: (u32, u32)) -> Result<Option<String>> {
    let (uid, gid) = owner;
    let device = mounts::at(target)?.filter(mounts::Mount::is_fuse).map(|mount| mount.device);
    Ok(device.map(|device| format!("{} {uid} {gid} {device}", fs.identity())))
}

impl Handover {
    /// Prepares for a next process; `None` where the kernel cannot send requests again.
    ///
    /// # Errors
    /// No memory for the journal.
    pub fn prepare(
        fs: &Filesystem,
        target: &Path,
        owner: (u32, u32),
        device: OwnedFd,
    ) -> Result<Option<Self>> {
        let Some(title) = title(fs, target, owner)?.filter(|_| kernel_sends_again()) else { return Ok(None) };
        let failed = |e: io::Error| Error::io("keep a journal of views", &e);
        let journal = memfd_create("samplefs-views", MemfdFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
        let journal = File::from(journal);
        fs.journal_views(journal.try_clone().map_err(failed)?, &title);
        Ok(Some(Self { device, journal }))
    }

    /// Takes over what an earlier process left, if this one shows the same in the same place.
    ///
    /// # Errors
    /// A journal that cannot be read.
    pub fn fits(&self, fs: &Filesystem, target: &Path, owner: (u32, u32)) -> Result<bool> {
        let Some(title) = title(fs, target, owner)? else { return Ok(false) };
        let journal = self.journal.try_clone().map_err(|e| Error::io("read the journal of views", &e))?;
        fs.resume_views(journal, &title)
    }
}

/// A session on a mount whose beginning was long ago.
pub(super) fn resume(kernel: Kernel, device: &OwnedFd, config: Config) -> io::Result<Session<Kernel>> {
    // fuser begins every session with the kernel's first request, which came and was answered
    // in another process. It is given one through a socket, in whose place the device is put then.
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    write(&ours, &first_request())?;
    let session = Session::from_fd(kernel, theirs, config.acl, config)?;
    // SAFETY: the number is that of the session's descriptor, which is open for as long as the session
    // is there; this second owner is never dropped, so nothing is closed twice.
    let mut place = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(session.as_fd().as_raw_fd()) });
    dup3(device, &mut place, DupFlags::CLOEXEC)?;
    write(device, &send_again())?;
    Ok(session)
}

/// `FUSE_INIT` as the kernel sends it, for version 7.31 and without any capability: those that the
/// mount has were agreed on when it began.
fn first_request() -> Vec<u8> {
    const INIT: u32 = 26;
    const HEADER: u32 = 40;
    const BODY: u32 = 64;
    let header: [u32; 10] = [HEADER + BODY, INIT, 1, 0, 0, 0, 0, 0, 0, 0];
    let version: [u32; 2] = [7, 31];
    let mut request: Vec<u8> = header.into_iter().chain(version).flat_map(u32::to_ne_bytes).collect();
    request.resize((HEADER + BODY) as usize, 0);
    request
}

/// The notice upon which the kernel sends all requests again that were taken and not answered.
fn send_again() -> Vec<u8> {
    const RESEND: u32 = 7;
    const HEADER: u32 = 16;
    [HEADER, RESEND, 0, 0].into_iter().flat_map(u32::to_ne_bytes).collect()
}

/// Linux 6.9 and newer.
fn kernel_sends_again() -> bool {
    let release = rustix::system::uname();
    let mut numbers = release.release().to_str().unwrap_or_default().split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().and_then(|number| number.parse::<u32>().ok()).unwrap_or(0);
    (number(), number()) >= (6, 9)
}
