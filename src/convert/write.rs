//! One array's shards, byte for byte as zarr-python writes them.
//!
//! A shard is its chunks one after another in order, then an index of (offset, length) pairs and
//! the index's CRC-32C (Zarr v3, `sharding_indexed`). The last chunk is padded with zeros to its
//! full length. A chunk of nothing but zero bytes is the fill value and is left out, and so is a
//! shard of such chunks; a float −0.0 has a bit set and counts as data.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use zarrs::array::codec::bytes_to_bytes::blosc::{
    BloscCompressionLevel, BloscCompressor, BloscShuffleMode, blosc_compress_bytes,
};

use super::failure::{Attempt, Failure};
use crate::dtype::DType;
use crate::error::Error;
use crate::rows;
use crate::store::manifest::DomainGrid;

/// Offset and length of a chunk that is not there.
const ABSENT: u64 = u64::MAX;

/// Written at a time: well above the size of a compressed chunk, so that small chunks do not cost
/// a system call each.
const BUFFER: usize = 1 << 18;

/// Values widened at a time for their checksum.
const SERVED_BLOCK: usize = 2048;

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

impl Array {
    /// Writes all shards into the directory of the array. `rows` appends the stored form of a
    /// range of rows to a buffer.
    ///
    /// # Errors
    /// Those of `rows`; a failed write ends the run.
    pub fn write(
        &self,
        directory: &Path,
        mut rows: impl FnMut(Range<usize>, &mut Vec<u8>) -> Attempt<()>,
    ) -> Attempt<Shards> {
        let DomainGrid { n_points, chunk_points, shard_points, n_chunks } = self.grid;
        let width = u64::from(self.dim) * self.dtype.size() as u64;
        let mut shards = Shards::default();
        let mut chunk = Vec::new();
        for shard in 0..n_points.div_ceil(shard_points) {
            let mut file = None;
            let per_shard = shard_points / chunk_points;
            let mut index = Vec::new();
            for number in shard * per_shard..(shard + 1) * per_shard {
                if number >= n_chunks {
                    index.extend([ABSENT, ABSENT]);
                    continue;
                }
                let start = number * chunk_points;
                let end = n_points.min(start + chunk_points);
                chunk.clear();
                rows(start as usize..end as usize, &mut chunk)?;
                shards.crc32.push(served_crc32(self.dtype, &chunk));
                if chunk.iter().all(|byte| *byte == 0) {
                    index.extend([ABSENT, ABSENT]);
                    continue;
                }
                chunk.resize((chunk_points * width) as usize, 0);
                let encoded = self.encode(&chunk)?;
                let file = match &mut file {
                    Some(file) => file,
                    empty => empty.insert(ShardFile::create(directory, shard)?),
                };
                index.extend([file.length, encoded.len() as u64]);
                file.append(&encoded)?;
            }
            if let Some(file) = file {
                shards.bytes += file.finish(&index)?;
            }
        }
        Ok(shards)
    }

    fn encode(&self, chunk: &[u8]) -> Attempt<Vec<u8>> {
        let broken = |e: &dyn std::fmt::Display| Failure::Run(Error::invalid(format!("blosc: {e}")));
        let level = BloscCompressionLevel::try_from(self.compression_level).map_err(|e| broken(&e))?;
        let (shuffle, zstd) = (BloscShuffleMode::Shuffle, BloscCompressor::Zstd);
        blosc_compress_bytes(chunk, level, shuffle, self.dtype.size(), zstd, 0, 1).map_err(|e| broken(&e))
    }
}

/// The CRC-32 of stored rows in the float32 form that a `.pt` serves.
fn served_crc32(dtype: DType, stored: &[u8]) -> u32 {
    if dtype == DType::F32 {
        return crc32fast::hash(stored);
    }
    let mut hasher = crc32fast::Hasher::new();
    let mut served = [0; SERVED_BLOCK * rows::SERVED];
    for values in stored.chunks(SERVED_BLOCK * dtype.size()) {
        let served = &mut served[..values.len() / dtype.size() * rows::SERVED];
        rows::widen(dtype, values, served);
        hasher.update(served);
    }
    hasher.finalize()
}

/// A shard being written.
struct ShardFile {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
}

impl ShardFile {
    fn create(array: &Path, shard: u64) -> Attempt<Self> {
        let directory = array.join("c").join(shard.to_string());
        fs::create_dir_all(&directory).map_err(|e| Failure::write(&directory, &e))?;
        let path = directory.join("0");
        let file = File::create_new(&path).map_err(|e| Failure::write(&path, &e))?;
        Ok(Self { path, file: BufWriter::with_capacity(BUFFER, file), length: 0 })
    }

    fn append(&mut self, bytes: &[u8]) -> Attempt<()> {
        self.length += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|e| Failure::write(&self.path, &e))
    }

    fn finish(mut self, index: &[u64]) -> Attempt<u64> {
        let mut bytes: Vec<u8> = index.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        self.append(&bytes)?;
        self.file.flush().map_err(|e| Failure::write(&self.path, &e))?;
        Ok(self.length)
    }
}
