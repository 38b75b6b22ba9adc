//! Saying early what a read will ask of a store that is far away, and reading before anyone asks.
//!
//! Metadata, shard indexes and chunks follow from each other, so a cold read would wait three times.
//! The store's index tells enough to ask for the first two together, and for a small field for
//! everything at once.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{Payload, Reader};
use crate::error::Result;
use crate::store::array::Array;
use crate::store::group;
use crate::store::shard::{IndexLayout, ShardIndex};
use crate::store::{Part, Wanted};

/// Stored bytes up to which an object is fetched whole, index and all, when most of it is wanted.
const WHOLE: u64 = 1 << 20;

/// More than any `zarr.json` of a sample has, and little enough to be asked for on a guess.
const METADATA: u64 = 256 << 10;

impl Reader {
    /// Asks for what reading the bytes `range` of a payload needs, in as few round trips as there
    /// can be; false when there was no room for what is `ahead` of its reader.
    ///
    /// # Errors
    /// As [`read`](Self::read), for metadata and shard indexes.
    pub(super) fn expect(&self, payload: &Payload, range: Range<u64>, ahead: bool) -> Result<bool> {
        let wanted = &payload.array;
        let row = payload.row_size();
        let mut first = Vec::new();
        let array = self.arrays.peek(&wanted.id);
        if array.is_none() && self.groups.peek(&wanted.group_id()).is_none() {
            first.push(Wanted {
                path: group::metadata_path(&wanted.group),
                part: Part::Whole { limit: METADATA },
                version: None,
                first: None,
            });
        }
        let [chunk_rows, object_rows] = wanted.grid;
        if array.is_none() && chunk_rows > 0 {
            let layout = IndexLayout { chunks: object_rows / chunk_rows, checksum: true, at_end: true };
            let objects = objects(payload, &range, chunk_rows, layout.chunks);
            let path = |object| format!("{}/{}/c/{object}/0", wanted.group, wanted.name);
            first.extend(objects.into_iter().map(|object| index_of(payload, path(object), &layout)));
        }
        if !self.objects.expect(&first, ahead) {
            return Ok(false);
        }

        let array = self.array(payload)?;
        let missing = |chunk: &u64| !self.chunks.contains(&(array.id, *chunk));
        let pieces = payload.rows.pieces(range.clone(), row, array.chunk_rows);
        let chunks: Vec<u64> = pieces.map(|piece| piece.chunk).filter(missing).collect();
        let Some(layout) = array.shards() else {
            let limit = array.chunk_limit();
            let whole = |chunk| Wanted {
                path: array.object_path(chunk),
                part: Part::Whole { limit },
                version: None,
                first: None,
            };
            return Ok(self.objects.expect(&chunks.into_iter().map(whole).collect::<Vec<_>>(), ahead));
        };
        let shards: HashSet<u64> = chunks.iter().map(|chunk| array.place(*chunk).object).collect();
        let unknown = shards.iter().filter(|object| self.indexes.peek(&(array.id, **object)).is_none());
        let indexes: Vec<_> =
            unknown.map(|object| index_of(payload, array.object_path(*object), layout)).collect();
        if !self.objects.expect(&indexes, ahead) {
            return Ok(false);
        }
        let mut spans = Vec::new();
        for chunk in chunks {
            spans.extend(self.span(&array, layout, chunk)?);
        }
        Ok(self.objects.expect(&spans, ahead))
    }

    /// Where a chunk of a sharded array is; `None` when it is not stored.
    fn span(&self, array: &Array, layout: &IndexLayout, chunk: u64) -> Result<Option<Wanted>> {
        let place = array.place(chunk);
        let path = array.object_path(place.object);
        let shard = self.shard(array.id, place.object, layout, &path)?;
        let ShardIndex::Present { chunks, version, .. } = &*shard else { return Ok(None) };
        let range = place.slot.and_then(|slot| chunks[slot as usize].clone());
        Ok(range.map(|range| Wanted {
            path,
            part: Part::Span(range),
            version: Some(version.clone()),
            first: None,
        }))
    }

    /// Fetches and decodes, before anyone asks, the chunks that hold the bytes `range` of a payload.
    /// What goes wrong is left to the reader who asks.
    fn read_ahead(&self, payload: &Payload, range: Range<u64>) -> Result<()> {
        if !self.expect(payload, range.clone(), true)? {
            return Ok(());
        }
        let array = self.array(payload)?;
        for piece in payload.rows.pieces(range, payload.row_size(), array.chunk_rows) {
            self.chunk(&array, piece.chunk)?;
        }
        Ok(())
    }
}

/// The objects that hold a range of a payload.
fn objects(payload: &Payload, range: &Range<u64>, chunk_rows: u64, chunks: u64) -> HashSet<u64> {
    let pieces = payload.rows.pieces(range.clone(), payload.row_size(), chunk_rows);
    pieces.map(|piece| piece.chunk / chunks.max(1)).collect()
}

/// The index of a shard; all of the shard when it is small and most of it is wanted anyway.
fn index_of(payload: &Payload, path: String, layout: &IndexLayout) -> Wanted {
    let array = &payload.array;
    let stored = array.rows * u64::from(array.dim) * array.dtype.size() as u64;
    let most = payload.rows.total() >= array.rows - array.rows / 8;
    // Data that do not compress take a little more than their own size.
    let limit = stored + stored / 8 + layout.size() + 4096;
    let index = layout.part();
    if most && stored <= WHOLE {
        Wanted { path, part: Part::Whole { limit }, version: None, first: Some(index) }
    } else {
        Wanted { path, part: index, version: None, first: None }
    }
}

/// Readers ahead of the readers: threads that wait for the store so that nobody else must.
pub struct Ahead {
    shared: Arc<Shared>,
}

struct Shared {
    reader: Arc<Reader>,
    /// Guards the queue alone; threads work outside.
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<(Arc<Payload>, Range<u64>)>,
    closed: bool,
}

/// Threads that read ahead. They wait rather than work, so there are more than there are CPUs.
const THREADS: usize = 12;

/// Tasks that wait for a thread. Those beyond are left out: by their turn someone will have asked.
const WAITING: usize = 256;

impl Ahead {
    /// Starts the threads.
    ///
    /// # Errors
    /// A system that has no more threads.
    pub fn new(reader: Arc<Reader>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { reader, queue: Mutex::default(), changed: Condvar::new() });
        for _ in 0..THREADS {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("samplefs-ahead".to_owned()).spawn(move || shared.work())?;
        }
        Ok(Self { shared })
    }

    /// Has the bytes `range` of a payload read soon.
    pub fn read(&self, payload: Arc<Payload>, range: Range<u64>) {
        let mut queue = self.shared.queue();
        if queue.tasks.len() < WAITING && !range.is_empty() {
            queue.tasks.push_back((payload, range));
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        while let Some((payload, range)) = self.next() {
            // A panic here costs nobody anything: whoever needs these bytes meets it again.
            let outcome = catch_unwind(AssertUnwindSafe(|| self.reader.read_ahead(&payload, range)));
            if let Ok(Err(error)) = outcome {
                tracing::debug!("reading ahead: {error}");
            }
        }
    }

    fn next(&self) -> Option<(Arc<Payload>, Range<u64>)> {
        let wait = |queue: &mut Queue| queue.tasks.is_empty() && !queue.closed;
        let queue = self.changed.wait_while(self.queue(), wait);
        let mut queue = queue.unwrap_or_else(PoisonError::into_inner);
        if queue.closed { None } else { queue.tasks.pop_front() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
