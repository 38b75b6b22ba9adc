//! One Zarr v3 array: which object holds which rows, and how they are encoded.

use std::sync::Arc;

use serde::Deserialize;
use zarrs::array::{ArrayMetadataV3, ChunkKeyEncoding, DataType};
use zarrs::metadata::v3::MetadataV3;
use zarrs::metadata_ext::chunk_grid::regular::RegularChunkGridConfiguration;
use zarrs::metadata_ext::codec::sharding::{ShardingCodecConfigurationV1, ShardingIndexLocation};

use super::codec::{Codec, is_little_endian};
use super::shard::IndexLayout;
use crate::catalog::ArrayRef;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// An array whose metadata has been read and found to be what the manifest says.
pub struct Array {
    /// The number by which caches know it.
    pub id: u64,
    /// Its path from the store's root.
    pub path: String,
    /// Rows.
    pub rows: u64,
    /// Values a row.
    pub dim: u32,
    /// The stored type.
    pub dtype: DType,
    /// Rows of a chunk: of the smallest part that can be decoded by itself. The last is padded.
    pub chunk_rows: u64,
    /// How a chunk is encoded.
    pub codec: Codec,
    /// One value of a chunk that is not there, little-endian.
    pub fill: Vec<u8>,
    /// CRC-32 of each chunk's real rows as float32, where the writer recorded them.
    pub crc32: Option<Arc<[u32]>>,
    keys: ChunkKeyEncoding,
    shards: Option<IndexLayout>,
}

/// The object that a chunk is in, and its place there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The object's position on the array's grid.
    pub object: u64,
    /// The chunk's position in the shard; `None` when the object is the chunk.
    pub slot: Option<u64>,
}

/// samplefs' own attributes of an array, which `convert` writes.
#[derive(Deserialize, Default)]
struct Recorded {
    crc32: Option<Vec<u32>>,
}

impl Array {
    /// Reads an array's `zarr.json` and holds it against what is expected.
    ///
    /// # Errors
    /// Metadata that is no valid Zarr v3 array, that differs from the manifest in shape or type,
    /// or that splits the channel axis, which noether's stores never do.
    pub fn new(json: &str, expected: &ArrayRef) -> Result<Self> {
        let metadata: ArrayMetadataV3 = serde_json::from_str(json)
            .map_err(|e| Error::invalid(format!("no Zarr v3 array metadata: {e}")))?;
        if let Some((name, _)) = metadata.additional_fields.iter().find(|(_, field)| field.must_understand())
        {
            return Err(Error::invalid(format!("the metadata has {name}, which is not understood")));
        }
        if !metadata.storage_transformers.is_empty() {
            return Err(Error::invalid("storage transformers are not supported"));
        }
        let ArrayRef { rows, dim, dtype, .. } = *expected;
        if metadata.shape != [rows, u64::from(dim)] {
            return Err(Error::invalid(format!(
                "its shape is {:?}, the manifest says [{rows}, {dim}]",
                metadata.shape
            )));
        }
        if metadata.data_type.name() != dtype.name() {
            return Err(Error::invalid(format!(
                "its type is {}, the manifest says {}",
                metadata.data_type.name(),
                dtype.name()
            )));
        }
        let data_type =
            DataType::from_metadata(&metadata.data_type).map_err(|e| Error::invalid(e.to_string()))?;
        let fill = data_type
            .fill_value_v3(&metadata.fill_value)
            .map_err(|_| Error::invalid(format!("{} is no fill value of its type", metadata.fill_value)))?;
        let keys = ChunkKeyEncoding::from_metadata(&metadata.chunk_key_encoding)
            .map_err(|e| Error::invalid(e.to_string()))?;

        let object_rows = rows_of(&regular_grid(&metadata.chunk_grid)?, dim)?;
        let sharding = Sharding::of(&metadata.codecs)?;
        let (chunk_rows, chain) = match &sharding {
            Some(sharding) => (rows_of(&sharding.chunk_shape, dim)?, &sharding.codecs),
            None => (object_rows, &metadata.codecs),
        };
        if object_rows % chunk_rows != 0 {
            return Err(Error::invalid(format!(
                "shards of {object_rows} rows are not whole chunks of {chunk_rows}"
            )));
        }
        let shards = sharding.as_ref().map(|sharding| IndexLayout {
            chunks: object_rows / chunk_rows,
            checksum: sharding.checksum,
            at_end: sharding.at_end,
        });
        let little_endian_fill = fill.as_ne_bytes().to_vec();
        let codec = Codec::new(chain, &[chunk_rows, u64::from(dim)], data_type, fill)?;
        let crc32 = recorded(&metadata, rows.div_ceil(chunk_rows))?;
        Ok(Self {
            id: expected.id,
            path: format!("{}/{}", expected.group, expected.name),
            rows,
            dim,
            dtype,
            chunk_rows,
            codec,
            fill: little_endian_fill,
            crc32,
            keys,
            shards,
        })
    }

    /// Whether two descriptions of one array put the same rows at the same places.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let places = |array: &Self| (array.chunk_rows, array.shards, array.fill.clone(), array.crc32.clone());
        places(self) == places(other)
    }

    /// How many chunks hold rows of the array.
    pub fn chunks(&self) -> u64 {
        self.rows.div_ceil(self.chunk_rows)
    }

    /// Rows of the array that a chunk holds: fewer than [`chunk_rows`](Self::chunk_rows) in the last.
    pub fn rows_in(&self, chunk: u64) -> u64 {
        self.chunk_rows.min(self.rows.saturating_sub(chunk * self.chunk_rows))
    }

    /// The most that the object of a chunk of an array without shards can have.
    pub fn chunk_limit(&self) -> u64 {
        self.codec.decoded_size() as u64 * 2 + (1 << 20)
    }

    /// Stored bytes of a row.
    pub fn row_size(&self) -> usize {
        self.dim as usize * self.dtype.size()
    }

    /// The layout of the shards' indexes; `None` when the array is not sharded.
    pub fn shards(&self) -> Option<&IndexLayout> {
        self.shards.as_ref()
    }

    /// Where a chunk is.
    pub fn place(&self, chunk: u64) -> Place {
        match &self.shards {
            Some(index) => Place { object: chunk / index.chunks, slot: Some(chunk % index.chunks) },
            None => Place { object: chunk, slot: None },
        }
    }

    /// The path of an object of the grid, from the store's root.
    pub fn object_path(&self, object: u64) -> String {
        format!("{}/{}", self.path, self.keys.encode(&[object, 0]))
    }

    /// Bytes in memory, roughly: what a cache counts.
    pub fn weight(&self) -> usize {
        const STRUCTURES: usize = 2048;
        STRUCTURES + self.path.len() + self.crc32.as_ref().map_or(0, |sums| size_of_val(&**sums))
    }
}

/// Sharding that allows a chunk to be read by its byte range.
struct Sharding {
    chunk_shape: Vec<u64>,
    codecs: Vec<MetadataV3>,
    checksum: bool,
    at_end: bool,
}

impl Sharding {
    /// The sharding of a chain that consists of it alone, with an index of known form. In any other
    /// chain an object is decoded as one chunk, which is right for every chain there is.
    fn of(codecs: &[MetadataV3]) -> Result<Option<Self>> {
        let [only] = codecs else { return Ok(None) };
        if only.name() != "sharding_indexed" {
            return Ok(None);
        }
        let sharding: ShardingCodecConfigurationV1 =
            only.to_configuration().map_err(|e| Error::invalid(format!("sharding_indexed: {e}")))?;
        let checksum = match &sharding.index_codecs[..] {
            [bytes] if is_little_endian(bytes) => false,
            [bytes, crc32c] if is_little_endian(bytes) && crc32c.name() == "crc32c" => true,
            _ => return Ok(None),
        };
        Ok(Some(Self {
            chunk_shape: sharding.chunk_shape.iter().map(|length| length.get()).collect(),
            codecs: sharding.codecs,
            checksum,
            at_end: sharding.index_location == ShardingIndexLocation::End,
        }))
    }
}

fn regular_grid(grid: &MetadataV3) -> Result<Vec<u64>> {
    if grid.name() != "regular" {
        return Err(Error::invalid(format!("chunk grid {} is not supported", grid.name())));
    }
    let grid: RegularChunkGridConfiguration =
        grid.to_configuration().map_err(|e| Error::invalid(format!("chunk grid: {e}")))?;
    Ok(grid.chunk_shape.iter().map(|length| length.get()).collect())
}

/// The rows of a chunk of that shape, which must span all `dim` values of a row.
fn rows_of(shape: &[u64], dim: u32) -> Result<u64> {
    match shape {
        [rows, width] if *width == u64::from(dim) => Ok(*rows),
        _ => Err(Error::invalid(format!("chunks of shape {shape:?} do not hold whole rows of {dim} values"))),
    }
}

fn recorded(metadata: &ArrayMetadataV3, chunks: u64) -> Result<Option<Arc<[u32]>>> {
    let Some(attributes) = metadata.attributes.get("samplefs") else { return Ok(None) };
    let recorded =
        Recorded::deserialize(attributes).map_err(|e| Error::invalid(format!("attribute samplefs: {e}")))?;
    let Some(sums) = recorded.crc32 else { return Ok(None) };
    if sums.len() as u64 != chunks {
        return Err(Error::invalid(format!("{} checksums are recorded for {chunks} chunks", sums.len())));
    }
    Ok(Some(sums.into()))
}
