//! Reloading under a mount: what the kernel remembers of names and listings is taken back.
//!
//! Names and attributes stay with the kernel for a day, so a reply that was made from the old index
//! and arrives after its name was taken back would stand for a day. Replies therefore hold a lock that
//! a reload takes once, after it has put the new index in place: then all replies from the old one are
//! with the kernel, whose own locks order them before what follows.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use fuser::{INodeNo, Notifier};

use crate::error::Result;
use crate::fs::Filesystem;
use crate::systemd;

/// Replies that tell of names and attributes.
#[derive(Debug, Default)]
pub struct Replies(RwLock<()>);

impl Replies {
    /// To be held from before the index is asked until the reply is sent.
    pub fn under_way(&self) -> RwLockReadGuard<'_, ()> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until those under way are sent. None of them reads from the store, so that is soon.
    fn wait(&self) {
        drop(self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Reads a store's index anew and tells the kernel what is different.
pub struct Reloader {
    pub(super) fs: Arc<Filesystem>,
    pub(super) replies: Arc<Replies>,
    pub(super) notifier: Notifier,
    pub(super) target: PathBuf,
}

impl Reloader {
    /// Shows the store as its index is now. When this returns, no name leads to what was before. The
    /// outcome is logged here.
    ///
    /// # Errors
    /// As [`Filesystem::reload`]; the mount then shows what it did.
    pub fn reload(&self) -> Result<()> {
        systemd::reloading();
        let outcome = self.follow();
        systemd::ready(&format!("{} at {}", self.fs.snapshot(), self.target.display()));
        outcome
    }

    fn follow(&self) -> Result<()> {
        let changes = self.fs.reload().inspect_err(|error| {
            tracing::warn!(hint = error.remedy(), "cannot reload, so the mount stays as it was: {error}");
        })?;
        self.replies.wait();
        let views = self.fs.slots();
        let told = changes
            .names(&views)
            .map(|(dir, name)| self.notifier.inval_entry(INodeNo(dir), OsStr::new(name)))
            // From the first byte to the last: a listing is cached like a file.
            .chain(changes.listings(&views).map(|dir| self.notifier.inval_inode(INodeNo(dir), 0, 0)))
            .filter_map(std::result::Result::err)
            .reduce(|first, _| first);
        if let Some(error) = told {
            // Names that it still knows lead to ESTALE, which makes it look them up anew.
            tracing::warn!("the kernel was not told of all that changed: {error}");
        }
        let crate::fs::Changes { added, changed, removed, .. } = changes;
        tracing::info!(added, changed, removed, "reloaded");
        Ok(())
    }
}
