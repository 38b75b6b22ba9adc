//! The moments of a field: every component for itself, as it is and on a logarithmic scale.

use serde::{Deserialize, Serialize};

use super::log::signed_ln_1p;
use super::moments::Moments;
use crate::rows::SERVED;

/// Rows of a block: one component's values and their logarithms stay in the first-level cache.
const BLOCK: usize = 1024;

/// What is known of some rows of a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldMoments {
    /// How many rows.
    pub rows: u64,
    /// How many values, of all components together, are NaN or infinite. Moments leave them out.
    pub nonfinite: u64,
    /// One a component.
    pub components: Vec<Component>,
}

/// What is known of the finite values of one component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Of the values x.
    pub linear: Moments,
    /// Of sign(x) · ln(1 + |x|).
    pub logscale: Moments,
}

impl FieldMoments {
    /// No rows yet, of `dim` components.
    pub fn new(dim: u32) -> Self {
        Self { rows: 0, nonfinite: 0, components: vec![Component::default(); dim as usize] }
    }

    /// Takes in whole rows of values as they are served: float32, little-endian.
    ///
    /// What comes out depends on how rows are cut into calls, in its last bits: cut them by a rule.
    pub fn add(&mut self, served: &[u8]) {
        let dim = self.components.len();
        let (values, _) = served.as_chunks::<SERVED>();
        let mut numbers = [0.0; BLOCK];
        for block in values.chunks(BLOCK * dim) {
            let rows = block.len() / dim;
            self.rows += rows as u64;
            for (index, component) in self.components.iter_mut().enumerate() {
                let mut finite = 0;
                for value in block.iter().skip(index).step_by(dim) {
                    let value = f32::from_le_bytes(*value);
                    // A value that does not count is overwritten by the next.
                    numbers[finite] = f64::from(value);
                    finite += usize::from(value.is_finite());
                }
                self.nonfinite += (rows - finite) as u64;
                component.add(&mut numbers[..finite]);
            }
        }
    }

    /// Takes in the moments of rows that follow.
    pub fn merge(&mut self, next: &Self) {
        self.rows += next.rows;
        self.nonfinite += next.nonfinite;
        for (here, there) in self.components.iter_mut().zip(&next.components) {
            here.linear.merge(&there.linear);
            here.logscale.merge(&there.logscale);
        }
    }
}

impl Component {
    /// Takes in a block of values, which is left holding their logarithms.
    fn add(&mut self, block: &mut [f64]) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the CPU has what the function asks for.
            return unsafe { self.add_with_avx2(block) };
        }
        self.add_anywhere(block);
    }

    /// The same operations, and so the same bits, in wider registers.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn add_with_avx2(&mut self, block: &mut [f64]) {
        self.add_anywhere(block);
    }

    #[inline(always)]
    fn add_anywhere(&mut self, block: &mut [f64]) {
        self.linear.merge(&Moments::of(block));
        block.iter_mut().for_each(|x| *x = signed_ln_1p(*x));
        self.logscale.merge(&Moments::of(block));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn components_are_kept_apart_and_what_is_not_finite_is_left_out() {
        let mut moments = FieldMoments::new(2);
        moments.add(&served(&[1.0, f32::NAN, 3.0, -5.0, f32::NEG_INFINITY, 7.0, 2.0, f32::INFINITY]));
        let [first, second] = &moments.components[..] else { panic!("two components") };
        assert_eq!((moments.rows, moments.nonfinite), (4, 3));
        assert_eq!((first.linear.count, first.linear.mean(), first.linear.std()), (3, Some(2.0), Some(1.0)));
        assert_eq!((second.linear.min(), second.linear.max()), (Some(-5.0), Some(7.0)));
        assert_eq!(second.logscale.min(), Some(-(6f64.ln())));
    }

    #[test]
    fn wide_registers_give_the_same_bits() {
        let numbers =
            |seed: u32| (0..BLOCK as u32 - 3).map(move |i| f64::from((i * seed) as f32).sin() * 1e3);
        for seed in [3, 7919, 104_729] {
            let (mut one, mut other) = (Component::default(), Component::default());
            one.add(&mut numbers(seed).collect::<Vec<_>>());
            other.add_anywhere(&mut numbers(seed).collect::<Vec<_>>());
            assert_eq!(one, other);
        }
    }

    #[test]
    fn rows_past_one_block_are_all_counted() {
        let values: Vec<f32> = (0..BLOCK * 3 * 2 + 3).map(|i| i as f32).collect();
        let mut moments = FieldMoments::new(3);
        moments.add(&served(&values));
        let rows = (BLOCK * 2 + 1) as u64;
        assert_eq!(moments.rows, rows);
        assert!(moments.components.iter().all(|c| c.linear.count == rows && c.logscale.count == rows));
        assert_eq!(moments.components[2].linear.max(), Some((BLOCK * 6 + 2) as f64));
    }
}
