//! Rows into their stored order without a cache miss for each.
//!
//! The order is random: a row taken from a field that is larger than the caches costs as much as a
//! hundred that lie side by side. So rows are dealt, as they come from the source, to bands of
//! neighbouring stored rows. A band fits the second-level cache, and within it rows find their places.

use std::ops::Range;

/// Stored rows a band: with rows of 12 bytes about 100 kB, which leaves the cache room for the rows that
/// come out.
const BAND: usize = 1 << 13;

/// The order of a domain's points, made for dealing.
#[derive(Default)]
pub struct Shuffle {
    /// For each source row, its stored row.
    places: Vec<u32>,
    /// For each stored row, how many rows of its band come from further ahead in the source.
    ranks: Vec<u16>,
}

impl Shuffle {
    /// Stored row i is source row `order[i]`; `order` is a permutation.
    pub fn new(order: &[u32]) -> Self {
        let mut places = vec![0; order.len()];
        for (stored, source) in (0..).zip(order) {
            places[*source as usize] = stored;
        }
        let mut ranks = vec![0; order.len()];
        let mut dealt = vec![0; order.len().div_ceil(BAND)];
        for place in places.iter().map(|place| *place as usize) {
            let next = &mut dealt[place / BAND];
            ranks[place] = *next;
            *next += 1;
        }
        Self { places, ranks }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.places.len()
    }
}

/// A field's rows, dealt to their bands.
pub struct Bands<'a> {
    shuffle: &'a Shuffle,
    /// Bytes a row.
    width: usize,
    /// Band after band, in each its rows in the source's order.
    bytes: Vec<u8>,
    /// Where the next row of each band goes.
    next: Vec<usize>,
    /// Rows dealt.
    dealt: usize,
}

impl<'a> Bands<'a> {
    /// Of no rows yet; `buffer` is memory to use.
    pub fn new(shuffle: &'a Shuffle, width: usize, mut buffer: Vec<u8>) -> Self {
        // Every byte is dealt before it is taken; what was there before need not be cleared.
        buffer.resize(shuffle.rows() * width, 0);
        let next = (0..shuffle.rows()).step_by(BAND).map(|row| row * width).collect();
        Self { shuffle, width, bytes: buffer, next, dealt: 0 }
    }

    /// Deals the rows that come next in the source.
    ///
    /// # Panics
    /// When there are more than the shuffle has.
    pub fn deal(&mut self, rows: &[u8]) {
        // A copy of a length known to the compiler is a load and a store.
        match self.width {
            2 => self.deal_rows(rows, 2),
            4 => self.deal_rows(rows, 4),
            6 => self.deal_rows(rows, 6),
            8 => self.deal_rows(rows, 8),
            12 => self.deal_rows(rows, 12),
            24 => self.deal_rows(rows, 24),
            width => self.deal_rows(rows, width),
        }
    }

    #[inline(always)]
    fn deal_rows(&mut self, rows: &[u8], width: usize) {
        let count = rows.len() / width;
        let places = &self.shuffle.places[self.dealt..][..count];
        for (row, place) in rows.chunks_exact(width).zip(places) {
            let next = &mut self.next[*place as usize / BAND];
            self.bytes[*next..][..width].copy_from_slice(row);
            *next += width;
        }
        self.dealt += count;
    }

    /// Copies stored rows to `out`. All rows must have been dealt.
    ///
    /// # Panics
    /// When there are no such rows, or `out` has another length.
    pub fn take(&self, rows: Range<usize>, out: &mut [u8]) {
        assert_eq!(rows.len() * self.width, out.len(), "room for these rows");
        let (mut first, mut rest) = (rows.start, out);
        while first < rows.end {
            let band = first / BAND * BAND;
            let end = rows.end.min(band + BAND);
            let (dealt, ranks) = (&self.bytes[band * self.width..], &self.shuffle.ranks[first..end]);
            let (out, after) = rest.split_at_mut(ranks.len() * self.width);
            match self.width {
                2 => take_rows(dealt, ranks, out, 2),
                4 => take_rows(dealt, ranks, out, 4),
                6 => take_rows(dealt, ranks, out, 6),
                8 => take_rows(dealt, ranks, out, 8),
                12 => take_rows(dealt, ranks, out, 12),
                24 => take_rows(dealt, ranks, out, 24),
                width => take_rows(dealt, ranks, out, width),
            }
            (first, rest) = (end, after);
        }
    }

    /// The memory, to be used again.
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

#[inline(always)]
fn take_rows(dealt: &[u8], ranks: &[u16], out: &mut [u8], width: usize) {
    for (rank, out) in ranks.iter().zip(out.chunks_exact_mut(width)) {
        out.copy_from_slice(&dealt[usize::from(*rank) * width..][..width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subsample::mt19937::Mt19937;
    use crate::subsample::randperm::randperm;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stored_rows_are_the_source_rows_that_the_order_says(
            rows in prop_oneof![1u32..100, BAND as u32 - 2..3 * BAND as u32], width in 1usize..27,
            seed in any::<u64>(), blocks in 1usize..5, cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let order = randperm(rows, &mut Mt19937::new(seed));
            let row = |number: u32| (0..width).map(move |byte| (number.wrapping_mul(7_919) >> (byte % 4 * 8)) as u8);
            let source: Vec<u8> = (0..rows).flat_map(row).collect();
            let shuffle = Shuffle::new(&order);
            // Memory that was used before.
            let mut bands = Bands::new(&shuffle, width, vec![0xaa; 1000]);
            source.chunks((rows as usize).div_ceil(blocks) * width).for_each(|rows| bands.deal(rows));
            let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(rows as usize)).collect();
            ends.extend([0, rows as usize]);
            ends.sort_unstable();
            let mut stored = vec![0; source.len()];
            for ends in ends.windows(2) {
                bands.take(ends[0]..ends[1], &mut stored[ends[0] * width..ends[1] * width]);
            }
            prop_assert!(stored == order.into_iter().flat_map(row).collect::<Vec<u8>>());
        }
    }
}
