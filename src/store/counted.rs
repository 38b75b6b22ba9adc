//! A store around a store that counts what is asked of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Found, Objects, Part, PlainFile, Version, Wanted};
use crate::error::Result;

/// Counts the requests that reach the store inside, and the bytes that come back.
pub struct Counted {
    inner: Arc<dyn Objects>,
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Counted {
    /// Counts from zero.
    pub fn new(inner: Arc<dyn Objects>) -> Self {
        Self { inner, requests: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
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
        self.requests.fetch_add(1, Ordering::Relaxed);
        let found = self.inner.read(path, part, expected, buffer)?;
        self.bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        Ok(found)
    }

    fn expect(&self, wanted: &[Wanted], ahead: bool) -> bool {
        self.inner.expect(wanted, ahead)
    }

    fn is_far(&self) -> bool {
        self.inner.is_far()
    }

    fn list(&self) -> Result<Vec<PlainFile>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.inner.list()
    }
}
