//! The kernel's side: take a request apart, ask the filesystem, reply.

mod errno;
pub mod handover;
pub mod mounts;
mod reload;
mod session;

pub use session::{Ended, MountOptions, Mounted, Pulse, mount};

use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Generation, INodeNo, InitFlags, KernelConfig, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyXattr, Request,
};

use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Attributes, Filesystem, NAME_MAX, xattr};
use crate::metrics::{Operation, Requests};
use reload::Replies;

/// How long the kernel may keep names and attributes: what a mount shows changes only by a reload, which
/// takes them back.
const TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The block size that `stat` and `statfs` tell.
const BLOCK: u32 = 4096;

thread_local! {
    /// Where a thread puts the bytes of a reply: as large as the largest request, kept for the next.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The filesystem as FUSE calls it.
struct Kernel {
    fs: Arc<Filesystem>,
    requests: Arc<Requests>,
    replies: Arc<Replies>,
    uid: u32,
    gid: u32,
    xattrs: bool,
}

impl Kernel {
    /// Runs what answers a request. A panic there costs this request, and an error is recorded
    /// here, once, unless it is an ordinary answer.
    fn answer<T>(
        &self,
        operation: Operation,
        run: impl FnOnce() -> Result<T>,
    ) -> std::result::Result<T, Errno> {
        let started = Instant::now();
        self.requests.in_flight.fetch_add(1, Ordering::AcqRel);
        let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Internal, "a defect of samplefs; the panic is above in the log"))
        });
        self.requests.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.requests.durations(operation).observe(started.elapsed().as_nanos() as u64);
        outcome.map_err(|error| {
            if !errno::is_answer(error.kind()) {
                self.fs.metrics().failures.record(operation, &error);
            }
            errno::errno(error.kind())
        })
    }

    fn attr(&self, attributes: &Attributes) -> FileAttr {
        let Attributes { number, is_dir, size, links, modified } = *attributes;
        FileAttr {
            ino: INodeNo(number),
            size,
            // tar -S and cp --sparse take a file with fewer blocks than bytes for one with holes.
            blocks: size.div_ceil(512),
            atime: modified,
            mtime: modified,
            ctime: modified,
            crtime: UNIX_EPOCH,
            kind: kind(is_dir),
            perm: if is_dir { 0o555 } else { 0o444 },
            nlink: links,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: BLOCK,
            flags: 0,
        }
    }
}

fn kind(is_dir: bool) -> FileType {
    if is_dir { FileType::Directory } else { FileType::RegularFile }
}

/// Who asks with size 0 wants to know how much room to make; with too little, nothing is given.
fn sized(reply: ReplyXattr, size: u32, value: &[u8]) {
    match size {
        0 => reply.size(value.len() as u32),
        _ if value.len() > size as usize => reply.error(Errno::ERANGE),
        _ => reply.data(value),
    }
}

impl fuser::Filesystem for Kernel {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let wanted = [
            // Listings carry attributes, always: `find` and `ls -l` then ask for nothing more. Leaving it
            // to the kernel's guess makes a bare `ls` of 100,000 names faster and them three times as slow.
            InitFlags::FUSE_DO_READDIRPLUS,
            // Lookups in one directory need not wait for each other.
            InitFlags::FUSE_PARALLEL_DIROPS,
        ];
        for flag in wanted {
            // A kernel without it works, only slower.
            _ = config.add_capabilities(flag);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let _reply = self.replies.under_way();
        match self.answer(Operation::Lookup, || self.fs.lookup(parent.0, name.as_bytes())) {
            Ok(attributes) => reply.entry(&TTL, &self.attr(&attributes), Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    fn forget(&self, _: &Request, node: INodeNo, lookups: u64) {
        self.fs.forget(node.0, lookups);
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let _reply = self.replies.under_way();
        match self.answer(Operation::Getattr, || self.fs.getattr(node.0)) {
            Ok(attributes) => reply.attr(&TTL, &self.attr(&attributes)),
            Err(errno) => reply.error(errno),
        }
    }

    /// ENOSYS to open, opendir and flush: the kernel then opens and closes by itself for good, and
    /// keeps its page cache from one open to the next. Reads need no state of ours.
    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
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
        BUFFER.with_borrow_mut(|buffer| {
            match self.answer(Operation::Read, || self.fs.read(node.0, offset, size as usize, buffer)) {
                Ok(()) => {
                    self.requests.read_sizes.observe(buffer.len() as u64);
                    reply.data(buffer);
                }
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn readdir(&self, _: &Request, node: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let _reply = self.replies.under_way();
        let listed = self.answer(Operation::Readdir, || {
            self.fs.readdir(node.0, offset, |entry| {
                let Attributes { number, is_dir, .. } = entry.attributes;
                !reply.add(INodeNo(number), entry.next, kind(is_dir), &*entry.name)
            })
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdirplus(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let _reply = self.replies.under_way();
        let listed = self.answer(Operation::Readdirplus, || {
            self.fs.readdir(node.0, offset, |entry| {
                let attr = self.attr(&entry.attributes);
                let full = reply.add(attr.ino, entry.next, &*entry.name, &TTL, &attr, Generation(0));
                // The kernel takes every entry but these two as looked up.
                if !full && entry.name != "." && entry.name != ".." {
                    self.fs.remember(attr.ino.0);
                }
                !full
            })
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        match self.answer(Operation::Statfs, || Ok(self.fs.totals())) {
            Ok(totals) => {
                let blocks = totals.bytes.div_ceil(u64::from(BLOCK));
                reply.statfs(blocks, 0, 0, totals.nodes, 0, BLOCK, NAME_MAX as u32, BLOCK);
            }
            Err(errno) => reply.error(errno),
        }
    }

    /// `ls -l` asks this three times a file. After ENOSYS the kernel does not ask again, for no file.
    fn getxattr(&self, _: &Request, node: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if !self.xattrs {
            return reply.error(Errno::ENOSYS);
        }
        match self.answer(Operation::Getxattr, || self.fs.xattr(node.0, name.as_bytes())) {
            Ok(Some(value)) => sized(reply, size, value.as_bytes()),
            Ok(None) => reply.error(Errno::NO_XATTR),
            Err(errno) => reply.error(errno),
        }
    }

    fn listxattr(&self, _: &Request, node: INodeNo, size: u32, reply: ReplyXattr) {
        if !self.xattrs {
            return reply.error(Errno::ENOSYS);
        }
        match self.answer(Operation::Listxattr, || self.fs.xattrs(node.0)) {
            Ok(told) => {
                let names: String =
                    told.iter().map(|(name, _)| format!("{}{name}\0", xattr::PREFIX)).collect();
                sized(reply, size, names.as_bytes());
            }
            Err(errno) => reply.error(errno),
        }
    }
}
