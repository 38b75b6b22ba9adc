//! The index of a shard: where each of its chunks stands (Zarr v3, `sharding_indexed`).
//!
//! | bytes | what |
//! |---|---|
//! | 16 a chunk | offset and size, u64 little-endian; both 2^64 − 1 for a chunk that is not there |
//! | 4, if so configured | CRC-32C of the above, little-endian |

use std::ops::Range;

use super::{Part, Version};
use crate::error::{Error, Result};

/// Both words of a chunk that is not there.
const MISSING: u64 = u64::MAX;

/// Where and how a shard's index is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexLayout {
    /// Chunks a shard.
    pub chunks: u64,
    /// Whether it ends in a checksum.
    pub checksum: bool,
    /// Whether it stands at the shard's end, not its start.
    pub at_end: bool,
}

impl IndexLayout {
    /// Bytes of the index.
    pub fn size(&self) -> u64 {
        self.chunks * 16 + if self.checksum { 4 } else { 0 }
    }

    /// Where it stands.
    pub fn part(&self) -> Part {
        if self.at_end { Part::Last(self.size()) } else { Part::Span(0..self.size()) }
    }
}

/// The chunks of one shard.
#[derive(Debug)]
pub enum ShardIndex {
    /// No such object: every chunk is missing.
    Absent,
    /// The shard as it was when its index was read.
    Present {
        /// Byte range of each chunk.
        chunks: Vec<Option<Range<u64>>>,
        /// The object's size in bytes.
        size: u64,
        /// Which version of the object they belong to.
        version: Version,
    },
}

impl ShardIndex {
    /// Reads an index out of its bytes; `object` is the shard's size.
    ///
    /// # Errors
    /// A checksum that does not hold, a range that lies outside the object.
    pub fn parse(bytes: &[u8], layout: &IndexLayout, object: u64, version: Version) -> Result<Self> {
        let entries = if layout.checksum {
            let Some((entries, stored)) = bytes.split_last_chunk::<4>() else {
                return Err(Error::invalid("the shard's index is too short for its checksum"));
            };
            let (stored, computed) = (u32::from_le_bytes(*stored), crc32c::crc32c(entries));
            if stored != computed {
                return Err(Error::invalid(format!(
                    "the shard's index has CRC-32C {computed:#010x}, recorded is {stored:#010x}"
                ))
                .hint("the object is damaged: restore or convert the sample anew"));
            }
            entries
        } else {
            bytes
        };
        let (words, _) = entries.as_chunks::<8>();
        let (pairs, _) = words.as_chunks::<2>();
        let range = |(index, pair): (usize, &[[u8; 8]; 2])| {
            let [offset, size] = pair.map(u64::from_le_bytes);
            if (offset, size) == (MISSING, MISSING) {
                return Ok(None);
            }
            match offset.checked_add(size) {
                Some(end) if end <= object => Ok(Some(offset..end)),
                _ => Err(Error::invalid(format!(
                    "the shard's index puts chunk {index} at {offset}, {size} bytes, beyond the object's {object}"
                ))),
            }
        };
        let chunks = pairs.iter().enumerate().map(range).collect::<Result<Vec<_>>>()?;
        Ok(Self::Present { chunks, size: object, version })
    }

    /// The bytes of an index with its checksum: what [`parse`](Self::parse) reads.
    pub fn encode(chunks: &[Option<Range<u64>>]) -> Vec<u8> {
        let words = |chunk: &Option<Range<u64>>| match chunk {
            Some(range) => [range.start, range.end - range.start],
            None => [MISSING, MISSING],
        };
        let mut bytes: Vec<u8> = chunks.iter().flat_map(words).flat_map(u64::to_le_bytes).collect();
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Bytes in memory.
    pub fn weight(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Present { chunks, .. } => size_of_val(&chunks[..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAYOUT: IndexLayout = IndexLayout { chunks: 2, checksum: true, at_end: true };

    fn version() -> Version {
        Version::Tag("v".into())
    }

    fn index(words: [u64; 4]) -> Vec<u8> {
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    #[test]
    fn entries_are_ranges_or_missing() {
        let parsed = ShardIndex::parse(&index([0, 10, MISSING, MISSING]), &LAYOUT, 46, version()).unwrap();
        let ShardIndex::Present { chunks, .. } = parsed else { panic!("the shard is there") };
        assert_eq!(chunks, [Some(0..10), None]);
    }

    #[test]
    fn a_flipped_bit_and_a_range_outside_the_object_are_refused() {
        let mut bytes = index([0, 10, 10, 10]);
        bytes[3] ^= 1;
        let error = ShardIndex::parse(&bytes, &LAYOUT, 56, version()).unwrap_err();
        assert!(error.to_string().contains("CRC-32C"), "{error}");
        for words in [[0, 57, 0, 1], [u64::MAX - 1, 2, 0, 1], [MISSING, 0, 0, 1]] {
            assert!(ShardIndex::parse(&index(words), &LAYOUT, 56, version()).is_err(), "{words:?}");
        }
    }

    proptest! {
        #[test]
        fn an_index_that_is_written_is_read_again(
            chunks in prop::collection::vec(prop::option::of((0u64..1000, 0u64..1000)), 0..20),
        ) {
            let chunks: Vec<_> = chunks.into_iter().map(|c| c.map(|(at, size)| at..at + size)).collect();
            let layout = IndexLayout { chunks: chunks.len() as u64, ..LAYOUT };
            let read = ShardIndex::parse(&ShardIndex::encode(&chunks), &layout, 2000, version()).unwrap();
            let ShardIndex::Present { chunks: read, .. } = read else { panic!("the shard is there") };
            prop_assert_eq!(read, chunks);
        }

        #[test]
        fn no_bytes_make_it_panic_or_point_outside(
            bytes in prop::collection::vec(any::<u8>(), 0..80), checksum in any::<bool>(), object in 0u64..1 << 40,
        ) {
            let layout = IndexLayout { checksum, ..LAYOUT };
            if let Ok(ShardIndex::Present { chunks, .. }) = ShardIndex::parse(&bytes, &layout, object, version()) {
                prop_assert!(chunks.into_iter().flatten().all(|range| range.end <= object));
            }
        }
    }
}
