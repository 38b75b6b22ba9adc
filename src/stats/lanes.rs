//! The moments of a block of rows, many numbers at a time.
//!
//! Rows are gone through in groups. Every place of a group has a lane of its own: it always meets the
//! same component, and no lane waits for another, so that compilers turn the loops into vector code.

use super::dd::{Dd, two_sum};
use super::moments::Moments;

/// Rows of a group: enough for the short loops over one to be worth their beginning and end.
const GROUP: usize = 32;

/// Makes the moments of blocks of rows. Each list of numbers has one a lane.
pub struct Lanes {
    components: usize,
    /// The sum of each component.
    sums: Vec<Dd>,
    /// Sums, and what rounding took away from them.
    high: Vec<f64>,
    low: Vec<f64>,
    min: Vec<f64>,
    max: Vec<f64>,
    /// The mean of the lane's component.
    mean: Vec<f64>,
    /// Sums of the distances to the mean, and of their squares.
    drift: Vec<f64>,
    squares: Vec<f64>,
}

impl Lanes {
    /// For rows of so many components, at least one.
    pub fn new(components: usize) -> Self {
        let each = || vec![0.0; components * GROUP];
        let [high, low, min, max, mean, drift, squares] = std::array::from_fn(|_| each());
        Self { components, sums: vec![Dd::default(); components], high, low, min, max, mean, drift, squares }
    }

    /// Gives `each` the moments of every component of a block of whole rows. Numbers must be finite
    /// and small enough for their squares to be so.
    ///
    /// A block is summed twice, first for its means, then for the squares of the distances to them.
    #[inline(always)]
    pub fn moments(&mut self, block: &[f64], mut each: impl FnMut(usize, Moments)) {
        let rows = block.len() / self.components;
        if rows == 0 {
            return;
        }
        let count = rows as f64;
        for sums in [&mut self.high, &mut self.low, &mut self.drift, &mut self.squares] {
            sums.fill(0.0);
        }
        self.min.fill(f64::INFINITY);
        self.max.fill(f64::NEG_INFINITY);
        for group in block.chunks(self.high.len()) {
            sum(group, &mut self.high, &mut self.low, &mut self.min, &mut self.max);
        }
        for component in 0..self.components {
            self.sums[component] = self.sum_of(component);
            let mean = self.sums[component].over(count).value();
            self.mean[component..].iter_mut().step_by(self.components).for_each(|lane| *lane = mean);
        }
        for group in block.chunks(self.high.len()) {
            square(group, &self.mean, &mut self.drift, &mut self.squares);
        }
        for component in 0..self.components {
            let drift: f64 = self.of(&self.drift, component).sum();
            let squares: f64 = self.of(&self.squares, component).sum();
            let min = self.of(&self.min, component).fold(f64::INFINITY, f64::min);
            let max = self.of(&self.max, component).fold(f64::NEG_INFINITY, f64::max);
            // The mean was rounded; what the distances add up to tells by how much.
            let squares = Dd::sum(squares, -drift * drift / count);
            each(component, Moments::new(rows as u64, self.sums[component], squares, min..=max));
        }
    }

    /// The sum of all lanes of a component.
    fn sum_of(&self, component: usize) -> Dd {
        let lanes = self.of(&self.high, component).zip(self.of(&self.low, component));
        let (high, low) = lanes.fold((0.0, 0.0), |(high, low), lane| {
            let (sum, lost) = two_sum(high, lane.0);
            (sum, low + (lost + lane.1))
        });
        Dd::sum(high, low)
    }

    /// The lanes of a component.
    fn of(&self, lanes: &[f64], component: usize) -> impl Iterator<Item = f64> {
        lanes[component..].iter().step_by(self.components).copied()
    }
}

/// Takes every lane past its number of a group, the last of which may be short.
#[inline(always)]
fn sum(group: &[f64], high: &mut [f64], low: &mut [f64], min: &mut [f64], max: &mut [f64]) {
    for ((((x, high), low), min), max) in group.iter().zip(high).zip(low).zip(min).zip(max) {
        let (sum, lost) = two_sum(*high, *x);
        *high = sum;
        *low += lost;
        *min = min.min(*x);
        *max = max.max(*x);
    }
}

/// As [`sum`], with the means known.
#[inline(always)]
fn square(group: &[f64], mean: &[f64], drift: &mut [f64], squares: &mut [f64]) {
    for (((x, mean), drift), squares) in group.iter().zip(mean).zip(drift).zip(squares) {
        let distance = *x - *mean;
        *drift += distance;
        *squares += distance * distance;
    }
}
