//! Which rows a view shows: the reference reader's selection, draw for draw.
//!
//! The reference takes whole chunks in the order of one `torch.randperm` a domain, from one
//! generator that carries on from domain to domain in manifest order, until their rows reach the
//! wanted number, and cuts the last. Rows were shuffled when the store was written, so that any
//! chunk is a uniform sample.

pub mod mt19937;
pub mod randperm;
pub mod spec;

pub use spec::{Counts, ViewSpec};

use std::num::NonZeroU64;

use mt19937::Mt19937;
use randperm::{WIDE, randperm_prefix};

use crate::error::{Error, Result};

/// The rows of one domain of one sample, and the blocks in which views draw them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// How many rows there are.
    pub points: u64,
    /// How many rows a drawn block has; the last may be short.
    pub chunk: NonZeroU64,
}

impl Grid {
    /// How many blocks there are.
    pub fn chunks(&self) -> u64 {
        self.points.div_ceil(self.chunk.get())
    }

    /// How many rows a view that asks for `count` shows.
    pub fn shown(&self, count: Option<u64>) -> u64 {
        count.map_or(self.points, |n| n.min(self.points))
    }

    /// Whether a view that asks for `count` draws at all.
    fn draws(&self, count: Option<u64>) -> bool {
        count.is_some_and(|n| n < self.points)
    }
}

/// A run of consecutive rows of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its first row.
    pub start: u64,
    /// How many rows.
    pub len: u64,
}

/// The rows that `view` shows of domain `wanted`, in order.
///
/// `grids` are the sample's domains in manifest order, `None` for one that it lacks.
///
/// # Errors
/// A grid of [`WIDE`] chunks or more, where torch's algorithm would need them all in memory.
///
/// # Panics
/// When the sample lacks the wanted domain.
pub fn select(view: &ViewSpec, grids: &[Option<Grid>], wanted: usize) -> Result<Vec<Run>> {
    let grid = grids[wanted].expect("a view is asked only for domains that the sample has");
    let count = view.count(wanted);
    if !grid.draws(count) {
        return Ok(vec![Run { start: 0, len: grid.points }]);
    }
    let mut generator = Mt19937::new(view.seed);
    for (domain, earlier) in grids[..wanted].iter().enumerate() {
        if let Some(earlier) = earlier.filter(|g| g.draws(view.count(domain))) {
            if earlier.chunks() >= WIDE {
                return Err(too_wide(&earlier));
            }
            generator.skip(earlier.chunks() - 1);
        }
    }
    draw(&grid, grid.shown(count), &mut generator)
}

/// Rows until `count` is reached, `0 < count < points`.
fn draw(grid: &Grid, count: u64, generator: &mut Mt19937) -> Result<Vec<Run>> {
    let (chunk, chunks) = (grid.chunk.get(), grid.chunks());
    // One more than full chunks would need, for the short one may be among them.
    let enough = (count.div_ceil(chunk) + 1).min(chunks);
    let order = randperm_prefix(chunks, enough, generator).ok_or_else(|| too_wide(grid))?;
    let mut runs = Vec::with_capacity(order.len());
    let mut missing = count;
    for index in order {
        let start = index * chunk;
        let len = chunk.min(grid.points - start).min(missing);
        runs.push(Run { start, len });
        missing -= len;
        if missing == 0 {
            break;
        }
    }
    Ok(runs)
}

fn too_wide(grid: &Grid) -> Error {
    Error::invalid(format!("a view of {} chunks cannot be drawn: the limit is {}", grid.chunks(), WIDE - 1))
        .hint("convert with larger --chunk-points")
}

#[cfg(test)]
mod tests {
    use super::randperm::randperm;
    use super::*;
    use proptest::prelude::*;

    fn grid(points: u64, chunk: u64) -> Grid {
        Grid { points, chunk: NonZeroU64::new(chunk).unwrap() }
    }

    /// The reference's selection as noether-store describes it, written out row by row.
    fn model(view: &ViewSpec, grids: &[Option<Grid>], wanted: usize) -> Vec<u64> {
        let mut generator = Mt19937::new(view.seed);
        for (domain, grid) in grids.iter().enumerate() {
            let Some(grid) = grid else { continue };
            let rows: Vec<u64> = match view.count(domain) {
                Some(n) if n < grid.points => {
                    let chunk = grid.chunk.get();
                    let rows_of = |c: u64| c * chunk..((c + 1) * chunk).min(grid.points);
                    let order = randperm(grid.chunks() as u32, &mut generator);
                    order.into_iter().map(u64::from).flat_map(rows_of).take(n as usize).collect()
                }
                _ => (0..grid.points).collect(),
            };
            if domain == wanted {
                return rows;
            }
        }
        unreachable!("the wanted domain is among them")
    }

    prop_compose! {
        fn any_grid()(points in 0u64..400, chunk in 1u64..60) -> Grid { grid(points, chunk) }
    }

    proptest! {
        #[test]
        fn a_selection_is_the_references_rows(
            grids in prop::collection::vec(prop::option::of(any_grid()), 1..4),
            n in 1u64..500, seed in any::<u64>(), first_only in any::<bool>(),
        ) {
            let counts = if first_only { Counts::Each(vec![(0, n)]) } else { Counts::Every(n) };
            let view = ViewSpec { counts, seed };
            for wanted in (0..grids.len()).filter(|i| grids[*i].is_some()) {
                let runs = select(&view, &grids, wanted).unwrap();
                let rows: Vec<u64> = runs.iter().flat_map(|r| r.start..r.start + r.len).collect();
                prop_assert_eq!(rows.len() as u64, grids[wanted].unwrap().shown(view.count(wanted)));
                prop_assert_eq!(rows, model(&view, &grids, wanted));
            }
        }
    }

    #[test]
    fn a_grid_too_wide_to_draw_is_an_error_and_not_an_allocation() {
        let view = ViewSpec { counts: Counts::Every(5), seed: 0 };
        let error = select(&view, &[Some(grid(1 << 60, 1))], 0).unwrap_err();
        assert!(error.to_string().contains("cannot be drawn"), "{error}");
    }
}
