//! Count, mean, variance and extremes of numbers, block by block.
//!
//! Blocks, whose moments `lanes` makes, are merged with the formula of T. F. Chan, G. H. Golub and
//! R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
//! Sums carry twice the precision of float64, so that neither 10^10 numbers nor a mean near zero cost
//! digits. The same numbers in the same blocks in the same order give the same bits on every machine.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::dd::Dd;

/// What is known of some finite numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// How many.
    pub count: u64,
    sum: Dd,
    /// Sum of the squared distances to the mean.
    squares: Dd,
    min: f64,
    max: f64,
}

impl Moments {
    /// Of numbers, at least one, with that sum and sum of squared distances to their mean, between
    /// those extremes.
    pub(super) fn new(count: u64, sum: Dd, squares: Dd, extremes: RangeInclusive<f64>) -> Self {
        let (min, max) = extremes.into_inner();
        Self { count, sum, squares, min, max }
    }

    /// Takes in the moments of numbers that follow.
    pub fn merge(&mut self, next: &Self) {
        if next.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *next;
            return;
        }
        let (here, there) = (self.count as f64, next.count as f64);
        let apart = (next.sum.over(there) - self.sum.over(here)).value();
        let between = apart * apart * (here * there / (here + there));
        self.squares = self.squares + next.squares + Dd::from(between);
        self.sum = self.sum + next.sum;
        self.count += next.count;
        self.min = self.min.min(next.min);
        self.max = self.max.max(next.max);
    }

    /// The mean; `None` of no numbers.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum.over(self.count as f64).value())
    }

    /// The standard deviation of the population that the numbers are a sample of: the divisor is
    /// n − 1. `None` of fewer than two numbers.
    pub fn std(&self) -> Option<f64> {
        // Equal numbers have none at all, whatever rounding says.
        let squares = if self.min == self.max { 0.0 } else { self.squares.value().max(0.0) };
        (self.count > 1).then(|| (squares / (self.count - 1) as f64).sqrt())
    }

    /// The smallest; `None` of no numbers.
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The largest; `None` of no numbers.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::Lanes;
    use super::*;
    use num_bigint::BigInt;
    use num_rational::BigRational;
    use num_traits::ToPrimitive;
    use proptest::prelude::*;

    fn of(numbers: &[f64]) -> Moments {
        let mut moments = Moments::default();
        Lanes::new(1).moments(numbers, |_, block| moments = block);
        moments
    }

    fn merged(numbers: &[f64], block: usize) -> Moments {
        let mut moments = Moments::default();
        numbers.chunks(block).for_each(|block| moments.merge(&of(block)));
        moments
    }

    /// Mean and variance (n − 1) in exact arithmetic.
    fn exact(numbers: &[f64]) -> (BigRational, BigRational) {
        let whole = |n: usize| BigRational::from(BigInt::from(n));
        let exact: Vec<_> = numbers.iter().map(|x| BigRational::from_float(*x).unwrap()).collect();
        let mean = exact.iter().sum::<BigRational>() / whole(numbers.len());
        let squares: BigRational = exact.iter().map(|x| (x - &mean) * (x - &mean)).sum();
        (mean.clone(), squares / whole(numbers.len().max(2) - 1))
    }

    fn close(got: f64, exact: f64) -> bool {
        (got - exact).abs() <= 1e-14 * exact.abs()
    }

    fn agrees(numbers: &[f64], block: usize) {
        let (mean, variance) = exact(numbers);
        let moments = merged(numbers, block);
        let (mean, std) = (mean.to_f64().unwrap(), variance.to_f64().unwrap().sqrt());
        assert!(close(moments.mean().unwrap(), mean), "mean {:?}, exactly {mean:e}", moments.mean());
        if numbers.len() > 1 {
            assert!(close(moments.std().unwrap(), std), "std {:?}, exactly {std:e}", moments.std());
        }
        assert_eq!(moments.count, numbers.len() as u64);
        assert_eq!(moments.min(), numbers.iter().copied().reduce(f64::min));
        assert_eq!(moments.max(), numbers.iter().copied().reduce(f64::max));
    }

    fn any_float32() -> impl Strategy<Value = f64> {
        any::<f32>().prop_filter("finite", |x| x.is_finite()).prop_map(f64::from)
    }

    proptest! {
        #[test]
        fn moments_are_those_of_exact_arithmetic(
            numbers in prop::collection::vec(any_float32(), 1..100), block in 1usize..40,
        ) {
            agrees(&numbers, block);
        }

        #[test]
        fn a_mean_far_from_zero_costs_no_digits(
            offset in -1e30f32..1e30, numbers in prop::collection::vec(-8i8..8, 2..100), block in 1usize..40,
        ) {
            let near = |step: i8| f64::from(offset) * (1.0 + f64::from(step) * f64::from(f32::EPSILON));
            agrees(&numbers.into_iter().map(near).collect::<Vec<_>>(), block);
        }

        #[test]
        fn equal_numbers_have_no_deviation(x in any_float32(), n in 2usize..300, block in 1usize..40) {
            let moments = merged(&vec![x; n], block);
            prop_assert_eq!((moments.mean(), moments.std()), (Some(x), Some(0.0)));
        }
    }

    #[test]
    fn opposite_giants_and_subnormals_do_not_hide_what_is_between() {
        let tiny = f64::from(f32::from_bits(1));
        agrees(&[1e30, tiny, -1e30, 3.0, tiny], 2);
        agrees(&[tiny, 2.0 * tiny, 7.0 * tiny], 1);
        agrees(&[f64::from(f32::MAX), -f64::from(f32::MAX), 1.0], 3);
    }

    #[test]
    fn many_blocks_lose_no_digits() {
        // Ten million numbers of mean exactly 1e6 + 0.5: the pattern repeats without remainder.
        let block: Vec<f64> = (0..1000).map(|i| 1e6 + f64::from(i % 2)).collect();
        let one = of(&block);
        let mut all = Moments::default();
        (0..10_000).for_each(|_| all.merge(&one));
        assert_eq!(all.mean(), Some(1e6 + 0.5));
        let n: f64 = 1e7;
        assert!(close(all.std().unwrap(), (0.25 * n / (n - 1.0)).sqrt()));
    }

    #[test]
    fn of_nothing_nothing_is_known_and_of_one_number_no_deviation() {
        let none = of(&[]);
        assert_eq!((none.mean(), none.std(), none.min(), none.max()), (None, None, None, None));
        let one = of(&[-3.0]);
        assert_eq!((one.mean(), one.std(), one.min(), one.max()), (Some(-3.0), None, Some(-3.0), Some(-3.0)));
    }
}
