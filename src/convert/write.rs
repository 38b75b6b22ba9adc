//! One array's shards, byte for byte as zarr-python writes them.
//!
//! A shard is its chunks one after another in order, then an index of (offset, length) pairs and
//! the index's CRC-32C (Zarr v3, `sharding_indexed`). The last chunk is padded with zeros to its
//! full length. A chunk of nothing but zero bytes is the fill value and is left out, and so is a
//! shard of such chunks; a float −0.0 has a bit set and counts as data.

use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::failure::{Attempt, Failure};
use crate::dtype::DType;
use crate::rows;
use crate::store::blosc::Encoder;
use crate::store::manifest::DomainGrid;
use crate::store::shard::ShardIndex;

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
    /// Writes all shards of an array into its directory. `rows` puts the stored form of a range of
    /// rows where it is told to.
    ///
    /// # Errors
    /// Those of `rows`; a failed write ends the run.
    pub fn write(
        &mut self,
        array: &Array,
        directory: &Path,
        mut rows: impl FnMut(Range<usize>, &mut [u8]) -> Attempt<()>,
    ) -> Attempt<Shards> {
        let DomainGrid { n_points, chunk_points, shard_points, n_chunks } = array.grid;
        let width = array.dim as usize * array.dtype.size();
        self.chunk.resize(chunk_points as usize * width, 0);
        let mut shards = Shards::default();
        for shard in 0..n_points.div_ceil(shard_points) {
            let mut file = None;
            let per_shard = shard_points / chunk_points;
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
                let file = match &mut file {
                    Some(file) => file,
                    empty => empty.insert(ShardFile::create(directory, shard)?),
                };
                let start = file.length;
                file.append(encoded)?;
                index.push(Some(start..file.length));
            }
            if let Some(file) = file {
                shards.bytes += file.finish(&index)?;
            }
        }
        Ok(shards)
    }
}

/// A shard being written.
struct ShardFile {
    path: PathBuf,
    file: File,
    length: u64,
}

impl ShardFile {
    fn create(array: &Path, shard: u64) -> Attempt<Self> {
        let directory = array.join("c").join(shard.to_string());
        fs::create_dir_all(&directory).map_err(|e| Failure::write(&directory, &e))?;
        let path = directory.join("0");
        let file = File::create_new(&path).map_err(|e| Failure::write(&path, &e))?;
        Ok(Self { path, file, length: 0 })
    }

    fn append(&mut self, bytes: &[u8]) -> Attempt<()> {
        self.length += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|e| Failure::write(&self.path, &e))
    }

    fn finish(mut self, index: &[Option<Range<u64>>]) -> Attempt<u64> {
        self.append(&ShardIndex::encode(index))?;
        Ok(self.length)
    }
}
