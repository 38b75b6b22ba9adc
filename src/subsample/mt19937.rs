//! The 32-bit Mersenne Twister of torch's CPU generator.
//!
//! Matsumoto and Nishimura, "Mersenne Twister: a 623-dimensionally equidistributed uniform
//! pseudo-random number generator", ACM TOMACS 8 (1998); seeding by their `init_genrand` (2002).

const N: usize = 624;
const M: usize = 397;

/// A generator in the state that `torch.Generator().manual_seed(seed)` leaves it in.
pub struct Mt19937 {
    state: [u32; N],
    next: usize,
}

impl Mt19937 {
    /// Seeds as torch does: only the low 32 bits of `seed` count.
    pub fn new(seed: u64) -> Self {
        let mut state = [0; N];
        state[0] = seed as u32;
        for i in 1..N {
            let previous: u32 = state[i - 1];
            state[i] = (previous ^ (previous >> 30)).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { state, next: N }
    }

    /// The next 32 bits.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// Passes over `count` values: whole blocks are twisted but not tempered.
    pub fn skip(&mut self, mut count: u64) {
        while count > 0 {
            if self.next == N {
                self.twist();
            }
            let here = count.min((N - self.next) as u64);
            self.next += here as usize;
            count -= here;
        }
    }

    fn twist(&mut self) {
        let state = &mut self.state;
        let mixed = |upper: u32, lower: u32, far: u32| {
            let y = (upper & 0x8000_0000) | (lower & 0x7fff_ffff);
            far ^ (y >> 1) ^ (0x9908_b0df & (y & 1).wrapping_neg())
        };
        // Without a modulo in the index, compilers make vector code of both loops.
        for i in 0..N - M {
            state[i] = mixed(state[i], state[i + 1], state[i + M]);
        }
        for i in N - M..N - 1 {
            state[i] = mixed(state[i], state[i + 1], state[i + M - N]);
        }
        state[N - 1] = mixed(state[N - 1], state[0], state[M - 1]);
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_first_and_ten_thousandth_values_come_out() {
        // std::mt19937's defining check (ISO C++ [rand.predef]): seed 5489, the 10000th is 4123659995.
        let mut generator = Mt19937::new(5489);
        assert_eq!(generator.next_u32(), 3_499_211_612);
        generator.skip(9_998);
        assert_eq!(generator.next_u32(), 4_123_659_995);
    }

    #[test]
    fn skipping_is_drawing_and_forgetting() {
        for count in [0, 1, 623, 624, 625, 2_000] {
            let (mut skipped, mut drawn) = (Mt19937::new(7), Mt19937::new(7));
            skipped.skip(count);
            (0..count).for_each(|_| _ = drawn.next_u32());
            assert_eq!(skipped.next_u32(), drawn.next_u32(), "after {count}");
        }
    }
}
