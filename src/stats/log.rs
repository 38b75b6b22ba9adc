//! sign(x) · ln(1 + |x|) in a form that compilers turn into vector code: no branches, no calls.
//! A library's `ln_1p` takes as long as reading, decoding and all other arithmetic together.

use std::f64::consts::SQRT_2;

/// ln 2 in two parts; the first has 21 zero bits at its end, so that its product with an exponent
/// is exact.
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// Coefficients of the minimax polynomial in s² for (ln(1 + f) − 2s) / s, s = f / (2 + f), with an
/// error below 2^−58.45 for √½ < 1 + f < √2 (Sun Microsystems, fdlibm 5.3, `e_log.c`).
const LG: [f64; 7] = [
    6.666_666_666_666_735e-1,
    3.999_999_999_940_942e-1,
    2.857_142_874_366_239e-1,
    2.222_219_843_214_978_4e-1,
    1.818_357_216_161_805e-1,
    1.531_383_769_920_937_3e-1,
    1.479_819_860_511_658_6e-1,
];

/// Bits of a float64's fraction.
const FRACTION: u32 = 52;
/// What is added to an exponent.
const BIAS: f64 = 1023.0;
/// 2^52, whose last bits count ones.
const COUNTER: f64 = (1u64 << FRACTION) as f64;

/// The value on a logarithmic scale, with a relative error below 2^−50.
///
/// `x` must be finite, and of magnitude below 2^1000; all that float32 holds is.
#[inline(always)]
pub fn signed_ln_1p(x: f64) -> f64 {
    let a = x.abs();
    let u = 1.0 + a;
    // What the addition rounded away; from 1 on it is less than the result's last bit.
    let lost = if a < 1.0 { a - (u - 1.0) } else { 0.0 };
    // u = 2^k · (1 + f) with √½ ≤ 1 + f < √2: adding the distance from √½ to 1 carries into the
    // exponent just when the fraction is beyond √2.
    let half_root = (SQRT_2 / 2.0).to_bits();
    let shifted = u.to_bits() + (1f64.to_bits() - half_root);
    let k = f64::from_bits((shifted >> FRACTION) | COUNTER.to_bits()) - (COUNTER + BIAS);
    let f = f64::from_bits((shifted & ((1 << FRACTION) - 1)) + half_root) - 1.0;

    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w * (LG[1] + w * (LG[3] + w * LG[5]));
    let odd = z * (LG[0] + w * (LG[2] + w * (LG[4] + w * LG[6])));
    let small = s * (even + odd) + (k * LN2_LOW + lost);
    (k * LN2_HIGH + (2.0 * s + small)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(x: f64) -> bool {
        let expected = x.abs().ln_1p().copysign(x);
        let got = signed_ln_1p(x);
        (got - expected).abs() <= 4.0 * f64::EPSILON * expected.abs() && got.signum() == expected.signum()
    }

    #[test]
    fn zero_and_its_sign_the_smallest_and_the_largest_are_right() {
        assert_eq!(signed_ln_1p(0.0).to_bits(), 0f64.to_bits());
        assert_eq!(signed_ln_1p(-0.0).to_bits(), (-0f64).to_bits());
        let edges = [f32::from_bits(1), f32::MIN_POSITIVE, f32::MAX, 1.0, SQRT_2 as f32 - 1.0];
        for x in edges.map(f64::from).into_iter().chain((-149..128).map(|k| f64::from(k).exp2())) {
            assert!(close(x) && close(-x), "{x:e}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_librarys_within_four_units_of_the_last_place(bits in any::<u32>()) {
            let x = f64::from(f32::from_bits(bits));
            prop_assume!(x.is_finite());
            prop_assert!(close(x), "{:e}", x);
        }
    }
}
