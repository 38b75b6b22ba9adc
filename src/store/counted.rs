//! A store around a store that counts what is asked of it.

use std::sync::Arc;
use std::time::Instant;

use super::{Found, Objects, Part, PlainFile, Version, Wanted};
use crate::error::Result;
use crate::metrics::{Metrics, Outcome};

/// Counts the requests that reach the store inside, and the bytes that come back.
pub struct Counted {
    inner: Arc<dyn Objects>,
    metrics: Arc<Metrics>,
}

impl Counted {
    /// Counts from zero.
    pub fn new(inner: Arc<dyn Objects>) -> Self {
        Self::watched_by(inner, Arc::default())
    }

    /// Counts there.
    pub fn watched_by(inner: Arc<dyn Objects>, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.metrics.store.answered()
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.metrics.store.fetched.get()
    }
}

impl Objects for Counted {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn read(
        &self,
        path: &str,
        part: Part,
        expected: Option<&Version>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        let started = Instant::now();
        let found = self.inner.read(path, part, expected, buffer);
        let store = &self.metrics.store;
        store.durations.observe(started.elapsed().as_nanos() as u64);
        store.requests(Outcome::of(&found)).add(1);
        if let Ok(Some(_)) = &found {
            store.fetched.add(buffer.len() as u64);
        }
        found
    }

    fn expect(&self, wanted: &[Wanted], ahead: bool) -> bool {
        self.inner.expect(wanted, ahead)
    }

    fn is_far(&self) -> bool {
        self.inner.is_far()
    }

    fn list(&self) -> Result<Vec<PlainFile>> {
        let started = Instant::now();
        let listed = self.inner.list().map(Some);
        let store = &self.metrics.store;
        store.durations.observe(started.elapsed().as_nanos() as u64);
        store.requests(Outcome::of(&listed)).add(1);
        listed.map(Option::unwrap_or_default)
    }
}
