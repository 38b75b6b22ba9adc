//! A virtual file: prefix, payload and suffix, and any slice of the three.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::follow::Stride;
use crate::error::Result;
use crate::format::{Format, Frame};
use crate::read::explain::Plan;
use crate::read::{Payload, Reader};

/// A file of a sample, ready to be read.
pub struct File {
    format: Format,
    frame: Frame,
    payload: Arc<Payload>,
    stride: Stride,
    /// What stands behind the payload; made when first read, for its checksum may need the store.
    suffix: OnceLock<Vec<u8>>,
}

impl File {
    /// A file of that format around a payload.
    pub fn new(format: Format, payload: Payload) -> Self {
        let frame = format.frame(payload.rows.total(), payload.array.dim, payload.array.dtype);
        Self { format, frame, payload: Arc::new(payload), stride: Stride::default(), suffix: OnceLock::new() }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.frame.size()
    }

    /// Puts the bytes from `offset` on into `out`, which then holds nothing else: `length` of them,
    /// or fewer at the file's end.
    ///
    /// # Errors
    /// What reading the payload says.
    pub fn read(&self, reader: &Reader, offset: u64, length: usize, out: &mut Vec<u8>) -> Result<()> {
        let end = self.size().min(offset.saturating_add(length as u64));
        // Every byte is written below; what was there before need not be cleared.
        out.resize(end.saturating_sub(offset) as usize, 0);
        if out.is_empty() {
            return Ok(());
        }
        let payload_start = self.frame.prefix.len() as u64;
        let payload_end = payload_start + self.frame.payload;

        let wanted = offset..end;
        if let Some((from, into)) = overlap(&wanted, 0..payload_start) {
            out[into].copy_from_slice(&self.frame.prefix[from]);
        }
        if let Some((from, into)) = overlap(&wanted, payload_start..payload_end) {
            reader.read(&self.payload, from.start as u64, &mut out[into])?;
        }
        if let Some((from, into)) = overlap(&wanted, payload_end..self.size()) {
            out[into].copy_from_slice(&self.suffix(reader)?[from]);
        }
        Ok(())
    }

    /// What reading the bytes `wanted` asks of the store, when nothing is in memory yet.
    ///
    /// # Errors
    /// What reading metadata and shard indexes says.
    pub fn explain(&self, reader: &Reader, wanted: &Range<u64>) -> Result<Plan> {
        let mut plan = reader.explain(&self.payload, self.within(wanted))?;
        let end = self.frame.prefix.len() as u64 + self.frame.payload;
        if self.format == Format::Pt && overlap(wanted, end..self.size()).is_some() {
            reader.explain_crc32(&self.payload, &mut plan)?;
        }
        Ok(plan)
    }

    /// The bytes `wanted` of the file as bytes of its payload; empty where they are none of it.
    pub fn within(&self, wanted: &Range<u64>) -> Range<u64> {
        let start = self.frame.prefix.len() as u64;
        let within = |at: u64| at.clamp(start, start + self.frame.payload) - start;
        within(wanted.start)..within(wanted.end)
    }

    /// How it is being read.
    pub fn stride(&self) -> &Stride {
        &self.stride
    }

    /// The parts that the file consists of.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// What it shows.
    pub fn payload(&self) -> &Arc<Payload> {
        &self.payload
    }

    fn suffix(&self, reader: &Reader) -> Result<&[u8]> {
        if let Some(suffix) = self.suffix.get() {
            return Ok(suffix);
        }
        let crc32 = match self.format {
            Format::Pt => reader.crc32(&self.payload)?.unwrap_or(0),
            Format::Npy => 0,
        };
        let suffix = self.format.suffix(self.payload.rows.total(), self.payload.array.dim, crc32);
        Ok(self.suffix.get_or_init(|| suffix))
    }

    /// Bytes in memory, roughly: what a cache counts.
    pub fn weight(&self) -> usize {
        const STRUCTURES: usize = 2048;
        STRUCTURES + self.payload.rows.weight()
    }
}

/// Where a part of the file and the wanted range meet, counted from the start of each.
fn overlap(wanted: &Range<u64>, part: Range<u64>) -> Option<(Range<usize>, Range<usize>)> {
    let both = wanted.start.max(part.start)..wanted.end.min(part.end);
    let from = |origin: u64| (both.start - origin) as usize..(both.end - origin) as usize;
    (!both.is_empty()).then(|| (from(part.start), from(wanted.start)))
}
