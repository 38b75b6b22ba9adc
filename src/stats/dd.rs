//! Numbers of twice a float64's precision, for sums that must not lose what many terms add up to.

use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// The unevaluated sum of two float64, the second at most half a unit in the last place of the
/// first: about 106 bits (T. J. Dekker, "A floating-point technique for extending the available
/// precision", 1971).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dd(f64, f64);

impl Dd {
    /// The exact sum of two numbers.
    pub fn sum(a: f64, b: f64) -> Self {
        let (high, low) = two_sum(a, b);
        Self(high, low)
    }

    /// The number divided by one that is not 0.
    #[must_use]
    pub fn over(self, divisor: f64) -> Self {
        let quotient = self.0 / divisor;
        let rest = (-quotient).mul_add(divisor, self.0) + self.1;
        Self::sum(quotient, rest / divisor)
    }

    /// The nearest float64.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl Add for Dd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (high, error) = two_sum(self.0, other.0);
        let (low, lost) = two_sum(self.1, other.1);
        let Self(high, error) = Self::sum(high, error + low);
        Self::sum(high, error + lost)
    }
}

impl Sub for Dd {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + Self(-other.0, -other.1)
    }
}

impl From<f64> for Dd {
    fn from(value: f64) -> Self {
        Self(value, 0.0)
    }
}

/// The rounded sum of two numbers and what rounding took away, exactly (D. E. Knuth, The Art of
/// Computer Programming, volume 2, 4.2.2, theorem B).
#[inline(always)]
pub fn two_sum<T: Copy + Add<Output = T> + Sub<Output = T>>(a: T, b: T) -> (T, T) {
    let sum = a + b;
    let of_b = sum - a;
    let of_a = sum - of_b;
    (sum, (a - of_a) + (b - of_b))
}
