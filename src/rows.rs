//! Values between the types they are stored in and the float32 they are served in.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::dtype::DType;

/// Bytes of a served value: `.pt` files hold float32.
pub const SERVED: usize = 4;

/// Values converted at a time: two such blocks stay in the first-level cache.
const BLOCK: usize = 512;

/// Writes to `out` the bytes `range` of the float32 form of `stored`.
///
/// `stored` holds little-endian values of `dtype`; `range` counts bytes of the served
/// form (four a value) and may cut values at either end. `out` has the range's length.
///
/// # Panics
/// When `range` does not lie within the served form or `out` has another length.
pub fn widen_range(dtype: DType, stored: &[u8], range: Range<usize>, out: &mut [u8]) {
    assert_eq!(range.len(), out.len(), "the range and its destination have one length");
    if dtype == DType::F32 {
        out.copy_from_slice(&stored[range]);
        return;
    }
    let size = dtype.size();
    let (first, last) = (range.start.div_ceil(SERVED), range.end / SERVED);
    if first > last {
        // Both ends cut the same value.
        let value = widen_one(dtype, &stored[last * size..][..size]);
        out.copy_from_slice(&value[range.start % SERVED..][..out.len()]);
        return;
    }
    let (head, rest) = out.split_at_mut(first * SERVED - range.start);
    let (body, tail) = rest.split_at_mut((last - first) * SERVED);
    if !head.is_empty() {
        let value = widen_one(dtype, &stored[(first - 1) * size..][..size]);
        head.copy_from_slice(&value[SERVED - head.len()..]);
    }
    widen(dtype, &stored[first * size..last * size], body);
    if !tail.is_empty() {
        let value = widen_one(dtype, &stored[last * size..][..size]);
        tail.copy_from_slice(&value[..tail.len()]);
    }
}

fn widen_one(dtype: DType, stored: &[u8]) -> [u8; SERVED] {
    let mut value = [0; SERVED];
    widen(dtype, stored, &mut value);
    value
}

/// Converts whole values: `stored` of `dtype` to float32 in `out`, both little-endian.
///
/// Narrowing (float64, wide integers) rounds to nearest even, as numpy's `astype(float32)` does.
///
/// # Panics
/// When `out` does not hold exactly one float32 a stored value.
pub fn widen(dtype: DType, stored: &[u8], out: &mut [u8]) {
    assert_eq!(stored.len() / dtype.size() * SERVED, out.len(), "one float32 for each value");
    match dtype {
        DType::F32 => out.copy_from_slice(stored),
        DType::F16 => widen_half(stored, out),
        DType::BF16 => each(stored, out, |v: [u8; 2]| half::bf16::from_le_bytes(v).to_f32()),
        DType::F64 => each(stored, out, |v| f64::from_le_bytes(v) as f32),
        DType::Bool => each(stored, out, |[v]: [u8; 1]| if v == 0 { 0.0 } else { 1.0 }),
        DType::I8 => each(stored, out, |v| f32::from(i8::from_le_bytes(v))),
        DType::I16 => each(stored, out, |v| f32::from(i16::from_le_bytes(v))),
        DType::I32 => each(stored, out, |v| i32::from_le_bytes(v) as f32),
        DType::I64 => each(stored, out, |v| i64::from_le_bytes(v) as f32),
        DType::U8 => each(stored, out, |v| f32::from(u8::from_le_bytes(v))),
        DType::U16 => each(stored, out, |v| f32::from(u16::from_le_bytes(v))),
        DType::U32 => each(stored, out, |v| u32::from_le_bytes(v) as f32),
        DType::U64 => each(stored, out, |v| u64::from_le_bytes(v) as f32),
    }
}

/// The CRC-32 of values as they are served: of their float32 form, little-endian.
pub fn served_crc32(dtype: DType, stored: &[u8]) -> u32 {
    if dtype == DType::F32 {
        return crc32fast::hash(stored);
    }
    let mut hasher = crc32fast::Hasher::new();
    let mut served = [0; BLOCK * SERVED];
    for values in stored.chunks(BLOCK * dtype.size()) {
        let served = &mut served[..values.len() / dtype.size() * SERVED];
        widen(dtype, values, served);
        hasher.update(served);
    }
    hasher.finalize()
}

fn each<const N: usize>(stored: &[u8], out: &mut [u8], convert: impl Fn([u8; N]) -> f32) {
    let (values, _) = stored.as_chunks::<N>();
    let (served, _) = out.as_chunks_mut::<SERVED>();
    for (value, served) in values.iter().zip(served) {
        *served = convert(*value).to_le_bytes();
    }
}

/// float16 through `half`'s slice conversion, which uses F16C where the CPU has it (several
/// times as fast as value by value). The blocks on the stack make any alignment fine.
fn widen_half(stored: &[u8], out: &mut [u8]) {
    let mut halves = [f16::ZERO; BLOCK];
    let mut floats = [0f32; BLOCK];
    let (values, _) = stored.as_chunks::<2>();
    let (served, _) = out.as_chunks_mut::<SERVED>();
    for (values, served) in values.chunks(BLOCK).zip(served.chunks_mut(BLOCK)) {
        let halves = &mut halves[..values.len()];
        let floats = &mut floats[..values.len()];
        for (half, bytes) in halves.iter_mut().zip(values) {
            *half = f16::from_le_bytes(*bytes);
        }
        halves.convert_to_f32_slice(floats);
        for (bytes, float) in served.iter_mut().zip(&*floats) {
            *bytes = float.to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_byte_range_of_the_served_form_is_that_slice_of_the_whole(
            which in 0..DType::STORED.len(),
            bytes in prop::collection::vec(any::<u8>(), 0..4096),
            cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let dtype = DType::STORED[which];
            let stored = &bytes[..bytes.len() / dtype.size() * dtype.size()];
            let mut whole = vec![0; stored.len() / dtype.size() * SERVED];
            widen(dtype, stored, &mut whole);
            let (a, b) = (cut.0.index(whole.len() + 1), cut.1.index(whole.len() + 1));
            let range = a.min(b)..a.max(b);
            let mut part = vec![0xaa; range.len()];
            widen_range(dtype, stored, range.clone(), &mut part);
            prop_assert_eq!(&part, &whole[range]);
        }
    }

    #[test]
    fn every_float16_widens_to_the_float32_of_the_same_value() {
        let stored: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let mut out = vec![0; stored.len() * 2];
        widen(DType::F16, &stored, &mut out);
        for (bits, served) in (0..=u16::MAX).zip(out.as_chunks::<4>().0) {
            let (expected, got) = (f16::from_bits(bits).to_f64(), f32::from_le_bytes(*served));
            assert!(
                f64::from(got) == expected || (got.is_nan() && expected.is_nan()),
                "{bits:#06x} became {got}"
            );
        }
    }

    #[test]
    fn wide_values_round_to_nearest_even() {
        let mut out = [0; 4];
        widen(DType::I64, &16_777_217i64.to_le_bytes(), &mut out);
        assert_eq!(f32::from_le_bytes(out), 16_777_216.0);
        widen(DType::F64, &1e300f64.to_le_bytes(), &mut out);
        assert_eq!(f32::from_le_bytes(out), f32::INFINITY);
    }
}
