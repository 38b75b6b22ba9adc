//! The moments of a field: every component for itself, as it is and on a logarithmic scale.

use serde::{Deserialize, Serialize};

use super::lanes::Lanes;
use super::log::signed_ln_1p;
use super::moments::Moments;
use crate::rows::SERVED;

/// Rows of a block: of the usual three components they stay in the first-level cache.
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
        let mut lanes = Lanes::new(dim);
        let mut numbers = vec![0.0; values.len().min(BLOCK * dim)];
        for block in values.chunks(BLOCK * dim) {
            self.rows += (block.len() / dim) as u64;
            let numbers = &mut numbers[..block.len()];
            if self.add_block(block, &mut lanes, numbers).is_none() {
                self.add_finite(block, numbers);
            }
        }
    }

    /// Takes in a block of rows; `None` when some of its values are not finite.
    fn add_block(&mut self, block: &[[u8; SERVED]], lanes: &mut Lanes, numbers: &mut [f64]) -> Option<()> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the CPU has what the function asks for.
            return unsafe { self.add_with_avx2(block, lanes, numbers) };
        }
        self.add_anywhere(block, lanes, numbers)
    }

    /// The same operations, and so the same bits, in wider registers.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn add_with_avx2(
        &mut self,
        block: &[[u8; SERVED]],
        lanes: &mut Lanes,
        numbers: &mut [f64],
    ) -> Option<()> {
        self.add_anywhere(block, lanes, numbers)
    }

    #[inline(always)]
    fn add_anywhere(&mut self, block: &[[u8; SERVED]], lanes: &mut Lanes, numbers: &mut [f64]) -> Option<()> {
        let mut finite = true;
        for (number, value) in numbers.iter_mut().zip(block) {
            let value = f32::from_le_bytes(*value);
            *number = f64::from(value);
            finite &= value.is_finite();
        }
        if !finite {
            return None;
        }
        lanes.moments(numbers, |component, moments| self.components[component].linear.merge(&moments));
        numbers.iter_mut().for_each(|x| *x = signed_ln_1p(*x));
        lanes.moments(numbers, |component, moments| self.components[component].logscale.merge(&moments));
        Some(())
    }

    /// Takes in the finite values of a block of rows.
    fn add_finite(&mut self, block: &[[u8; SERVED]], numbers: &mut [f64]) {
        let dim = self.components.len();
        let mut column = Lanes::new(1);
        for (index, component) in self.components.iter_mut().enumerate() {
            let values = block.iter().skip(index).step_by(dim).map(|value| f32::from_le_bytes(*value));
            let mut count = 0;
            for value in values.filter(|value| value.is_finite()) {
                numbers[count] = f64::from(value);
                count += 1;
            }
            let finite = &mut numbers[..count];
            self.nonfinite += (block.len() / dim - finite.len()) as u64;
            column.moments(finite, |_, moments| component.linear.merge(&moments));
            finite.iter_mut().for_each(|x| *x = signed_ln_1p(*x));
            column.moments(finite, |_, moments| component.logscale.merge(&moments));
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
        for (dim, rows) in [(1, BLOCK), (3, BLOCK - 3), (5, 2)] {
            let values: Vec<f32> = (0..rows * dim).map(|i| (i as f32 * 7_919.0).sin() * 1e3).collect();
            let served = served(&values);
            let mut numbers = vec![0.0; values.len()];
            let (mut one, mut other) = (FieldMoments::new(dim as u32), FieldMoments::new(dim as u32));
            let (block, mut lanes) = (served.as_chunks().0, Lanes::new(dim));
            one.add_block(block, &mut lanes, &mut numbers).unwrap();
            other.add_anywhere(block, &mut lanes, &mut numbers).unwrap();
            assert_eq!(one, other);
        }
    }

    #[test]
    fn a_block_with_one_value_that_is_not_finite_has_the_moments_of_the_others() {
        let values: Vec<f32> = (0..300).map(|i| (i as f32).sin() * 100.0).collect();
        let mut whole = FieldMoments::new(3);
        whole.add(&served(&values));
        let mut holed = FieldMoments::new(3);
        holed.add(&served(&[&values[..], &[f32::NAN, f32::INFINITY, f32::NAN]].concat()));
        assert_eq!((holed.rows, holed.nonfinite), (101, 3));
        for (one, other) in whole.components.iter().zip(&holed.components) {
            for (one, other) in [(one.linear, other.linear), (one.logscale, other.logscale)] {
                let near = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() < 1e-12;
                assert!(near(one.mean(), other.mean()) && near(one.std(), other.std()));
                assert_eq!((one.count, one.min(), one.max()), (other.count, other.min(), other.max()));
            }
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
