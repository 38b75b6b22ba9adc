//! One array's shards, byte for byte as zarr-python writes them.
//!
//! A shard is its chunks one after another in order, then an index of (offset, length) pairs and
//! the index's CRC-32C (Zarr v3, `sharding_indexed`). The last chunk is padded with zeros to its
//! full length. A chunk of nothing but zero bytes is the fill value and is left out, and so is a
//! shard of such chunks; a float −0.0 has a bit set and counts as data.

use std::ops::Range;

use super::failure::{Attempt, Failure};
use super::staging::Group;
use crate::dtype::DType;
use crate::rows;
use crate::store::blosc::Encoder;
use crate::store::destination::ObjectWriter;
use crate::store::manifest::DomainGrid;
use crate::store::shard::ShardIndex;

/// Bytes that a chunk may take beyond its own: what blosc and the shard's index add to it.
const OVERHEAD: u64 = 64;

/// What an array is made of.
pub struct Array {
    /// Stored type.
    pub dtype: DType,
    /// Values a point.
    pub dim: u32,
    /// Points, chunks and shards.
    pub grid: DomainGrid,
    /// zstd's level.
    pub compression_level: u8,
}

/// What writing an array came to.
#[derive(Default)]
pub struct Shards {
    /// For each chunk the CRC-32 of its rows as float32.
    pub crc32: Vec<u32>,
    /// Bytes in all shards.
    pub bytes: u64,
}

/// Writes arrays; keeps the memory for it from one to the next.
#[derive(Default)]
pub struct Writer {
    encoder: Encoder,
    chunk: Vec<u8>,
}

impl Writer {
    /// Writes all shards of the array at `path` in a group. `rows` puts the stored form of a range of
    /// rows where it is told to.
    ///
    /// # Errors
    /// Those of `rows`; a failed write ends the run.
    pub fn write(
        &mut self,
        array: &Array,
        group: &mut Group<'_>,
        path: &str,
        mut rows: impl FnMut(Range<usize>, &mut [u8]) -> Attempt<()>,
    ) -> Attempt<Shards> {
        let DomainGrid { n_points, chunk_points, shard_points, n_chunks } = array.grid;
        let width = array.dim as usize * array.dtype.size();
        self.chunk.resize(chunk_points as usize * width, 0);
        let mut shards = Shards::default();
        for shard in 0..n_points.div_ceil(shard_points) {
            let per_shard = shard_points / chunk_points;
            let mut object = Shard {
                group: Some(&mut *group),
                path: format!("{path}/c/{shard}/0"),
                longest: per_shard * (self.chunk.len() as u64 + OVERHEAD) + OVERHEAD,
                object: None,
                length: 0,
            };
            let mut index = Vec::new();
            for number in shard * per_shard..(shard + 1) * per_shard {
                if number >= n_chunks {
                    index.push(None);
                    continue;
                }
                let start = number * chunk_points;
                let real = start as usize..n_points.min(start + chunk_points) as usize;
                let (values, padding) = self.chunk.split_at_mut(real.len() * width);
                rows(real, values)?;
                shards.crc32.push(rows::served_crc32(array.dtype, values));
                if values.iter().all(|byte| *byte == 0) {
                    index.push(None);
                    continue;
                }
                padding.fill(0);
                let size = array.dtype.size() as u8;
                let encoded = self.encoder.encode(&self.chunk, size, array.compression_level);
                let start = object.length;
                object.append(encoded)?;
                index.push(Some(start..object.length));
            }
            shards.bytes += object.finish(&index)?;
        }
        Ok(shards)
    }
}

/// A shard being written, of which there is no object before it has a chunk.
struct Shard<'a, 'g> {
    /// Until there is an object.
    group: Option<&'a mut Group<'g>>,
    path: String,
    /// The most bytes that it can have.
    longest: u64,
    object: Option<Box<dyn ObjectWriter + 'a>>,
    length: u64,
}

impl Shard<'_, '_> {
    fn append(&mut self, bytes: &[u8]) -> Attempt<()> {
        if let Some(group) = self.group.take() {
            self.object = Some(group.create(&self.path, self.longest)?);
        }
        self.length += bytes.len() as u64;
        self.object.as_mut().map_or(Ok(()), |object| object.append(bytes)).map_err(Failure::write)
    }

    /// Ends the shard, if there is one: its length.
    fn finish(mut self, index: &[Option<Range<u64>>]) -> Attempt<u64> {
        if self.object.is_some() {
            self.append(&ShardIndex::encode(index))?;
        }
        self.object.map_or(Ok(()), ObjectWriter::finish).map_err(Failure::write)?;
        Ok(self.length)
    }
}
