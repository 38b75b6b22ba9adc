//! From bytes of a payload to pieces of chunks: arithmetic only.

use std::ops::Range;

use crate::subsample::Run;

/// The rows of a payload, in order, as runs of an array's rows.
#[derive(Clone, Debug)]
pub struct Rows {
    runs: Vec<Run>,
    /// Payload row at which each run starts; ascending, from 0.
    starts: Vec<u64>,
    total: u64,
}

impl Rows {
    /// Rows in the order of these runs. Empty runs are dropped.
    pub fn new(runs: impl IntoIterator<Item = Run>) -> Self {
        let runs: Vec<Run> = runs.into_iter().filter(|run| run.len > 0).collect();
        let mut total = 0;
        let starts = runs
            .iter()
            .map(|run| {
                total += run.len;
                total - run.len
            })
            .collect();
        Self { runs, starts, total }
    }

    /// How many rows there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes in memory.
    pub fn weight(&self) -> usize {
        size_of_val(&self.runs[..]) + size_of_val(&self.starts[..])
    }

    /// The pieces that make up the bytes `range` of the payload, in order, without gap or overlap.
    ///
    /// `row` is the size of a row in bytes, `chunk` the number of rows a chunk; both at least 1.
    pub fn pieces(&self, range: Range<u64>, row: u64, chunk: u64) -> impl Iterator<Item = Piece> + '_ {
        let mut at = range.start;
        let end = range.end.min(self.total * row);
        let mut run = self.starts.partition_point(|start| start * row <= at).saturating_sub(1);
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let (Run { start, len }, first) = (self.runs[run], self.starts[run]);
            // Bytes from the array's first row on.
            let position = start * row + (at - first * row);
            let index = position / (chunk * row);
            let run_end = (start + len) * row;
            let chunk_end = (index + 1) * chunk * row;
            let stop = run_end.min(chunk_end).min(position + (end - at));
            let within = position - index * chunk * row..stop - index * chunk * row;
            at += stop - position;
            if stop == run_end {
                run += 1;
            }
            Some(Piece { chunk: index, within: within.start as usize..within.end as usize })
        })
    }
}

/// Consecutive bytes of one chunk, in the form in which it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The chunk's position in the array.
    pub chunk: u64,
    /// Bytes from the chunk's first row on.
    pub within: Range<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(start: u64, len: u64) -> Run {
        Run { start, len }
    }

    #[test]
    fn a_range_over_two_runs_and_three_chunks_is_cut_where_they_meet() {
        let rows = Rows::new([run(8, 8), run(0, 3)]);
        let pieces: Vec<_> = rows.pieces(10..38, 4, 4).collect();
        let expected = [(2, 10..16), (3, 0..16), (0, 0..6)];
        let expected = expected.map(|(chunk, within)| Piece { chunk, within });
        assert_eq!(pieces, expected);
    }

    proptest! {
        #[test]
        fn pieces_are_the_bytes_one_after_the_other(
            runs in prop::collection::vec((0u64..300, 0u64..40), 0..8),
            row in 1u64..9, chunk in 1u64..50, cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let runs: Vec<Run> = runs.into_iter().map(|(start, len)| run(start, len)).collect();
            // Every byte of the payload as its position in the array.
            let bytes: Vec<u64> = runs
                .iter()
                .flat_map(|r| r.start * row..(r.start + r.len) * row)
                .collect();
            let (a, b) = (cut.0.index(bytes.len() + 1), cut.1.index(bytes.len() + 1));
            let range = a.min(b)..a.max(b);
            let rows = Rows::new(runs);
            prop_assert_eq!(rows.total() * row, bytes.len() as u64);
            let pieces = rows.pieces(range.start as u64..range.end as u64, row, chunk);
            let got: Vec<u64> = pieces
                .flat_map(|p| p.within.map(move |byte| p.chunk * chunk * row + byte as u64))
                .collect();
            prop_assert_eq!(&got, &bytes[range]);
        }

        #[test]
        fn every_piece_lies_within_its_chunk_and_is_not_empty(
            runs in prop::collection::vec((0u64..300, 0u64..40), 0..8),
            row in 1u64..9, chunk in 1u64..50, start in 0u64..2_000, len in 0u64..2_000,
        ) {
            let rows = Rows::new(runs.into_iter().map(|(start, len)| run(start, len)));
            for piece in rows.pieces(start..start + len, row, chunk) {
                prop_assert!(piece.within.start < piece.within.end);
                prop_assert!(piece.within.end as u64 <= chunk * row);
            }
        }
    }
}
