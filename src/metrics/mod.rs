//! What a mount has done, counted: handed to those who do it, read by those who watch.
//!
//! Every number is an atomic of its own, so counting costs nanoseconds and takes no lock. Readers see
//! numbers of slightly different moments.

mod count;
pub mod exposition;
mod failures;

pub use count::{Counter, Histogram};
pub use failures::{Failure, Failures};

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::error::{ErrorKind, Result};

/// Bounds of durations, in nanoseconds: from what memory answers to what a deadline ends.
const DURATIONS: &[u64] = &[
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

/// Bounds of the sizes of reads, in bytes: the kernel asks for a page to a mebibyte.
const SIZES: &[u64] = &[4 << 10, 16 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20];

/// Everything that is counted, from zero at the start of a mount.
#[derive(Debug, Default)]
pub struct Metrics {
    /// What the kernel asked.
    pub requests: Arc<Requests>,
    /// What reading payloads took.
    pub reading: Reading,
    /// What was asked of the store.
    pub store: Store,
    /// Operations that failed.
    pub failures: Failures,
}

/// What the kernel can ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A name in a directory.
    Lookup,
    /// The attributes of a node.
    Getattr,
    /// Bytes of a file.
    Read,
    /// Names in a directory.
    Readdir,
    /// Names in a directory with their attributes.
    Readdirplus,
    /// The dataset's totals.
    Statfs,
    /// An extended attribute.
    Getxattr,
    /// The names of extended attributes.
    Listxattr,
}

impl Operation {
    /// All of them, in their order.
    pub const ALL: [Self; 8] = [
        Self::Lookup,
        Self::Getattr,
        Self::Read,
        Self::Readdir,
        Self::Readdirplus,
        Self::Statfs,
        Self::Getxattr,
        Self::Listxattr,
    ];

    /// Its name in FUSE.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Getattr => "getattr",
            Self::Read => "read",
            Self::Readdir => "readdir",
            Self::Readdirplus => "readdirplus",
            Self::Statfs => "statfs",
            Self::Getxattr => "getxattr",
            Self::Listxattr => "listxattr",
        }
    }
}

/// What the kernel asked.
#[derive(Debug)]
pub struct Requests {
    /// Being answered now.
    pub in_flight: AtomicU64,
    /// How long answers took, by operation.
    durations: [Histogram; Operation::ALL.len()],
    /// Bytes that reads gave.
    pub read_sizes: Histogram,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            in_flight: AtomicU64::new(0),
            durations: std::array::from_fn(|_| Histogram::new(DURATIONS)),
            read_sizes: Histogram::new(SIZES),
        }
    }
}

impl Requests {
    /// How long answers to that operation took, in nanoseconds.
    pub fn durations(&self, operation: Operation) -> &Histogram {
        &self.durations[operation as usize]
    }

    /// Answers given.
    pub fn answered(&self) -> u64 {
        self.durations.iter().map(Histogram::count).sum()
    }
}

/// What reading payloads took.
#[derive(Debug, Default)]
pub struct Reading {
    /// Chunks that were found decoded, or that another reader was loading.
    pub hits: Counter,
    /// Chunks that a reader fetched and decoded.
    pub loaded: Counter,
    /// Payload bytes given out.
    pub served: Counter,
    /// Chunks and indexes that did not decode, or whose checksum did not hold.
    pub integrity_failures: Counter,
    /// Chunks that were loaded before anyone asked for them.
    pub prefetched: Counter,
    /// Those of them that someone then asked for.
    pub prefetch_used: Counter,
    /// Those that were dropped before anyone did.
    pub prefetch_wasted: Counter,
}

/// How a request to the store came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It gave what was asked for.
    Found,
    /// There is no such object.
    Missing,
    /// The object is another one now, or too short.
    Changed,
    /// The store refused.
    Denied,
    /// The store could not be reached, or not in time.
    Failed,
}

impl Outcome {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Found, Self::Missing, Self::Changed, Self::Denied, Self::Failed];

    /// The outcome of a request that may find nothing.
    pub fn of<T>(result: &Result<Option<T>>) -> Self {
        match result.as_ref().map_err(crate::error::Error::kind) {
            Ok(Some(_)) => Self::Found,
            Ok(None) | Err(ErrorKind::NotFound) => Self::Missing,
            Err(ErrorKind::Changed | ErrorKind::Invalid) => Self::Changed,
            Err(ErrorKind::Denied) => Self::Denied,
            Err(_) => Self::Failed,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// What was asked of the store.
#[derive(Debug)]
pub struct Store {
    requests: [Counter; Outcome::ALL.len()],
    /// How long requests took, their retries included, in nanoseconds.
    pub durations: Histogram,
    /// Bytes that came from it.
    pub fetched: Counter,
    /// Requests that were made again because one failed.
    pub retries: Counter,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            requests: Default::default(),
            durations: Histogram::new(DURATIONS),
            fetched: Counter::default(),
            retries: Counter::default(),
        }
    }
}

impl Store {
    /// Requests of that outcome.
    pub fn requests(&self, outcome: Outcome) -> &Counter {
        &self.requests[outcome as usize]
    }

    /// Requests of any outcome.
    pub fn answered(&self) -> u64 {
        self.requests.iter().map(Counter::get).sum()
    }
}

impl Metrics {
    /// Bytes fetched for each payload byte served: the number that a chunked store lives by. `None`
    /// before anything is served.
    pub fn amplification(&self) -> Option<f64> {
        ratio(self.store.fetched.get(), self.reading.served.get())
    }

    /// The share of chunks that readers found in memory. `None` before any was asked for.
    pub fn hit_rate(&self) -> Option<f64> {
        let hits = self.reading.hits.get();
        ratio(hits, hits + self.reading.loaded.get())
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_and_outcomes_stand_at_their_own_places() {
        for (place, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, place);
        }
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
        }
    }

    #[test]
    fn rates_are_unknown_before_anything_happened() {
        let metrics = Metrics::default();
        assert_eq!((metrics.amplification(), metrics.hit_rate()), (None, None));
        metrics.store.fetched.add(300);
        metrics.reading.served.add(100);
        metrics.reading.loaded.add(3);
        metrics.reading.hits.add(1);
        assert_eq!((metrics.amplification(), metrics.hit_rate()), (Some(3.0), Some(0.25)));
    }
}
