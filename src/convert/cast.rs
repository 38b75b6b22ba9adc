//! Values from the type they come in to the type they are stored in: numpy's `astype`, but nothing
//! out of the target's range passes.
//!
//! Floating point rounds to nearest even, once, straight from the source type. Values go through
//! blocks of one wide type that holds every source value exactly: float64, or 128-bit integers
//! for the 64-bit integers, which float64 would round. So sources and targets are written down
//! once each, not once a pair.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::dtype::DType;

/// Values converted at a time: the widest blocks stay in the first-level cache.
const BLOCK: usize = 512;

/// A value that the target type cannot hold was among those to be cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange;

/// Appends to `out` the values of `from` in `source`, cast to `to`; both little-endian.
///
/// Fractions are cut off by integer targets; any value but zero is true. NaN passes to floating
/// point and to bool.
///
/// # Errors
/// [`OutOfRange`] when a value's magnitude exceeds the largest finite value of a narrower
/// floating-point type (infinity does, NaN does not), or an integer target's range, or the 0 to 1
/// of bool; `out` then holds a part.
pub fn cast(from: DType, to: DType, source: &[u8], out: &mut Vec<u8>) -> Result<(), OutOfRange> {
    match (from, to) {
        _ if from == to => {
            out.extend_from_slice(source);
            Ok(())
        }
        (DType::F32, DType::F16) => halves(source, out),
        (DType::I64, _) => integers(source, i64::from_le_bytes, to, out),
        (DType::U64, _) => integers(source, u64::from_le_bytes, to, out),
        (DType::Bool, _) => reals(source, |[v]: [u8; 1]| f64::from(u8::from(v != 0)), from, to, out),
        (DType::I8, _) => reals(source, |v| f64::from(i8::from_le_bytes(v)), from, to, out),
        (DType::I16, _) => reals(source, |v| f64::from(i16::from_le_bytes(v)), from, to, out),
        (DType::I32, _) => reals(source, |v| f64::from(i32::from_le_bytes(v)), from, to, out),
        (DType::U8, _) => reals(source, |v| f64::from(u8::from_le_bytes(v)), from, to, out),
        (DType::U16, _) => reals(source, |v| f64::from(u16::from_le_bytes(v)), from, to, out),
        (DType::U32, _) => reals(source, |v| f64::from(u32::from_le_bytes(v)), from, to, out),
        (DType::F16, _) => reals(source, |v| f16::from_le_bytes(v).to_f64(), from, to, out),
        (DType::BF16, _) => reals(source, |v| bf16::from_le_bytes(v).to_f64(), from, to, out),
        (DType::F32, _) => reals(source, |v| f64::from(f32::from_le_bytes(v)), from, to, out),
        (DType::F64, _) => reals(source, f64::from_le_bytes, from, to, out),
    }
}

/// The largest magnitude among values of `from`, NaN aside; 0 when there is none.
pub fn peak(from: DType, source: &[u8]) -> f64 {
    let mut wide = Vec::with_capacity(BLOCK * size_of::<f64>());
    let mut peak = 0f64;
    for block in source.chunks(BLOCK * from.size()) {
        wide.clear();
        // Nothing is out of float64's range.
        _ = cast(from, DType::F64, block, &mut wide);
        peak = wide.as_chunks().0.iter().map(|v| f64::from_le_bytes(*v).abs()).fold(peak, f64::max);
    }
    peak
}

/// The largest value of a type.
pub fn limit(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => f64::from(f16::MAX),
        DType::BF16 => f64::from(bf16::MAX),
        DType::F32 => f64::from(f32::MAX),
        DType::F64 => f64::MAX,
        DType::Bool => 1.0,
        DType::I8 => f64::from(i8::MAX),
        DType::I16 => f64::from(i16::MAX),
        DType::I32 => f64::from(i32::MAX),
        DType::I64 => i64::MAX as f64,
        DType::U8 => f64::from(u8::MAX),
        DType::U16 => f64::from(u16::MAX),
        DType::U32 => f64::from(u32::MAX),
        DType::U64 => u64::MAX as f64,
    }
}

/// float32 to float16, by far the most frequent cast, with F16C where the CPU has it.
fn halves(source: &[u8], out: &mut Vec<u8>) -> Result<(), OutOfRange> {
    let limit = f32::from(f16::MAX);
    let mut floats = [0f32; BLOCK];
    for values in source.as_chunks::<4>().0.chunks(BLOCK) {
        let floats = &mut floats[..values.len()];
        let mut exceeds = false;
        for (float, bytes) in floats.iter_mut().zip(values) {
            *float = f32::from_le_bytes(*bytes);
            // False for NaN.
            exceeds |= float.abs() > limit;
        }
        if exceeds {
            return Err(OutOfRange);
        }
        append_halves(floats, out);
    }
    Ok(())
}

fn append_halves(floats: &[f32], out: &mut Vec<u8>) {
    let mut halves = [f16::ZERO; BLOCK];
    let halves = &mut halves[..floats.len()];
    halves.convert_from_f32_slice(floats);
    out.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
}

/// Sources that float64 holds exactly.
fn reals<const N: usize>(
    source: &[u8],
    read: impl Fn([u8; N]) -> f64,
    from: DType,
    to: DType,
    out: &mut Vec<u8>,
) -> Result<(), OutOfRange> {
    // Infinity is a value of every floating-point type: it is refused only where the range shrinks.
    let bound = if limit(from) > limit(to) { limit(to) } else { f64::INFINITY };
    let mut wide = [0f64; BLOCK];
    for values in source.as_chunks::<N>().0.chunks(BLOCK) {
        let wide = &mut wide[..values.len()];
        for (wide, bytes) in wide.iter_mut().zip(values) {
            *wide = read(*bytes);
        }
        let floating = to.is_float() || to == DType::Bool;
        if floating && wide.iter().any(|v| v.abs() > bound) {
            return Err(OutOfRange);
        }
        match to {
            DType::F64 => append(wide, |v| Some(v.to_le_bytes()), out),
            DType::F32 => append(wide, |v| Some((v as f32).to_le_bytes()), out),
            DType::F16 => {
                let mut floats = [0f32; BLOCK];
                let floats = &mut floats[..wide.len()];
                for (float, wide) in floats.iter_mut().zip(&*wide) {
                    *float = to_odd(*wide);
                }
                append_halves(floats, out);
                Ok(())
            }
            DType::Bool => append(wide, |v| Some([u8::from(v != 0.0)]), out),
            _ => append_integers(wide, |v| v.is_finite().then_some(v as i128), to, out),
        }?;
    }
    Ok(())
}

/// The 64-bit integers.
fn integers<T: Into<i128>>(
    source: &[u8],
    read: impl Fn([u8; 8]) -> T,
    to: DType,
    out: &mut Vec<u8>,
) -> Result<(), OutOfRange> {
    let small = |v: i128, bound: i128| (v.abs() <= bound).then_some(v);
    let mut wide = [0i128; BLOCK];
    for values in source.as_chunks::<8>().0.chunks(BLOCK) {
        let wide = &mut wide[..values.len()];
        for (wide, bytes) in wide.iter_mut().zip(values) {
            *wide = read(*bytes).into();
        }
        match to {
            DType::F64 => append(wide, |v| Some((v as f64).to_le_bytes()), out),
            DType::F32 => append(wide, |v| Some((v as f32).to_le_bytes()), out),
            // Integers of float16's range are exact in float32.
            DType::F16 => {
                append(wide, |v| small(v, 65_504).map(|v| f16::from_f32(v as f32).to_le_bytes()), out)
            }
            DType::Bool => append(wide, |v| small(v, 1).map(|v| [v.unsigned_abs() as u8]), out),
            _ => append_integers(wide, Some, to, out),
        }?;
    }
    Ok(())
}

fn append_integers<W: Copy>(
    wide: &[W],
    whole: impl Fn(W) -> Option<i128>,
    to: DType,
    out: &mut Vec<u8>,
) -> Result<(), OutOfRange> {
    match to {
        DType::I8 => append(wide, |v| Some(i8::try_from(whole(v)?).ok()?.to_le_bytes()), out),
        DType::I16 => append(wide, |v| Some(i16::try_from(whole(v)?).ok()?.to_le_bytes()), out),
        DType::I32 => append(wide, |v| Some(i32::try_from(whole(v)?).ok()?.to_le_bytes()), out),
        DType::I64 => append(wide, |v| Some(i64::try_from(whole(v)?).ok()?.to_le_bytes()), out),
        DType::U8 => append(wide, |v| Some(u8::try_from(whole(v)?).ok()?.to_le_bytes()), out),
        DType::U16 => append(wide, |v| Some(u16::try_from(whole(v)?).ok()?.to_le_bytes()), out),
        DType::U32 => append(wide, |v| Some(u32::try_from(whole(v)?).ok()?.to_le_bytes()), out),
        DType::U64 => append(wide, |v| Some(u64::try_from(whole(v)?).ok()?.to_le_bytes()), out),
        DType::Bool | DType::F16 | DType::BF16 | DType::F32 | DType::F64 => Err(OutOfRange),
    }
}

fn append<W: Copy, const M: usize>(
    wide: &[W],
    narrow: impl Fn(W) -> Option<[u8; M]>,
    out: &mut Vec<u8>,
) -> Result<(), OutOfRange> {
    for value in wide {
        out.extend_from_slice(&narrow(*value).ok_or(OutOfRange)?);
    }
    Ok(())
}

/// float64 to float32 rounded to odd: what was lost leaves a trace in the last bit, so that a
/// second rounding, to float16, comes out as if it were the only one (Boldo and Melquiond,
/// "Emulation of FMA and correctly rounded sums", IEEE Trans. Computers 57, 2008).
fn to_odd(value: f64) -> f32 {
    let nearest = value as f32;
    let error = value.abs() - f64::from(nearest).abs();
    if error == 0.0 || !error.is_finite() {
        return nearest;
    }
    // Towards zero, then odd. Neither changes the sign: a rounded-up magnitude is not zero.
    let cut = nearest.to_bits() - u32::from(error < 0.0);
    f32::from_bits(cut | 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one<const N: usize>(from: DType, to: DType, value: [u8; N]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        cast(from, to, &value, &mut out).ok().map(|()| out)
    }

    fn half_of(value: f64) -> Option<f16> {
        let bytes = one(DType::F64, DType::F16, value.to_le_bytes())?;
        Some(f16::from_le_bytes([bytes[0], bytes[1]]))
    }

    /// The nearest float16 by comparing distances to both neighbours, in exact arithmetic: float16
    /// values and their midpoints are exact in float64.
    fn nearest_half(value: f64) -> f16 {
        let (mut low, mut high) = (0u16, f16::MAX.to_bits());
        while high - low > 1 {
            let middle = low.midpoint(high);
            let fits = f16::from_bits(middle).to_f64() <= value.abs();
            (low, high) = if fits { (middle, high) } else { (low, middle) };
        }
        let (below, above) = (f16::from_bits(low).to_f64(), f16::from_bits(high).to_f64());
        let midpoint = f64::midpoint(below, above);
        let up = value.abs() > midpoint || (value.abs() == midpoint && high % 2 == 0);
        let bits = if up { high } else { low };
        f16::from_bits(if value.is_sign_negative() { bits | 0x8000 } else { bits })
    }

    proptest! {
        #[test]
        fn float64_to_float16_is_one_rounding_to_nearest_even(
            exponent in -27i32..17, mantissa in 1.0f64..2.0, negative in any::<bool>(),
            near_a_midpoint in any::<bool>(), nudge in -2i64..3,
        ) {
            let mut value = mantissa * f64::from(exponent).exp2();
            if near_a_midpoint {
                // Half a unit in the last place of a float16, give or take the smallest steps.
                let coarse = f64::from_bits(value.to_bits() >> 42 << 42 | 1 << 41);
                value = f64::from_bits((coarse.to_bits() as i64 + nudge) as u64);
            }
            let value = if negative { -value } else { value };
            prop_assume!(value.abs() <= 65_504.0);
            prop_assert_eq!(half_of(value).unwrap().to_bits(), nearest_half(value).to_bits(), "{}", value);
        }

        #[test]
        fn float32_to_float16_is_what_float64_gives(value in any::<f32>()) {
            let half = one(DType::F32, DType::F16, value.to_le_bytes());
            prop_assert_eq!(half, one(DType::F64, DType::F16, f64::from(value).to_le_bytes()));
        }

        #[test]
        fn integers_that_fit_keep_their_value_and_others_are_refused(value in any::<i64>(), shift in 0u32..64) {
            let value = value >> shift;
            for to in DType::STORED.into_iter().filter(|d| !d.is_float() && *d != DType::Bool) {
                let narrow = one(DType::I64, to, value.to_le_bytes());
                let signed = to.name().starts_with('i');
                let bits = to.size() as u32 * 8 - u32::from(signed);
                let low = if signed { -(1i128 << bits) } else { 0 };
                let fits = (low..1i128 << bits).contains(&i128::from(value));
                let expected = i128::from(value).to_le_bytes()[..to.size()].to_vec();
                prop_assert_eq!(narrow, fits.then_some(expected), "{:?}", to);
            }
        }
    }

    #[test]
    fn a_value_between_the_midpoint_and_the_next_float32_is_rounded_once() {
        // Above the midpoint of 1 and the next float16, but float32 rounds it onto that midpoint.
        let value = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
        assert_eq!(half_of(value), Some(f16::from_bits(0x3c01)));
    }

    #[test]
    fn only_what_is_larger_than_the_largest_value_is_refused_and_nan_is_not() {
        assert_eq!(half_of(65_504.0), Some(f16::MAX));
        assert_eq!(half_of(65_504.001), None);
        assert_eq!(half_of(f64::NEG_INFINITY), None);
        assert!(half_of(f64::NAN).unwrap().is_nan());
        assert_eq!(one(DType::F32, DType::F16, f32::INFINITY.to_le_bytes()), None);
        assert_eq!(one(DType::F32, DType::F16, 65_505f32.to_le_bytes()), None);
        assert_eq!(one(DType::F64, DType::F32, 3.5e38f64.to_le_bytes()), None);
        assert_eq!(one(DType::BF16, DType::F16, bf16::from_f32(70_000.0).to_le_bytes()), None);
        assert_eq!(one(DType::I64, DType::F16, 65_505i64.to_le_bytes()), None);
        assert_eq!(one(DType::I32, DType::F16, (-65_505i32).to_le_bytes()), None);
        let infinity = f16::INFINITY.to_le_bytes();
        assert_eq!(one(DType::F16, DType::F32, infinity), Some(f32::INFINITY.to_le_bytes().to_vec()));
    }

    #[test]
    fn floats_become_integers_only_where_they_are_in_range() {
        assert_eq!(one(DType::F32, DType::I8, (-128.9f32).to_le_bytes()), Some(vec![0x80]));
        assert_eq!(one(DType::F32, DType::U8, (-0.5f32).to_le_bytes()), Some(vec![0]));
        for (value, to) in
            [(f64::NAN, DType::I64), (-1.0, DType::U8), (9.3e18, DType::I64), (2.0, DType::Bool)]
        {
            assert_eq!(one(DType::F64, to, value.to_le_bytes()), None, "{value} to {to:?}");
        }
    }

    #[test]
    fn the_peak_is_the_largest_magnitude_whatever_nan_is_beside_it() {
        let values: Vec<u8> =
            [1.5f32, f32::NAN, -70_000.0, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(peak(DType::F32, &values), 70_000.0);
        assert_eq!(peak(DType::F32, &[]), 0.0);
    }
}
