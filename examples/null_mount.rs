//! A mount of zeros: what FUSE itself costs, for `scripts/bench`.
//!
//! `null_mount DIR` mounts there until it is unmounted, as samplefs does: as many threads as there are
//! CPUs, no open and no flush, attributes that never change, 1 MiB of read-ahead. Any decimal number is
//! the name of a file of so many zeros.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, LockOwner, MountOption,
    OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, Request, Session,
};

const TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The largest request that the kernel makes.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

struct Zeros;

/// Inode 1 is the root; a file's is its size and two more.
fn attributes(node: u64) -> FileAttr {
    let is_dir = node == INodeNo::ROOT.0;
    let size = if is_dir { 0 } else { node - 2 };
    FileAttr {
        ino: INodeNo(node),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: if is_dir { FileType::Directory } else { FileType::RegularFile },
        perm: if is_dir { 0o555 } else { 0o444 },
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Zeros {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name.to_str().and_then(|name| name.parse::<u64>().ok()?.checked_add(2)) {
            Some(node) => reply.entry(&TTL, &attributes(node), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &attributes(node.0));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let left = attributes(node.0).size.saturating_sub(offset);
        reply.data(&ZEROS[..left.min(u64::from(size)).min(ZEROS.len() as u64) as usize]);
    }
}

fn main() {
    let target = std::env::args_os().nth(1).expect("where to mount");
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("zeros".to_owned()), MountOption::RO];
    config.n_threads = Some(std::thread::available_parallelism().map_or(2, |cpus| cpus.get().max(2)));
    let session = Session::new(Zeros, Path::new(&target), &config).expect("a mount");
    let background = session.spawn().expect("threads");
    if let Ok(Some(mount)) = samplefs::fuse::mounts::at(Path::new(&target)) {
        // It needs root; without, samplefs has no more either.
        _ = std::fs::write(format!("/sys/class/bdi/{}/read_ahead_kb", mount.device), "1024");
    }
    _ = background.join();
}
