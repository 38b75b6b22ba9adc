//! The private sockets over which mounts tell their status: one a mount, named after where it is.
//!
//! They lie in a directory that only their owner can enter. Whoever connects is told the whole status as
//! JSON, without asking for anything; what is not the same user or root is told nothing.
//!
//! A process that was killed leaves its socket behind, on which nobody listens. Clearing it and binding
//! anew happen under a lock on the directory, so that no live socket is taken for a dead one.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use sha2::{Digest, Sha256};

use crate::error::{self, Error, Result};

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);

/// No status comes near this; more is not read.
const LIMIT: u64 = 1 << 20;

/// A socket's name, which goes when this is dropped.
pub struct Bound {
    path: PathBuf,
    inode: u64,
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Another mount may have taken the place by now.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            _ = fs::remove_file(&self.path);
        }
    }
}

/// Where the sockets of this user's mounts are. Root's are in one place, whatever its session says: a
/// service and a shell must mean the same.
///
/// # Errors
/// A user's session without a directory for such things.
pub fn directory() -> Result<PathBuf> {
    if geteuid().is_root() {
        return Ok("/run/samplefs".into());
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    runtime.map(|path| path.join("samplefs")).ok_or_else(|| {
        Error::new(error::ErrorKind::Unavailable, "XDG_RUNTIME_DIR names no directory")
            .hint("log in through a session manager, or set it to a directory of your own")
    })
}

/// The socket of the mount at a place, which is absolute and free of links.
pub fn path(directory: &Path, mountpoint: &Path) -> PathBuf {
    let digest = Sha256::digest(mountpoint.as_os_str().as_bytes());
    let name = digest[..8].iter().fold(String::new(), |mut name, byte| {
        _ = write!(name, "{byte:02x}");
        name
    });
    directory.join(name + ".sock")
}

/// Makes the socket of the mount at a place, and takes away those that dead mounts left behind.
///
/// # Errors
/// A directory that is another's or open to others, a system that refuses.
pub fn bind(mountpoint: &Path) -> Result<(Bound, UnixListener)> {
    let directory = directory()?;
    let failed = |e: std::io::Error| Error::io(format_args!("make a socket in {}", directory.display()), &e);
    let made = DirBuilder::new().mode(0o700).create(&directory);
    made.or_else(|e| if e.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(e) }).map_err(failed)?;
    let found = fs::symlink_metadata(&directory).map_err(failed)?;
    if !found.is_dir() || found.uid() != geteuid().as_raw() || found.mode() & 0o077 != 0 {
        let message = format!("{} is not a directory of one's own, closed to others", directory.display());
        return Err(Error::new(error::ErrorKind::Denied, message).hint("remove it, or chmod it to 0700"));
    }
    let _lock = lock(&directory).map_err(failed)?;
    clear(&directory);
    let path = path(&directory, mountpoint);
    // Still there when another mount at this place is on its way out: it keeps its connections.
    _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(failed)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
    let inode = fs::symlink_metadata(&path).map_err(failed)?.ino();
    Ok((Bound { path, inode }, listener))
}

/// Tells everyone who connects.
pub fn serve(listener: &UnixListener, tell: impl Fn() -> String) {
    for stream in listener.incoming() {
        // One that went away, or a process out of descriptors: the next may do better.
        let Ok(mut stream) = stream else {
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let trusted = socket_peercred(&stream).is_ok_and(|peer| peer.uid == geteuid() || peer.uid.is_root());
        if trusted && stream.set_write_timeout(Some(PATIENCE)).is_ok() {
            _ = stream.write_all(tell().as_bytes());
        }
    }
}

/// The sockets of all mounts, in an order that stays; those of dead mounts are taken away.
///
/// # Errors
/// A directory that cannot be read.
pub fn all() -> Result<Vec<PathBuf>> {
    let directory = directory()?;
    let failed =
        |e: std::io::Error| Error::io(format_args!("look for mounts in {}", directory.display()), &e);
    match lock(&directory) {
        Ok(_lock) => {
            clear(&directory);
            sockets(&directory).map_err(failed)
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(failed(e)),
    }
}

/// What a mount tells of itself; `None` when nobody listens at that socket.
///
/// # Errors
/// A mount that does not answer in time.
pub fn ask(socket: &Path) -> Result<Option<Vec<u8>>> {
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::new(
            error::ErrorKind::Unavailable,
            format!("the process behind {} does not answer", socket.display()),
        )
        .hint("it may be stopped; `samplefs unmount` takes its mount away"),
        _ => Error::io(format_args!("ask {}", socket.display()), &e),
    };
    let stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut told = Vec::new();
    stream.take(LIMIT).read_to_end(&mut told).map_err(failed)?;
    Ok(Some(told))
}

/// Waits until no one else binds or clears; the lock ends with what is returned.
fn lock(directory: &Path) -> std::io::Result<File> {
    let held = File::open(directory)?;
    flock(&held, FlockOperation::LockExclusive)?;
    Ok(held)
}

/// Takes away the sockets on which nobody listens.
fn clear(directory: &Path) {
    for socket in sockets(directory).unwrap_or_default() {
        if UnixStream::connect(&socket).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused) {
            _ = fs::remove_file(&socket);
        }
    }
}

fn sockets(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_socket() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_own_name_and_always_the_same() {
        let name = |place: &str| path(Path::new("/run/samplefs"), Path::new(place));
        assert_eq!(name("/mnt/a"), Path::new("/run/samplefs/f72353b3dcd8f57a.sock"));
        assert_ne!(name("/mnt/a"), name("/mnt/b"));
    }
}
