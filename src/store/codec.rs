//! Encoded chunks to values.

use std::cell::RefCell;
use std::num::NonZeroU64;

use serde::Deserialize;
use zarrs::array::codec::api::{ArrayToBytesCodecTraits, CodecOptions};
use zarrs::array::{ArrayBytes, CodecChain, DataType, FillValue};
use zarrs::metadata::v3::MetadataV3;

use super::blosc;
use crate::error::{Error, Result};

thread_local! {
    /// One for each thread that decodes, for as long as it lives.
    static BLOSC: RefCell<Option<blosc::Decoder>> = RefCell::new(blosc::Decoder::new());
}

/// How the chunks of an array are encoded, and what they decode to.
pub struct Codec {
    chain: CodecChain,
    options: CodecOptions,
    shape: Vec<NonZeroU64>,
    dtype: DataType,
    fill: FillValue,
    decoded: usize,
    /// Whether the chain is little-endian bytes in blosc: what [`blosc::Decoder`] may know.
    is_blosc: bool,
}

/// The largest chunk that will be decoded: blosc's own limit. A chunk is held in memory whole, so
/// metadata that claims more is refused before anything is allocated.
pub const MAX_CHUNK: u64 = i32::MAX as u64;

impl Codec {
    /// The codec chain of that metadata for chunks of `shape`.
    ///
    /// # Errors
    /// A codec that is not supported, a chunk that is empty or larger than [`MAX_CHUNK`].
    pub fn new(chain: &[MetadataV3], shape: &[u64], dtype: DataType, fill: FillValue) -> Result<Self> {
        let is_blosc = matches!(chain, [bytes, blosc] if is_little_endian(bytes) && blosc.name() == "blosc");
        let names = || chain.iter().map(MetadataV3::name).collect::<Vec<_>>().join(", ");
        let chain = CodecChain::from_metadata(chain)
            .map_err(|e| Error::invalid(format!("unsupported codecs ({}): {e}", names())))?;
        let size = fill.size() as u64;
        let decoded = shape.iter().try_fold(size, |product, length| product.checked_mul(*length));
        let decoded = decoded.filter(|bytes| (1..=MAX_CHUNK).contains(bytes)).ok_or_else(|| {
            Error::invalid(format!("a chunk of {shape:?} values has not between 1 and {MAX_CHUNK} bytes"))
        })?;
        let shape = shape.iter().copied().filter_map(NonZeroU64::new).collect();
        // One chunk is decoded on one thread: readers are many, and their threads are the pool.
        let options = CodecOptions::default().with_concurrent_target(1);
        Ok(Self { chain, options, shape, dtype, fill, decoded: decoded as usize, is_blosc })
    }

    /// Bytes of a decoded chunk.
    pub fn decoded_size(&self) -> usize {
        self.decoded
    }

    /// Decodes one chunk to little-endian values in C order.
    ///
    /// # Errors
    /// Bytes that the codecs refuse, or that decode to another size.
    pub fn decode(&self, encoded: &[u8]) -> Result<Vec<u8>> {
        // Codecs add little to what they cannot shrink; far more is no chunk of this array.
        if encoded.len() > self.decoded * 2 + (1 << 20) {
            let (encoded, decoded) = (encoded.len(), self.decoded);
            return Err(Error::invalid(format!("{encoded} bytes are no encoding of {decoded}")));
        }
        if self.is_blosc {
            let mut values = vec![0; self.decoded];
            let known = |decoder: &mut Option<blosc::Decoder>| decoder.as_mut()?.decode(encoded, &mut values);
            if BLOSC.with_borrow_mut(known).is_some() {
                return Ok(values);
            }
        }
        let decoded = self
            .chain
            .decode(encoded.into(), &self.shape, &self.dtype, &self.fill, &self.options)
            .map_err(|e| Error::invalid(format!("does not decode: {e}")))?;
        let ArrayBytes::Fixed(bytes) = decoded else {
            return Err(Error::invalid("decodes to values of varying size"));
        };
        if bytes.len() != self.decoded {
            return Err(Error::invalid(format!("decodes to {} bytes, not {}", bytes.len(), self.decoded)));
        }
        Ok(bytes.into_owned())
    }
}

/// Whether this is the `bytes` codec in the order that memory has.
pub(super) fn is_little_endian(codec: &MetadataV3) -> bool {
    #[derive(Deserialize)]
    struct Bytes {
        endian: String,
    }
    codec.name() == "bytes" && codec.to_configuration::<Bytes>().is_ok_and(|bytes| bytes.endian == "little")
}
