//! Blosc chunks in the one form that these stores hold: zstd, byte-shuffled, blocks not split.
//! Decoding leaves everything else to c-blosc, by way of zarrs; encoding writes what c-blosc
//! writes, byte for byte.
//!
//! c-blosc makes a zstd context anew for every call, which costs a small chunk as much as its
//! decompression; here it is kept.
//!
//! | bytes | what (c-blosc 1.x, `README_CHUNK_FORMAT`) |
//! |---|---|
//! | 0, 1 | version of the format, 2; version of the codec's format, 1 |
//! | 2 | flags: 1 byte shuffle, 2 stored as it is, 4 bit shuffle, 16 blocks not split, from bit 5 on the codec, 4 for zstd |
//! | 3 | bytes a value |
//! | 4–15 | u32: decoded size, block size, encoded size |
//! | 16– | the values, if stored as they are; else i32 offset of each block, then the blocks: i32 size, zstd frame (or the bytes themselves, when no shorter) |

use zstd::bulk::Decompressor;
use zstd::zstd_safe::{CCtx, max_c_level};

/// Byte 0.
const VERSION: u8 = 2;
/// Byte 1, for zstd.
const CODEC_VERSION: u8 = 1;
/// Byte 2, when values are shuffled.
const FLAGS: u8 = 4 << 5 | 0x10 | SHUFFLE;
const SHUFFLE: u8 = 1;
const STORED: u8 = 2;
const HEADER: usize = 16;
/// c-blosc compresses nothing shorter.
const SHORTEST: usize = 128;
/// c-blosc's unit of block sizes: the usual size of a first-level cache.
const FIRST_LEVEL: usize = 32 << 10;

/// A zstd context and the space for a block before it is unshuffled, kept from chunk to chunk.
pub struct Decoder {
    zstd: Decompressor<'static>,
    shuffled: Vec<u8>,
}

impl Decoder {
    /// A decoder; `None` where memory for a context is not to be had.
    pub fn new() -> Option<Self> {
        Some(Self { zstd: Decompressor::new().ok()?, shuffled: Vec::new() })
    }

    /// Decodes a chunk of `out.len()` bytes. `None` when the chunk is damaged or has another form:
    /// then c-blosc must say which; `out` may have been written to.
    pub fn decode(&mut self, chunk: &[u8], out: &mut [u8]) -> Option<()> {
        let header = chunk.first_chunk::<HEADER>()?;
        let [version, codec_version, flags, size, ..] = *header;
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (decoded, block, encoded) = (word(4) as usize, word(8) as usize, word(12) as usize);
        let as_it_is = flags & STORED != 0;
        // One-byte values have nothing to shuffle, and c-blosc leaves the flag away.
        let known = flags & !STORED == FLAGS || (flags & !STORED == FLAGS & !SHUFFLE && size == 1);
        if (version, codec_version) != (VERSION, CODEC_VERSION) || !known {
            return None;
        }
        if decoded != out.len() || encoded != chunk.len() || !(1..=decoded).contains(&block) || size == 0 {
            return None;
        }
        if as_it_is {
            let values = &chunk[HEADER..];
            return (values.len() == out.len()).then(|| out.copy_from_slice(values));
        }
        for (index, out) in out.chunks_mut(block).enumerate() {
            let start = read_i32(chunk, HEADER + index * 4)?;
            let length = read_i32(chunk, start)?;
            let data = chunk.get(start + 4..)?.get(..length)?;
            let stored = length == out.len();
            if flags & SHUFFLE == 0 {
                if stored { out.copy_from_slice(data) } else { decompress(&mut self.zstd, data, out)? }
            } else if stored {
                unshuffle(data, usize::from(size), out);
            } else {
                self.shuffled.resize(out.len(), 0);
                decompress(&mut self.zstd, data, &mut self.shuffled)?;
                unshuffle(&self.shuffled, usize::from(size), out);
            }
        }
        Some(())
    }
}

/// Decompresses to exactly the bytes of `out`.
fn decompress(zstd: &mut Decompressor<'_>, data: &[u8], out: &mut [u8]) -> Option<()> {
    let written = zstd.decompress_to_buffer(data, out).ok()?;
    (written == out.len()).then_some(())
}

fn read_i32(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    usize::try_from(i32::from_le_bytes(*word)).ok()
}

/// Undoes the byte shuffle: the first bytes of all values stand first, then the second ones, and so
/// on; bytes that make no whole value stand last as they are.
fn unshuffle(shuffled: &[u8], size: usize, out: &mut [u8]) {
    let whole = out.len() / size * size;
    let (planes, rest) = shuffled.split_at(whole);
    let (values, tail) = out.split_at_mut(whole);
    tail.copy_from_slice(rest);
    match size {
        2 => interleave::<2>(planes, values),
        4 => interleave::<4>(planes, values),
        8 => interleave::<8>(planes, values),
        _ => {
            let count = whole / size;
            for (index, byte) in values.iter_mut().enumerate() {
                *byte = planes[index % size * count + index / size];
            }
        }
    }
}

/// The inner loop for the sizes that matter; with the size known it is turned into vector code.
fn interleave<const SIZE: usize>(planes: &[u8], values: &mut [u8]) {
    let count = values.len() / SIZE;
    let planes: [&[u8]; SIZE] = std::array::from_fn(|plane| &planes[plane * count..][..count]);
    let (values, _) = values.as_chunks_mut::<SIZE>();
    for (index, value) in values.iter_mut().enumerate() {
        *value = std::array::from_fn(|plane| planes[plane][index]);
    }
}

/// A zstd context and space for a shuffled block and a chunk, kept from chunk to chunk.
#[derive(Default)]
pub struct Encoder {
    zstd: CCtx<'static>,
    shuffled: Vec<u8>,
    /// As long as the longest chunk so far, so that it is not cleared for each.
    chunk: Vec<u8>,
}

impl Encoder {
    /// The chunk that holds these values of `size` bytes, compressed at blosc's `level`, 0 to 9.
    ///
    /// # Panics
    /// When there are not whole values, or more than 2 GiB of them.
    pub fn encode(&mut self, values: &[u8], size: u8, level: u8) -> &[u8] {
        assert!(values.len().is_multiple_of(usize::from(size)), "whole values");
        let word = |length: usize| i32::try_from(length).expect("blosc counts in i32").to_le_bytes();
        let block = block_size(values.len(), level);
        let most = HEADER + values.len();
        self.chunk.resize(self.chunk.len().max(most), 0);
        let tried = level > 0 && values.len() >= SHORTEST;
        let blocks = tried.then(|| self.blocks(values, size, level, block)).flatten();
        let chunk = &mut self.chunk[..blocks.unwrap_or(most)];
        let flags = if blocks.is_some() { FLAGS } else { FLAGS | STORED };
        chunk[..4].copy_from_slice(&[VERSION, CODEC_VERSION, flags, size]);
        for (at, length) in [(4, values.len()), (8, block), (12, chunk.len())] {
            chunk[at..at + 4].copy_from_slice(&word(length));
        }
        if blocks.is_none() {
            chunk[HEADER..].copy_from_slice(values);
        }
        chunk
    }

    /// Writes all blocks behind the place of the header; where they end. `None` when they take more
    /// room than the values themselves.
    fn blocks(&mut self, values: &[u8], size: u8, level: u8, block: usize) -> Option<usize> {
        let Self { zstd, shuffled, chunk } = self;
        let chunk = &mut chunk[..HEADER + values.len()];
        let mut end = HEADER + values.len().div_ceil(block) * 4;
        for (index, values) in values.chunks(block).enumerate() {
            chunk
                .get_mut(HEADER + index * 4..)?
                .first_chunk_mut()
                .map(|at| *at = (end as i32).to_le_bytes())?;
            let (length, room) = chunk.get_mut(end..)?.split_first_chunk_mut::<4>()?;
            let whole = room.len() >= values.len();
            let room = if whole { &mut room[..values.len()] } else { room };
            shuffle(values, usize::from(size), shuffled);
            let written = match zstd.compress(room, shuffled, zstd_level(level)) {
                Ok(written) if written < values.len() => written,
                _ if whole => {
                    room.copy_from_slice(shuffled);
                    values.len()
                }
                _ => return None,
            };
            *length = (written as i32).to_le_bytes();
            end += 4 + written;
        }
        Some(end)
    }
}

/// The block size that c-blosc chooses for zstd (`compute_blocksize` in `blosc.c`).
fn block_size(length: usize, level: u8) -> usize {
    if length < FIRST_LEVEL {
        return length;
    }
    let block = match level {
        0 => FIRST_LEVEL / 2,
        1 => FIRST_LEVEL,
        2 => FIRST_LEVEL * 2,
        3 => FIRST_LEVEL * 4,
        4 | 5 => FIRST_LEVEL * 8,
        6..=8 => FIRST_LEVEL * 16,
        _ => FIRST_LEVEL * 32,
    };
    block.min(length)
}

/// What blosc's levels are to zstd (`zstd_wrap_compress` in `blosc.c`).
fn zstd_level(level: u8) -> i32 {
    if level < 9 { i32::from(level) * 2 - 1 } else { max_c_level() }
}

/// The byte shuffle: the first bytes of all values, then the second ones, and so on.
fn shuffle(values: &[u8], size: usize, out: &mut Vec<u8>) {
    out.resize(values.len(), 0);
    match size {
        1 => out.copy_from_slice(values),
        2 => part(values, out, |value, plane| (u16::from_le_bytes(value) >> (8 * plane)) as u8),
        4 => part(values, out, |value, plane| (u32::from_le_bytes(value) >> (8 * plane)) as u8),
        8 => part(values, out, |value, plane| (u64::from_le_bytes(value) >> (8 * plane)) as u8),
        _ => {
            let count = values.len() / size;
            for (index, byte) in values.iter().enumerate() {
                out[index % size * count + index / size] = *byte;
            }
        }
    }
}

/// The inner loop for the sizes that matter; on whole numbers it is turned into vector code.
#[inline(always)]
fn part<const SIZE: usize>(values: &[u8], planes: &mut [u8], byte: impl Fn([u8; SIZE], usize) -> u8) {
    let (values, _) = values.as_chunks::<SIZE>();
    for (plane, out) in planes.chunks_exact_mut(values.len()).enumerate() {
        for (value, out) in values.iter().zip(out) {
            *out = byte(*value, plane);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zarrs::array::codec::BloscCodec;
    use zarrs::array::codec::bytes_to_bytes::blosc::blosc_compress_bytes;
    use zarrs::array::{BytesRepresentation, BytesToBytesCodecTraits, CodecOptions};
    use zarrs::metadata_ext::codec::blosc::{BloscCompressionLevel, BloscCompressor, BloscShuffleMode};

    use super::*;

    fn c_blosc(
        size: usize,
        shuffle: BloscShuffleMode,
        codec: BloscCompressor,
        block: Option<usize>,
    ) -> BloscCodec {
        let level = BloscCompressionLevel::try_from(5).unwrap();
        BloscCodec::new(codec, level, block, shuffle, Some(size)).unwrap()
    }

    /// What the writers of these stores make of a chunk.
    fn c_blosc_chunk(values: &[u8], size: u8, level: u8) -> Vec<u8> {
        let level = BloscCompressionLevel::try_from(level).unwrap();
        let (shuffle, zstd) = (BloscShuffleMode::Shuffle, BloscCompressor::Zstd);
        blosc_compress_bytes(values, level, shuffle, size.into(), zstd, 0, 1).unwrap()
    }

    fn encode(codec: &BloscCodec, bytes: &[u8]) -> Vec<u8> {
        codec.encode(bytes.into(), &CodecOptions::default()).unwrap().into_owned()
    }

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut generator = crate::subsample::mt19937::Mt19937::new(seed);
        (0..length).map(|_| generator.next_u32() as u8).collect()
    }

    /// Values that compress somewhat, as fields do.
    fn field(seed: u64, length: usize) -> Vec<u8> {
        let value = |i: usize| ((i as f32 * 0.01 + seed as f32).sin() * 100.0).round();
        (0..length.div_ceil(4)).flat_map(|i| value(i).to_le_bytes()).take(length).collect()
    }

    proptest! {
        #[test]
        fn what_c_blosc_writes_is_decoded_or_left_to_it(
            seed in any::<u64>(), length in 1usize..60_000, size in prop::sample::select(vec![1usize, 2, 3, 4, 8, 16]),
            with_noise in any::<bool>(), block in prop::option::of(512usize..9_000),
            shuffle in prop::sample::select(vec![
                BloscShuffleMode::NoShuffle, BloscShuffleMode::Shuffle, BloscShuffleMode::BitShuffle,
            ]),
            codec in prop::sample::select(vec![BloscCompressor::Zstd, BloscCompressor::LZ4]),
        ) {
            let bytes = if with_noise { noise(seed, length) } else { field(seed, length) };
            let encoded = encode(&c_blosc(size, shuffle, codec, block), &bytes);
            let mut out = vec![0; length];
            if Decoder::new().unwrap().decode(&encoded, &mut out).is_some() {
                prop_assert_eq!(out, bytes);
            }
        }

        #[test]
        fn a_damaged_chunk_is_never_decoded_to_other_bytes_than_c_blosc_would(
            seed in any::<u64>(), length in 1usize..5_000, size in prop::sample::select(vec![1usize, 2, 4, 8]),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let codec = c_blosc(size, BloscShuffleMode::Shuffle, BloscCompressor::Zstd, None);
            let mut encoded = encode(&codec, &field(seed, length));
            for (at, byte) in damage {
                let at = at.index(encoded.len());
                encoded[at] = byte;
            }
            if let Some(cut) = cut {
                encoded.truncate(cut.index(encoded.len()));
            }
            let mut out = vec![0; length];
            if Decoder::new().unwrap().decode(&encoded, &mut out).is_some() {
                let whole = BytesRepresentation::FixedSize(length as u64);
                let theirs = codec.decode(encoded.into(), &whole, &CodecOptions::default()).unwrap();
                prop_assert_eq!(&out[..], &theirs[..]);
            }
        }
    }

    proptest! {
        // The highest levels take their time.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn chunks_are_encoded_as_c_blosc_does_whatever_was_encoded_before(
            chunks in prop::collection::vec(
                (0usize..90_000, any::<u64>(), 0.0..=1.0, prop::sample::select(vec![1u8, 2, 4, 8]), 0u8..10), 1..4,
            ),
        ) {
            let (mut encoder, mut decoder) = (Encoder::default(), Decoder::new().unwrap());
            for (values, seed, share, size, level) in chunks {
                let length = values * usize::from(size) / 8 * 8;
                // Up to a whole chunk of what does not compress.
                let rough = (length as f64 * share * share) as usize;
                let values = [noise(seed, rough), field(seed, length - rough)].concat();
                let encoded = encoder.encode(&values, size, level);
                prop_assert!(encoded == c_blosc_chunk(&values, size, level), "{} bytes, {} rough", length, rough);
                let mut decoded = vec![0; length];
                prop_assert!(length == 0 || decoder.decode(encoded, &mut decoded).is_some());
                prop_assert!(decoded == values);
            }
        }
    }

    #[test]
    fn the_form_that_stores_hold_is_decoded_here() {
        for size in [1, 2, 4, 8] {
            for length in [size, 12_288, 300_000] {
                let bytes = field(3, length);
                let codec = c_blosc(size, BloscShuffleMode::Shuffle, BloscCompressor::Zstd, None);
                let mut out = vec![0; length];
                let decoded = Decoder::new().unwrap().decode(&encode(&codec, &bytes), &mut out);
                assert!(decoded.is_some() && out == bytes, "{length} bytes in values of {size}");
            }
        }
    }
}
