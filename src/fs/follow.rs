//! Who opens one file of a sample mostly opens the others next. Whether that holds here, and how far
//! ahead of a reader to be, is learnt by watching.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::file::File;
use super::{Filesystem, Snapshot};
use crate::catalog::FieldId;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::read::{Ahead, Reader};
use crate::tree::{DirId, Node, Slot};

/// Samples that are watched at a time: as many readers may take turns.
const WATCHED: usize = 64;

/// So many samples in a row of which one field was read end the fetching of siblings.
const MISSES: u32 = 8;

/// How far ahead of a reader to be at first, in served bytes; it doubles as long as the reader follows.
const FIRST: u64 = 2 << 20;

/// The furthest ahead of a reader.
const FURTHEST: u64 = 32 << 20;

/// Requests of one reader come in any order within this distance: the kernel has several under way.
const DISORDER: u64 = 4 << 20;

/// Served bytes of each sibling that are fetched.
const SIBLING: u64 = 4 << 20;

/// Whether to read before anyone asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefetch {
    /// Where the store is far away, as long as readers follow.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Always, so many served bytes of each file of a sample.
    Always(u64),
}

/// Reads ahead of the readers of a filesystem.
pub struct Prefetcher {
    ahead: Ahead,
    follow: Follow,
    /// Served bytes of each sibling.
    sibling: u64,
    always: bool,
}

impl Prefetcher {
    /// A prefetcher where one is wanted, for a store that is far away or not.
    ///
    /// # Errors
    /// A system that has no more threads.
    pub fn new(prefetch: Prefetch, is_far: bool, reader: &Arc<Reader>) -> Result<Option<Self>> {
        let (sibling, always) = match prefetch {
            Prefetch::Auto if is_far => (SIBLING, false),
            Prefetch::Auto | Prefetch::Off => return Ok(None),
            Prefetch::Always(bytes) => (bytes, true),
        };
        let ahead =
            Ahead::new(Arc::clone(reader)).map_err(|e| Error::io("start threads that read ahead", &e))?;
        Ok(Some(Self { ahead, follow: Follow::default(), sibling, always }))
    }
}

impl Filesystem {
    /// Has read ahead what the reader of a file will want next: more of it, and when it is `new` its
    /// siblings. `wanted` counts bytes of the file.
    pub(super) fn read_ahead(
        &self,
        snapshot: &Snapshot,
        (dir, field, format, view): (DirId, FieldId, Format, Option<Slot>),
        file: &File,
        new: bool,
        wanted: &Range<u64>,
    ) {
        let Some(Prefetcher { ahead, follow, sibling, always }) = &self.prefetcher else { return };
        if new {
            ahead.read(Arc::clone(file.payload()), file.stride().begin(file.payload().size()));
        }
        ahead.read(
            Arc::clone(file.payload()),
            file.stride().next(&file.within(wanted), file.payload().size()),
        );
        let Ok(sample) = snapshot.sample(dir) else { return };
        if !(new && (follow.first_read(file.payload().array.group_id(), view) || *always)) {
            return;
        }
        for other in snapshot.catalog().fields_of(sample).filter(|other| *other != field) {
            let number = snapshot.numbers.number(&Node::File { dir, field: other, format, view });
            // One that has been read already needs nothing.
            if self.files.contains(&number) {
                continue;
            }
            // What is wrong with it is told to who reads it.
            if let Ok(file) = self.file(snapshot, dir, other, format, view) {
                let size = file.payload().size();
                ahead.read(Arc::clone(file.payload()), 0..size.min(*sibling));
            }
        }
    }
}

/// Whether the siblings of a file are worth fetching.
#[derive(Default)]
pub struct Follow {
    state: Mutex<Watch>,
}

#[derive(Default)]
struct Watch {
    /// The oldest first.
    visits: VecDeque<Visit>,
    misses: u32,
}

struct Visit {
    /// The number of the sample's group, and the view that it is seen through.
    sample: (u32, Option<Slot>),
    /// Files of it that were read.
    files: u32,
    /// Whether its siblings were asked for.
    asked: bool,
}

impl Follow {
    /// Notes that a file of a sample (by its group's number), seen through a view or not, is read for the first time. Whether to
    /// fetch its siblings now.
    pub fn first_read(&self, sample: u32, view: Option<Slot>) -> bool {
        let mut guard = self.watch();
        let watch = &mut *guard;
        if let Some(visit) = watch.visits.iter_mut().find(|visit| visit.sample == (sample, view)) {
            visit.files += 1;
            // The reader goes from file to file: whatever was thought before, it follows.
            watch.misses = 0;
            return !std::mem::replace(&mut visit.asked, true);
        }
        if watch.visits.len() == WATCHED
            && let Some(oldest) = watch.visits.pop_front()
            && oldest.asked
            && oldest.files == 1
        {
            watch.misses += 1;
        }
        let asked = watch.misses < MISSES;
        watch.visits.push_back(Visit { sample: (sample, view), files: 1, asked });
        asked
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far into a payload somebody has read, and how far ahead of that has been asked for.
#[derive(Default)]
pub struct Stride {
    state: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// Where the furthest read ended.
    read: u64,
    /// Where what has been asked for ends.
    asked: u64,
    window: u64,
}

impl Stride {
    /// The beginning of a payload of `size` bytes that somebody opens: whatever is read first, most is
    /// read from there.
    pub fn begin(&self, size: u64) -> Range<u64> {
        let mut progress = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *progress = Progress { read: 0, asked: size.min(FIRST), window: FIRST };
        0..progress.asked
    }

    /// Notes that the bytes `range` of a payload of `size` bytes are read. What to read ahead.
    pub fn next(&self, range: &Range<u64>, size: u64) -> Range<u64> {
        if range.is_empty() {
            return 0..0;
        }
        let mut progress = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let near = range.start <= progress.read + DISORDER && progress.read <= range.end + DISORDER;
        if !near {
            // A jump: what comes next is anyone's guess, until it goes on from here.
            *progress = Progress { read: range.end, asked: range.end, window: 0 };
            return 0..0;
        }
        progress.read = progress.read.max(range.end);
        if progress.asked >= progress.read + progress.window / 2 && progress.window > 0 {
            return 0..0;
        }
        progress.window = (progress.window * 2).clamp(FIRST, FURTHEST);
        let start = progress.asked.max(progress.read);
        let end = (progress.read + progress.window).min(size);
        progress.asked = progress.asked.max(end);
        start.min(end)..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_are_fetched_once_a_sample() {
        let follow = Follow::default();
        assert!(follow.first_read(1, None));
        assert!(!follow.first_read(1, None));
        assert!(follow.first_read(1, Some(Slot(3))), "a view has chunks of its own");
    }

    #[test]
    fn a_reader_of_single_fields_is_noticed_and_one_that_follows_later_too() {
        let follow = Follow::default();
        let asked = (0..1000).filter(|n| follow.first_read(*n, None)).count();
        assert!(asked < WATCHED + 2 * MISSES as usize, "{asked} of 1000 samples were fetched for nothing");
        assert!(!follow.first_read(2000, None));
        assert!(follow.first_read(2000, None), "the second file of a sample shows that it follows");
        assert!(follow.first_read(2001, None));
    }

    #[test]
    fn a_sequential_reader_finds_more_and_more_asked_for_and_nothing_twice() {
        let stride = Stride::default();
        let size = 200 << 20;
        let mut asked = 0;
        for at in (0..size).step_by(1 << 20) {
            let range = at..(at + (1 << 20)).min(size);
            let next = stride.next(&range, size);
            if !next.is_empty() {
                assert!(next.start >= asked && next.start >= range.end);
                asked = next.end;
            }
            assert!(asked >= (range.end + FIRST / 2).min(size), "nothing is ahead at {at}");
            assert!(asked <= range.end + FURTHEST);
        }
        assert_eq!(asked, size);
    }

    #[test]
    fn a_random_reader_has_nothing_read_ahead() {
        let stride = Stride::default();
        let at = |n: u64| (n * 7_919 % 100) << 24;
        let read: u64 =
            (1..50).map(|n| stride.next(&(at(n)..at(n) + 4096), 100 << 24)).map(|r| r.end - r.start).sum();
        assert!(read <= 2 * FIRST, "{read}");
    }
}
