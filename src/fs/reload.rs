//! Reading the index anew under a mount.
//!
//! A node that is the same as before keeps its number, and with it all that is cached under the number,
//! here and by the kernel. Any other node gets a number that nothing ever had. So there is nothing to
//! purge and nothing to mix: who holds a number of the old snapshot that is no node's any more is told
//! `ESTALE`, and the kernel must only be told which names mean something else now.
//!
//! A sample is the same when the index says the same of it (rows, grids, types, places, file names),
//! when no read has found an object of it replaced, and when the metadata of its group, if it was ever
//! read, is still the version that was read first. The last is asked of the store, one request a sample
//! that was used; a converter that writes a sample anew writes its group's metadata anew. Whoever
//! replaces a single shard behind it is still found out at the next read of that shard: the reader holds
//! every object against the version in which it first saw it, and answers `ESTALE` until a reload
//! gives the sample another number. Bytes of two versions never meet under one number.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use super::snapshot::Snapshot;
use super::{Filesystem, ROOT};
use crate::catalog::FieldId;
use crate::error::{Error, ErrorKind, Result};
use crate::memory;
use crate::parallel;
use crate::store::PlainFile;
use crate::tree::inode::Numbers;
use crate::tree::{DirId, Node, Scope, Slot};

/// Samples whose metadata is asked for at the same time: what hides a store's round trips.
const CHECKS: usize = 32;

/// What a reload has changed.
pub struct Changes {
    /// Samples that were not there before.
    pub added: usize,
    /// Samples that are there as before in name alone.
    pub changed: usize,
    /// Samples that are no more.
    pub removed: usize,
    /// Directories by their numbers, and names in them that mean another node now, or none.
    names: Vec<(u64, Box<str>)>,
    /// Numbers of directories that list other names now.
    listings: Vec<u64>,
    numbers: Numbers,
}

impl Changes {
    /// Whether all is as it was.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.listings.is_empty()
    }

    /// Names that mean another node now or none, with their directories' numbers, also as they are
    /// seen through these views.
    pub fn names<'a>(&'a self, views: &'a [Slot]) -> impl Iterator<Item = (u64, &'a str)> {
        let seen =
            |(dir, name): &'a (u64, Box<str>)| self.through(*dir, views).map(move |number| (number, &**name));
        self.names.iter().flat_map(seen)
    }

    /// Numbers of directories that list other names now, also as they are seen through these views.
    pub fn listings<'a>(&'a self, views: &'a [Slot]) -> impl Iterator<Item = u64> {
        self.listings.iter().flat_map(|dir| self.through(*dir, views))
    }

    fn through<'a>(&'a self, dir: u64, views: &'a [Slot]) -> impl Iterator<Item = u64> + use<'a> {
        let seen = views.iter().map(move |view| self.numbers.through(dir, *view));
        std::iter::once(dir).chain(seen)
    }
}

impl Filesystem {
    /// Reads the store's index and the listing of its root anew, and shows what they tell from here on.
    ///
    /// # Errors
    /// An index that is missing or not valid, or one of other domains; a store that does not answer. What
    /// is shown is then as it was.
    pub fn reload(&self) -> Result<Changes> {
        // Held to the end: of two reloads, the later must win.
        let _alone = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.snapshot();
        let mut new = Snapshot::read(&*self.objects, &self.options)?;
        check_domains(&old, &new).map_err(|e| e.within(self.objects.location()))?;

        let replaced = self.replaced(&old)?;
        let (changes, same) = compare(&old, &new, &replaced);
        if changes.is_empty() {
            drop(new);
            memory::give_back();
            return Ok(changes);
        }
        let plain: Vec<_> = new.plain.iter().map(|file| same_plain(&old, file)).collect();
        new.numbers = old.numbers.follow(&same, new.catalog().fields.len(), &plain)?;
        let mut written = old.written.clone();
        let first_new = old.numbers.dirs().next();
        // Where no number was given since, nothing was written that still shows that time.
        written.retain(|(first, _)| *first < first_new);
        written.extend(new.written);
        new.written = written;
        if let Some((first, _)) = new.written.last_mut() {
            *first = first_new;
        }

        // Before anybody can see a number that the next process would give to another node.
        self.views.end_journal();
        let serials = new.numbers.dirs().clone();
        let lives = |group: u32| serials.position(group).is_some();
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner).retain(|group| lives(*group));
        self.reader.keep_seen(lives);
        drop(old);
        memory::give_back();
        Ok(changes)
    }

    /// Notes that reading a directory's sample has found an object replaced.
    pub(super) fn note_replaced(&self, snapshot: &Snapshot, dir: DirId) {
        let serial = snapshot.numbers.dirs().serial(dir.0);
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner).insert(serial);
    }

    /// Serial numbers of the directories whose samples are stored in another version than was read.
    fn replaced(&self, old: &Snapshot) -> Result<HashSet<u32>> {
        let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let used = self.reader.groups_seen();
        let is_current = |at: usize| -> Result<bool> {
            let dir = old.numbers.dirs().position(used[at]).map(DirId);
            let field = |dir| old.catalog().fields_of(old.dirs.sample(dir)?).next();
            let Some((dir, field)) = dir.and_then(|dir| Some((dir, field(dir)?))) else { return Ok(true) };
            self.reader.group_is_current(&old.extent(dir, field)?.array)
        };
        parallel::in_order(used.len(), CHECKS, is_current, |at, is_current| {
            if !is_current? {
                replaced.insert(used[at]);
            }
            Ok(())
        })?;
        Ok(replaced)
    }
}

/// A view's name means numbers of points by domain, and names are kept through a reload.
fn check_domains(old: &Snapshot, new: &Snapshot) -> Result<()> {
    let names = |snapshot: &Snapshot| -> Vec<String> {
        snapshot.catalog().domains.iter().map(|domain| domain.name.clone()).collect()
    };
    if names(old) == names(new) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Changed, "the manifest has other domains than at mount")
        .hint("it is another dataset: mount it anew"))
}

/// What differs, and of each new directory the position of the old one that it is the same as.
fn compare(old: &Snapshot, new: &Snapshot, replaced: &HashSet<u32>) -> (Changes, Vec<Option<u32>>) {
    let (fields_before, fields_now) = (&old.catalog().fields, &new.catalog().fields);
    let as_before: Vec<bool> =
        fields_now.iter().enumerate().map(|(at, field)| fields_before.get(at) == Some(field)).collect();
    let same_sample = |was: DirId, is: DirId| match (old.dirs.sample(was), new.dirs.sample(is)) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            let extents = |field: FieldId| {
                let (was, mut is) = (old.layout.extent(a, field), new.layout.extent(b, field));
                // The number is another, and the grid is compared below: here it is but a hint to readers.
                (is.array.id, is.array.grid) = (was.array.id, was.array.grid);
                was == is
            };
            !replaced.contains(&old.numbers.dirs().serial(was.0))
                && old.catalog().grids(a) == new.catalog().grids(b)
                && old.catalog().fields_of(a).eq(new.catalog().fields_of(b))
                && new.catalog().fields_of(b).all(|f| as_before[f.0 as usize] && extents(f))
        }
        _ => false,
    };

    let mut same = vec![None; new.dirs.count()];
    same[0] = Some(0);
    let mut changes = Changes {
        added: new.catalog().ids.len(),
        changed: 0,
        removed: old.catalog().ids.len(),
        names: Vec::new(),
        listings: Vec::new(),
        numbers: old.numbers.clone(),
    };
    let mut open = vec![(DirId(0), DirId(0))];
    while let Some((was, is)) = open.pop() {
        let number = old.numbers.number(&Node::Dir { dir: was, scope: Scope::Dataset(None) });
        let named = |dir: DirId| old.dirs.name(dir, old.catalog());
        let (mut before, mut now) = (old.dirs.children(was).peekable(), new.dirs.children(is).peekable());
        let (gone_before, mut lists_other) = (changes.names.len(), false);
        loop {
            let order = match (before.peek(), now.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => named(DirId(*a)).cmp(new.dirs.name(DirId(*b), new.catalog())),
            };
            let a = before.next_if(|_| order.is_le()).map(DirId);
            let b = now.next_if(|_| order.is_ge()).map(DirId);
            if let (Some(a), Some(b)) = (a, b) {
                open.push((a, b));
                let sample_in_both = old.dirs.sample(a).is_some() && new.dirs.sample(b).is_some();
                changes.added -= usize::from(sample_in_both);
                changes.removed -= usize::from(sample_in_both);
                if same_sample(a, b) {
                    same[b.0 as usize] = Some(a.0);
                    continue;
                }
                changes.changed += usize::from(sample_in_both);
            }
            match a {
                Some(a) => changes.names.push((number, named(a).into())),
                None => lists_other = true,
            }
        }
        if lists_other || changes.names.len() > gone_before {
            changes.listings.push(number);
        }
    }
    let plain_gone = old.plain.iter().filter(|file| same_plain(new, file).is_none());
    changes.names.extend(plain_gone.map(|file| (ROOT, file.name.as_str().into())));
    if old.plain != new.plain {
        changes.listings.push(ROOT);
    }
    (changes, same)
}

/// The position of a plain file of this very version.
fn same_plain(snapshot: &Snapshot, file: &PlainFile) -> Option<u32> {
    snapshot.plain_named(&file.name).filter(|index| snapshot.plain[*index as usize] == *file)
}
