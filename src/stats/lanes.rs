//! Eight numbers side by side: arithmetic on arrays of fixed length, which compilers turn into vector
//! code.

use std::array::from_fn;
use std::ops::{Add, Mul, Sub};

/// How many numbers: two of the widest registers that are common.
const LANES: usize = 8;

/// Numbers that go through the same operations at the same time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lanes(pub [f64; LANES]);

impl Lanes {
    /// The same number in every lane.
    #[inline(always)]
    pub fn splat(x: f64) -> Self {
        Self([x; LANES])
    }

    /// Folds the numbers in order, number i in lane i modulo the count of lanes; `pad` fills the last
    /// lanes up.
    #[inline(always)]
    pub fn fold<T>(numbers: &[f64], pad: f64, start: T, step: impl Fn(T, Self) -> T) -> T {
        let (groups, rest) = numbers.as_chunks::<LANES>();
        let mut state = start;
        for group in groups {
            state = step(state, Self(*group));
        }
        if !rest.is_empty() {
            let last = from_fn(|lane| rest.get(lane).copied().unwrap_or(pad));
            state = step(state, Self(last));
        }
        state
    }

    /// The lesser of each two numbers that are not NaN.
    #[inline(always)]
    pub fn min(self, other: Self) -> Self {
        self.with(other, |a, b| if b < a { b } else { a })
    }

    /// The greater of each two numbers that are not NaN.
    #[inline(always)]
    pub fn max(self, other: Self) -> Self {
        self.with(other, |a, b| if b > a { b } else { a })
    }

    #[inline(always)]
    fn with(self, other: Self, operation: impl Fn(f64, f64) -> f64) -> Self {
        Self(from_fn(|lane| operation(self.0[lane], other.0[lane])))
    }
}

impl Add for Lanes {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.with(other, |a, b| a + b)
    }
}

impl Sub for Lanes {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.with(other, |a, b| a - b)
    }
}

impl Mul for Lanes {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.with(other, |a, b| a * b)
    }
}
