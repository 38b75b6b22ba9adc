//! Payload bytes: plan, fetch, decode, verify, serve.

use std::cell::RefCell;
use std::sync::Arc;

use super::cache::{Cache, Got};
use super::plan::{Piece, Rows};
use super::seen::Seen;
use crate::catalog::{ArrayRef, Extent};
use crate::dtype::DType;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::Metrics;
use crate::rows;
use crate::store::array::Array;
use crate::store::group::{self, Group};
use crate::store::shard::{IndexLayout, ShardIndex};
use crate::store::{Objects, Part, RELOAD};
use crate::subsample::Run;

/// The share of the budget that metadata and shard indexes may take.
const METADATA_SHARE: usize = 8;

thread_local! {
    /// Where a thread puts a chunk before it is decoded: as large as the largest so far, kept for the
    /// next, for fresh memory costs as much as the copy into it.
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads arrays of a store, through caches. Any number of threads may use one at the same time.
pub struct Reader {
    pub(super) objects: Arc<dyn Objects>,
    /// By number. All arrays of a sample lie in one group.
    pub(super) groups: Cache<u32, Group>,
    /// By array.
    pub(super) arrays: Cache<u64, Array>,
    /// By array and object.
    pub(super) indexes: Cache<(u64, u64), ShardIndex>,
    /// By array and chunk, in the stored type: half the size of what is served, and good for every format.
    pub(super) chunks: Cache<(u64, u64), Chunk>,
    seen: Seen,
    pub(super) metrics: Arc<Metrics>,
}

/// A decoded chunk.
pub(super) enum Chunk {
    /// Its values, the padding of the last chunk included.
    Values(Vec<u8>),
    /// It is not stored: every value is the fill value.
    Fill,
}

/// A payload: rows of an array, in the type in which a file shows them.
pub struct Payload {
    /// The array.
    pub array: ArrayRef,
    /// Which of its rows.
    pub rows: Rows,
    /// The type of the values shown: the stored type or float32.
    pub served: DType,
}

impl Payload {
    /// All rows of an extent, as float32.
    pub fn served_whole(extent: Extent) -> Self {
        let Extent { array, rows } = extent;
        let rows = Rows::new([Run { start: rows.start, len: rows.end - rows.start }]);
        Self { array, rows, served: DType::F32 }
    }

    /// Bytes of a row, as shown.
    pub(super) fn row_size(&self) -> u64 {
        u64::from(self.array.dim) * self.served.size() as u64
    }

    /// Bytes in all.
    pub fn size(&self) -> u64 {
        self.rows.total() * self.row_size()
    }
}

impl Reader {
    /// A reader of that store that keeps at most about `budget` bytes in memory, beside what is
    /// being read at the moment.
    pub fn new(objects: Arc<dyn Objects>, budget: usize) -> Self {
        let metadata = budget / METADATA_SHARE;
        Self {
            objects,
            groups: Cache::new(metadata / 4),
            arrays: Cache::new(metadata / 4),
            indexes: Cache::new(metadata / 2),
            chunks: Cache::new(budget - metadata),
            seen: Seen::default(),
            metrics: Arc::default(),
        }
    }

    /// The same, counting what it does there.
    #[must_use]
    pub fn watched_by(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// Bytes that decoded chunks, metadata and indexes take.
    pub fn held(&self) -> usize {
        self.groups.weight() + self.arrays.weight() + self.indexes.weight() + self.chunks.weight()
    }

    /// Writes the bytes of the payload from `offset` on to `out`, which must lie within it.
    ///
    /// # Errors
    /// What the store says, with the array and chunk named.
    pub fn read(&self, payload: &Payload, offset: u64, out: &mut [u8]) -> Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let range = offset..offset + out.len() as u64;
        if self.objects.is_far() {
            self.expect(payload, range.clone(), false)?;
        }
        let array = self.array(payload)?;
        let mut rest = out;
        for piece in payload.rows.pieces(range.clone(), payload.row_size(), array.chunk_rows) {
            let (here, after) = rest.split_at_mut(piece.within.len());
            rest = after;
            match &*self.chunk(&array, piece.chunk)? {
                Chunk::Values(values) if payload.served == array.dtype => {
                    here.copy_from_slice(&values[piece.within]);
                }
                Chunk::Values(values) => rows::widen_range(array.dtype, values, piece.within, here),
                Chunk::Fill => fill(&array, payload.served, piece.within.start, here),
            }
        }
        debug_assert!(rest.is_empty(), "the range lies within the payload");
        self.metrics.reading.served.add(range.end - range.start);
        Ok(())
    }

    /// The CRC-32 of the whole payload as float32, from recorded checksums; `None` when it is not
    /// to be had without reading the payload. A chunk that a view cuts is read, if it is the only one.
    ///
    /// # Errors
    /// As [`read`](Self::read), for metadata and that chunk.
    pub fn crc32(&self, payload: &Payload) -> Result<Option<u32>> {
        if payload.rows.total() == 0 {
            return Ok(Some(0));
        }
        let array = self.array(payload)?;
        let Some(sums) = &array.crc32 else { return Ok(None) };
        if cut(payload, &array).count() > 1 {
            return Ok(None);
        }
        let row = payload.row_size();
        let whole = |chunk: u64| array.rows_in(chunk) * row;
        let mut crc32 = crc32fast::Hasher::new();
        let mut offset = 0;
        for piece in payload.rows.pieces(0..payload.size(), row, array.chunk_rows) {
            let size = piece.within.len() as u64;
            let part = if size == whole(piece.chunk) {
                crc32fast::Hasher::new_with_initial_len(sums[piece.chunk as usize], size)
            } else {
                let mut bytes = vec![0; piece.within.len()];
                self.read(payload, offset, &mut bytes)?;
                let mut hasher = crc32fast::Hasher::new();
                hasher.update(&bytes);
                hasher
            };
            crc32.combine(&part);
            offset += size;
        }
        Ok(Some(crc32.finalize()))
    }

    /// The array of a payload; its metadata is read once.
    pub(super) fn array(&self, payload: &Payload) -> Result<Arc<Array>> {
        let wanted = &payload.array;
        let load = || {
            let array = self.group(wanted)?.array(&*self.objects, wanted)?;
            let weight = array.weight();
            Ok((array, weight))
        };
        let array = self.arrays.get(wanted.id, load);
        array.map(Got::value).map_err(|e| e.within(format!("array {}/{}", wanted.group, wanted.name)))
    }

    /// The group of an array.
    pub(super) fn group(&self, array: &ArrayRef) -> Result<Arc<Group>> {
        let group = self.groups.get(array.group_id(), || {
            let (group, found) = Group::read(&*self.objects, &array.group)?;
            if !self.seen.metadata(array.group_id(), Some(&found)) {
                return Err(replaced(&group::metadata_path(&array.group)));
            }
            let weight = group.weight();
            Ok((group, weight))
        });
        group.map(Got::value)
    }

    /// The groups whose metadata was ever read, by their numbers.
    pub fn groups_seen(&self) -> Vec<u32> {
        self.seen.groups()
    }

    /// Forgets the versions of objects of all groups but these.
    pub fn keep_seen(&self, group: impl Fn(u32) -> bool) {
        self.seen.keep(group);
    }

    /// Whether the metadata of an array's group is still that which was read first.
    ///
    /// # Errors
    /// When the store does not tell.
    pub fn group_is_current(&self, array: &ArrayRef) -> Result<bool> {
        let path = group::metadata_path(&array.group);
        match self.objects.read(&path, Part::Last(1), None, &mut Vec::new()) {
            Ok(found) => Ok(self.seen.metadata(array.group_id(), found.as_ref())),
            // Too short even for one byte.
            Err(e) if e.kind() == ErrorKind::Invalid => Ok(false),
            Err(e) => Err(e),
        }
    }

    pub(super) fn chunk(&self, array: &Array, index: u64) -> Result<Arc<Chunk>> {
        let load = || {
            let chunk = self
                .load(array, index)
                .inspect_err(|e| {
                    if e.kind() == ErrorKind::Invalid {
                        self.metrics.reading.integrity_failures.add(1);
                    }
                })
                .map_err(|e| e.within(format!("array {}: chunk {index}", array.path)))?;
            let weight = match &chunk {
                Chunk::Values(values) => values.len(),
                Chunk::Fill => 0,
            };
            Ok((chunk, weight + size_of::<Chunk>()))
        };
        match self.chunks.get((array.id, index), load)? {
            Got::Hit(chunk) => {
                self.metrics.reading.hits.add(1);
                Ok(chunk)
            }
            Got::Loaded(chunk) => {
                self.metrics.reading.loaded.add(1);
                Ok(chunk)
            }
        }
    }

    /// Fetches, decodes and verifies a chunk.
    fn load(&self, array: &Array, index: u64) -> Result<Chunk> {
        let chunk = ENCODED.with_borrow_mut(|encoded| {
            if self.fetch(array, index, encoded)? {
                array.codec.decode(encoded).map(Chunk::Values)
            } else {
                Ok(Chunk::Fill)
            }
        })?;
        if let Some(sums) = &array.crc32 {
            verify(array, index, &chunk, sums[index as usize])?;
        }
        Ok(chunk)
    }

    /// Reads the encoded bytes of a chunk; false when it is not stored.
    fn fetch(&self, array: &Array, index: u64, encoded: &mut Vec<u8>) -> Result<bool> {
        let place = array.place(index);
        let path = array.object_path(place.object);
        let (Some(slot), Some(layout)) = (place.slot, array.shards()) else {
            let limit = array.chunk_limit();
            let found = self.objects.read(&path, Part::Whole { limit }, None, encoded)?;
            if !self.seen.object(array.id, place.object, found.as_ref()) {
                return Err(replaced(&path));
            }
            return Ok(found.is_some());
        };
        let shard = self.shard(array.id, place.object, layout, &path)?;
        let ShardIndex::Present { chunks, version, .. } = &*shard else { return Ok(false) };
        let Some(range) = chunks[slot as usize].clone() else { return Ok(false) };
        match self.objects.read(&path, Part::Span(range), Some(version), encoded)? {
            Some(_) => Ok(true),
            None => Err(replaced(&path)),
        }
    }

    pub(super) fn shard(
        &self,
        array: u64,
        object: u64,
        layout: &IndexLayout,
        path: &str,
    ) -> Result<Arc<ShardIndex>> {
        let load = || {
            let mut bytes = Vec::new();
            let found = self.objects.read(path, layout.part(), None, &mut bytes)?;
            if !self.seen.object(array, object, found.as_ref()) {
                return Err(replaced(path));
            }
            let index = match found {
                Some(found) => ShardIndex::parse(&bytes, layout, found.size, found.version)
                    .map_err(|e| e.within(path))?,
                None => ShardIndex::Absent,
            };
            let weight = index.weight() + size_of::<ShardIndex>();
            Ok((index, weight))
        };
        self.indexes.get((array, object), load).map(Got::value)
    }
}

/// An object of which another version, or none, was read before.
fn replaced(path: &str) -> Error {
    Error::new(ErrorKind::Changed, format!("{path} changed since it was first read")).hint(RELOAD)
}

/// The pieces of a payload that are not all rows of their chunk.
pub(super) fn cut<'a>(payload: &'a Payload, array: &'a Array) -> impl Iterator<Item = Piece> + 'a {
    let row = payload.row_size();
    let pieces = payload.rows.pieces(0..payload.size(), row, array.chunk_rows);
    pieces.filter(move |piece| piece.within.len() as u64 != array.rows_in(piece.chunk) * row)
}

/// Writes the fill value, as served, to `out`; `offset` is the position in the chunk's served bytes.
fn fill(array: &Array, served: DType, offset: usize, out: &mut [u8]) {
    let mut value = vec![0; served.size()];
    if served == array.dtype {
        value.copy_from_slice(&array.fill);
    } else {
        rows::widen(array.dtype, &array.fill, &mut value);
    }
    if value.iter().all(|byte| *byte == 0) {
        out.fill(0);
    } else {
        let bytes = value.iter().cycle().skip(offset % value.len());
        out.iter_mut().zip(bytes).for_each(|(out, byte)| *out = *byte);
    }
}

/// Holds a chunk against its recorded checksum: that of its real rows as float32.
fn verify(array: &Array, index: u64, chunk: &Chunk, recorded: u32) -> Result<()> {
    let real = array.rows_in(index) as usize * array.row_size();
    let computed = match chunk {
        Chunk::Values(values) => rows::served_crc32(array.dtype, &values[..real]),
        Chunk::Fill => rows::served_crc32(array.dtype, &array.fill.repeat(real / array.fill.len())),
    };
    if computed == recorded {
        return Ok(());
    }
    Err(match chunk {
        Chunk::Values(_) => Error::invalid(format!(
            "its values have CRC-32 {computed:#010x}, {recorded:#010x} was recorded when it was written"
        )),
        Chunk::Fill => Error::invalid("it is missing, but a checksum says that it was written"),
    }
    .hint("the store is damaged: restore the object, or convert the sample anew"))
}
