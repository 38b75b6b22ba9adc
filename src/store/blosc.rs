//! Decoding of blosc chunks in the one form that these stores hold: zstd, byte-shuffled, blocks
//! not split. Everything else is left to c-blosc, by way of zarrs.
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
//! | 16– | i32 offset of each block, then the blocks: i32 size, zstd frame (or the bytes themselves, when no shorter) |

use zstd::bulk::Decompressor;

/// Byte 0.
const VERSION: u8 = 2;
/// Byte 1, for zstd.
const CODEC_VERSION: u8 = 1;
/// Byte 2, when values of more than one byte are shuffled.
const FLAGS: u8 = 4 << 5 | 0x10 | SHUFFLE;
const SHUFFLE: u8 = 1;
const HEADER: usize = 16;

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
        // One-byte values have nothing to shuffle, and c-blosc leaves the flag away.
        let known = flags == FLAGS || (flags == FLAGS & !SHUFFLE && size == 1);
        if (version, codec_version) != (VERSION, CODEC_VERSION) || !known {
            return None;
        }
        if decoded != out.len() || encoded != chunk.len() || !(1..=decoded).contains(&block) || size == 0 {
            return None;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zarrs::array::codec::BloscCodec;
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

    fn encode(codec: &BloscCodec, bytes: &[u8]) -> Vec<u8> {
        codec.encode(bytes.into(), &CodecOptions::default()).unwrap().into_owned()
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
            noise in any::<bool>(), block in prop::option::of(512usize..9_000),
            shuffle in prop::sample::select(vec![
                BloscShuffleMode::NoShuffle, BloscShuffleMode::Shuffle, BloscShuffleMode::BitShuffle,
            ]),
            codec in prop::sample::select(vec![BloscCompressor::Zstd, BloscCompressor::LZ4]),
        ) {
            let mut bytes = field(seed, length);
            if noise {
                let mut generator = crate::subsample::mt19937::Mt19937::new(seed);
                bytes.iter_mut().for_each(|byte| *byte = generator.next_u32() as u8);
            }
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

    #[test]
    fn the_form_that_stores_hold_is_decoded_here() {
        for size in [1, 2, 4, 8] {
            for length in [size, 12_288, 300_000] {
                let bytes = field(3, length);
                let codec = c_blosc(size, BloscShuffleMode::Shuffle, BloscCompressor::Zstd, None);
                let mut out = vec![0; length];
                let decoded = Decoder::new().unwrap().decode(&encode(&codec, &bytes), &mut out);
                // c-blosc stores what is too short to compress in a form of its own.
                assert!(decoded.is_some() || length < 128, "{length} bytes in values of {size}");
                assert!(decoded.is_none() || out == bytes);
            }
        }
    }
}
