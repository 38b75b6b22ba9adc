//! What a read asks of the store: which objects, which bytes of them, and how many of those are used.

use std::ops::Range;
use std::sync::Arc;

use super::plan::Piece;
use super::reader::cut;
use super::{Payload, Reader};
use crate::error::Result;
use crate::store::Part;
use crate::store::array::Array;
use crate::store::shard::ShardIndex;

/// What a read does when nothing but the sample's metadata is in memory.
pub struct Plan {
    /// The array.
    pub array: Arc<Array>,
    /// The shard indexes that are read first.
    pub indexes: Vec<Fetch>,
    /// The chunks that are needed, in the order in which the read comes to them.
    pub chunks: Vec<Step>,
}

/// Bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Its path from the store's root.
    pub object: String,
    /// Which bytes; none where there is no such object.
    pub range: Range<u64>,
}

/// A chunk, and what of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The wanted bytes, in the form in which they are served.
    pub piece: Piece,
    /// Where it is stored; `None` when it is not, and reads as the fill value.
    pub fetch: Option<Fetch>,
}

impl Fetch {
    /// How many bytes.
    pub fn size(&self) -> u64 {
        self.range.end - self.range.start
    }
}

impl Plan {
    /// Requests: one an index, one a chunk.
    pub fn requests(&self) -> usize {
        self.indexes.len() + self.chunks.iter().filter(|step| step.fetch.is_some()).count()
    }

    /// Bytes that come from the store.
    pub fn fetched(&self) -> u64 {
        let chunks = self.chunks.iter().filter_map(|step| step.fetch.as_ref());
        self.indexes.iter().chain(chunks).map(Fetch::size).sum()
    }

    /// Payload bytes that they become.
    pub fn used(&self) -> u64 {
        self.chunks.iter().map(|step| step.piece.within.len() as u64).sum()
    }
}

impl Reader {
    /// What reading the bytes `range` of a payload asks of the store. Metadata and shard indexes are
    /// read for it; of an array without shards the chunks are too, for nothing else tells their size.
    ///
    /// # Errors
    /// What the store says, with the array or object named.
    pub fn explain(&self, payload: &Payload, range: Range<u64>) -> Result<Plan> {
        let array = self.array(payload)?;
        let mut plan = Plan { array: Arc::clone(&array), indexes: Vec::new(), chunks: Vec::new() };
        for piece in payload.rows.pieces(range, payload.row_size(), array.chunk_rows) {
            self.add(&mut plan, piece)?;
        }
        Ok(plan)
    }

    /// Adds to a plan what [`crc32`](Self::crc32) asks beyond it: the one chunk that a view cuts.
    ///
    /// # Errors
    /// As [`explain`](Self::explain).
    pub fn explain_crc32(&self, payload: &Payload, plan: &mut Plan) -> Result<()> {
        let array = Arc::clone(&plan.array);
        let mut cut = cut(payload, &array);
        let (Some(piece), None, true) = (cut.next(), cut.next(), array.crc32.is_some()) else {
            return Ok(());
        };
        if plan.chunks.iter().any(|step| step.piece.chunk == piece.chunk) {
            return Ok(());
        }
        // Its values are summed and not shown.
        self.add(plan, Piece { within: 0..0, ..piece })
    }

    fn add(&self, plan: &mut Plan, piece: Piece) -> Result<()> {
        let array = &*plan.array;
        let place = array.place(piece.chunk);
        let object = array.object_path(place.object);
        let (Some(slot), Some(layout)) = (place.slot, array.shards()) else {
            let found = self.objects.read(&object, Part::Whole { limit: u64::MAX }, None, &mut Vec::new())?;
            let fetch = found.map(|found| Fetch { object, range: 0..found.size });
            plan.chunks.push(Step { piece, fetch });
            return Ok(());
        };
        let index = self
            .shard(array.id, place.object, layout, &object)
            .map_err(|e| e.within(format!("array {}", array.path)))?;
        let (range, chunk) = match &*index {
            ShardIndex::Absent => (0..0, None),
            ShardIndex::Present { chunks, size, .. } => {
                let start = if layout.at_end { size - layout.size() } else { 0 };
                (start..start + layout.size(), chunks[slot as usize].clone())
            }
        };
        if !plan.indexes.iter().any(|index| index.object == object) {
            plan.indexes.push(Fetch { object: object.clone(), range });
        }
        plan.chunks.push(Step { piece, fetch: chunk.map(|range| Fetch { object, range }) });
        Ok(())
    }

    /// Holds an array's own metadata against the copy that reads go by.
    ///
    /// # Errors
    /// When they differ, or cannot be read.
    pub fn check_metadata(&self, payload: &Payload) -> Result<()> {
        let copy = self.array(payload)?;
        self.group(&payload.array)?.check_copy(&*self.objects, &payload.array, &copy)
    }
}
