//! The kernel's table of mounts: find one, take it away.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::error::{Error, ErrorKind, Result};

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// `major:minor` of its device, by which /sys/class/bdi knows it.
    pub device: String,
    /// Where it is mounted.
    pub target: PathBuf,
    /// Its type: `fuse` or `fuse.<subtype>`, for those of samplefs.
    pub kind: String,
    /// What is mounted.
    pub source: String,
}

impl Mount {
    /// Whether it is a FUSE mount.
    pub fn is_fuse(&self) -> bool {
        self.kind == "fuse" || self.kind.starts_with("fuse.")
    }
}

/// The topmost mount at exactly this path, which must be absolute and free of links.
///
/// # Errors
/// When the table cannot be read.
pub fn at(target: &Path) -> Result<Option<Mount>> {
    const TABLE: &str = "/proc/self/mountinfo";
    let table = fs::read(TABLE).map_err(|e| Error::io(format_args!("read {TABLE}"), &e))?;
    let lines = table.split(|byte| *byte == b'\n');
    Ok(lines.rev().filter_map(parse).find(|mount| mount.target == target))
}

/// A line of mountinfo, as proc(5) describes it.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|byte| *byte == b' ');
    let device = words.nth(2)?;
    let target = words.nth(1)?;
    let mut words = words.skip_while(|word| *word != b"-").skip(1);
    let (kind, source) = (words.next()?, words.next()?);
    let text = |word: &[u8]| String::from_utf8_lossy(&unescape(word)).into_owned();
    Some(Mount {
        device: text(device),
        target: OsString::from_vec(unescape(target)).into(),
        kind: text(kind),
        source: text(source),
    })
}

/// Undoes the octal escapes of blanks and backslashes.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|d| *byte == b'\\' && d.iter().all(|d| (b'0'..=b'7').contains(d)));
        match digits {
            Some([a, b, c]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = &after[3..];
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    out
}

/// The path of a mount point in the form in which the table has it. The last component is not
/// resolved by a stat of the mount, which would hang or fail on a dead one.
///
/// # Errors
/// A parent that does not exist.
pub fn resolve(target: &Path) -> Result<PathBuf> {
    let failed = |e| Error::io(format_args!("find {}", target.display()), &e);
    let absolute = std::path::absolute(target).map_err(failed)?;
    match fs::canonicalize(&absolute) {
        Ok(path) => Ok(path),
        // A dead mount cannot be resolved itself, but the directory that it is in can.
        Err(e) if e.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()) => {
            let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
                return Ok(absolute);
            };
            Ok(fs::canonicalize(parent).map_err(failed)?.join(name))
        }
        Err(e) => Err(failed(e)),
    }
}

/// Takes away a mount whose daemon died: every access to it fails with ENOTCONN.
///
/// # Errors
/// When it is dead and cannot be taken away.
pub fn clear_dead(target: &Path) -> Result<bool> {
    match fs::symlink_metadata(target.join(".")) {
        Err(e) if e.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()) => detach(target).map(|()| true),
        _ => Ok(false),
    }
}

/// Unmounts the FUSE mount at `target`, also while files are open: they stay readable until the
/// daemon ends.
///
/// # Errors
/// When there is no FUSE mount, or it is another user's.
pub fn unmount(target: &Path) -> Result<()> {
    match at(target)? {
        Some(mount) if mount.is_fuse() => detach(target),
        Some(mount) => Err(Error::usage(format!("{}: is a {} mount", target.display(), mount.kind))
            .hint("samplefs unmounts only what it can have mounted")),
        None => Err(Error::usage(format!("{}: not mounted", target.display()))),
    }
}

/// Detaches a mount: by system call as root, by fusermount3 as a user.
pub(super) fn detach(target: &Path) -> Result<()> {
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    match rustix::mount::unmount(target, flags) {
        Ok(()) => Ok(()),
        Err(Errno::PERM) => fusermount(target),
        Err(e) => Err(Error::io(format_args!("unmount {}", target.display()), &e.into())),
    }
}

fn fusermount(target: &Path) -> Result<()> {
    let mut command = Command::new("fusermount3");
    command.args(["-u", "-z", "-q", "--"]).arg(target).stdin(Stdio::null()).stdout(Stdio::null());
    let failed = |why: String| {
        Error::new(ErrorKind::Denied, format!("cannot unmount {}: {why}", target.display()))
            .hint("unmounting without root needs fusermount3 (Debian: fuse3) and a mount of one's own")
    };
    match command.stderr(Stdio::piped()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        Err(e) => Err(failed(format!("fusermount3: {e}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_is_taken_apart_and_its_escapes_undone() {
        let line = br"61 29 0:45 / /mnt/my\040data\134x ro,nosuid shared:3 master:1 - fuse /data/a\040b ro,user_id=0";
        let mount = parse(line).unwrap();
        assert_eq!(mount.device, "0:45");
        assert_eq!(mount.target, Path::new(r"/mnt/my data\x"));
        assert_eq!((mount.kind.as_str(), mount.source.as_str()), ("fuse", "/data/a b"));
        assert!(mount.is_fuse());
        assert_eq!(parse(b"").or(parse(b"61 29 0:45 / /mnt ro")), None);
    }

    #[test]
    fn what_is_not_a_fuse_mount_is_not_unmounted() {
        let error = unmount(Path::new("/proc")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        let dir = tempfile::tempdir().unwrap();
        assert!(unmount(dir.path()).unwrap_err().to_string().contains("not mounted"));
    }
}
