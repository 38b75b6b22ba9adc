//! `torch.randperm(n, generator=g)` on the CPU: the same numbers from the same generator state.
//!
//! torch has two algorithms: below [`WIDE`] a forward Fisher-Yates shuffle with one 32-bit draw
//! a step, from there on an inside-out shuffle with two (`TensorFactories.cpp`, `randperm_cpu`).

use std::collections::HashMap;

use super::mt19937::Mt19937;

/// From this length on torch draws 64 bits a step: `UINT32_MAX / 20`.
pub const WIDE: u64 = u32::MAX as u64 / 20;

/// The whole permutation of `0..n`; the generator moves on as torch's does.
pub fn randperm(n: u32, generator: &mut Mt19937) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n).collect();
    if u64::from(n) < WIDE {
        for i in 0..n.saturating_sub(1) {
            let step = generator.next_u32() % (n - i);
            order.swap(i as usize, (i + step) as usize);
        }
    } else {
        for i in 0..n {
            let (high, low) = (generator.next_u32(), generator.next_u32());
            let z = ((u64::from(high) << 32) | u64::from(low)) % (u64::from(i) + 1);
            order[i as usize] = order[z as usize];
            order[z as usize] = i;
        }
    }
    order
}

/// The first `k` entries of `randperm(n)`, in memory proportional to `k`; the generator moves on
/// by the whole permutation. `None` when `n` reaches [`WIDE`], where no prefix is settled early.
pub fn randperm_prefix(n: u64, k: u64, generator: &mut Mt19937) -> Option<Vec<u64>> {
    if n >= WIDE {
        return None;
    }
    let steps = n.saturating_sub(1);
    let drawn = k.min(steps);
    // Only the places that a swap has touched differ from the identity.
    let mut moved: HashMap<u64, u64> = HashMap::new();
    let mut order = Vec::with_capacity(k.min(n) as usize);
    for i in 0..drawn {
        let j = i + u64::from(generator.next_u32()) % (n - i);
        let here = moved.remove(&i).unwrap_or(i);
        if j == i {
            order.push(here);
        } else {
            order.push(moved.insert(j, here).unwrap_or(j));
        }
    }
    if k > drawn && n > 0 {
        order.push(moved.remove(&(n - 1)).unwrap_or(n - 1));
    }
    generator.skip(steps - drawn);
    Some(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn recorded_torch_vectors_come_out() {
        for (seed, expected) in [
            (42, [2, 6, 1, 8, 4, 5, 0, 9, 3, 7]),
            ((1 << 32) + 42, [2, 6, 1, 8, 4, 5, 0, 9, 3, 7]),
            (0, [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]),
        ] {
            assert_eq!(randperm(10, &mut Mt19937::new(seed)), expected, "seed {seed}");
        }
    }

    #[test]
    fn nothing_is_drawn_for_lengths_zero_and_one() {
        let mut generator = Mt19937::new(3);
        assert_eq!(randperm(0, &mut generator), [0u32; 0]);
        assert_eq!(randperm(1, &mut generator), [0]);
        assert_eq!(generator.next_u32(), Mt19937::new(3).next_u32());
    }

    proptest! {
        #[test]
        fn a_prefix_is_the_start_of_the_whole_and_leaves_the_same_generator(
            n in 0u32..2_000, share in 0.0..=1.0, seed in any::<u64>(),
        ) {
            let k = (f64::from(n) * share) as u64;
            let (mut one, mut other) = (Mt19937::new(seed), Mt19937::new(seed));
            let prefix = randperm_prefix(n.into(), k, &mut one).unwrap();
            let whole: Vec<u64> = randperm(n, &mut other).into_iter().map(u64::from).collect();
            prop_assert_eq!(&prefix, &whole[..k as usize]);
            prop_assert_eq!(one.next_u32(), other.next_u32());
        }
    }
}
