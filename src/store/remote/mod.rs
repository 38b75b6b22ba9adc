//! A store behind a network: one request for what lies together, many at a time, each tried until
//! its time is up.
//!
//! Readers are threads that wait; requests run on a small runtime of their own, and only their
//! bytes come over. Decoding is left to the readers.

mod connect;
mod profile;
mod request;
mod transfers;
mod upload;
mod write;

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use request::{Body, Requests};
use transfers::{Transfer, Transfers};

use super::access::Access;
use super::address::Remote;
use super::{Found, Objects, Part, PlainFile, Version, Wanted};
use crate::error::{Error, ErrorKind, Result};

/// Requests that readers wait for, at once.
const DEMANDED: usize = 64;

/// Requests ahead of their readers, at once. They have places of their own, so that they take none
/// from a reader that waits.
const AHEAD: usize = 24;

/// Threads that drive requests: they move bytes and decode nothing.
const DRIVERS: usize = 2;

/// Objects below a prefix of a bucket, a container or a web server.
pub struct Bucket {
    requests: Arc<Requests>,
    transfers: Arc<Transfers>,
    places: Arc<Places>,
    runtime: Runtime,
}

struct Places {
    demanded: Semaphore,
    ahead: Semaphore,
}

impl Bucket {
    /// Opens a store. Nothing is asked of it yet, but for the region of a bucket that nobody told.
    ///
    /// # Errors
    /// Credentials or options that cannot be used.
    pub fn open(address: &Remote, access: &Access) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(DRIVERS)
            .thread_name("samplefs-net")
            .enable_all()
            .build()
            .map_err(|e| Error::io("start the threads for requests", &e))?;
        let requests = runtime.block_on(connect::connect(address, access))?;
        Ok(Self {
            requests: Arc::new(requests),
            transfers: Arc::new(Transfers::new(access.ahead_budget)),
            places: Arc::new(Places { demanded: Semaphore::new(DEMANDED), ahead: Semaphore::new(AHEAD) }),
            runtime,
        })
    }

    /// Begins a transfer, which lands by itself.
    fn begin(&self, transfer: Arc<Transfer>, ahead: bool) {
        let (requests, places) = (Arc::clone(&self.requests), Arc::clone(&self.places));
        // A task that panics or is dropped with the runtime must not leave its readers waiting.
        let landing = Landing { transfers: Arc::clone(&self.transfers), transfer, outcome: None };
        self.runtime.spawn(async move {
            let mut landing = landing;
            let transfer = Arc::clone(&landing.transfer);
            // Never closed, so a place is always granted; one that a reader waits for by now goes first.
            let _place = if ahead {
                tokio::select! {
                    place = places.ahead.acquire() => place,
                    () = transfer.wanted.notified() => places.demanded.acquire().await,
                }
            } else {
                places.demanded.acquire().await
            };
            landing.outcome =
                Some(requests.get(&transfer.path, &transfer.part, transfer.expected.as_ref()).await);
        });
    }

    /// The bytes of a part, from a transfer under way or one of its own.
    fn fetch(
        &self,
        path: &str,
        part: &Part,
        expected: Option<&Version>,
    ) -> Result<(Option<Arc<Body>>, Arc<Transfer>)> {
        loop {
            let (transfer, new) = self.transfers.demand(path, part, expected);
            if new {
                self.begin(Arc::clone(&transfer), false);
            }
            match transfer.wait() {
                // It was made on a guess, or for a version that is gone; the reader's own request decides.
                // One that was tried for all its time is not tried for as long again.
                Err(e) if transfer.ahead && e.kind() != ErrorKind::Unavailable => {
                    self.transfers.forget(&transfer);
                }
                Ok(Some(body)) if transfer.ahead && lacks(&body, part, expected) => {
                    self.transfers.forget(&transfer);
                }
                outcome => return outcome.map(|body| (body, transfer)),
            }
        }
    }
}

/// Whether a body that came ahead is not what is asked for now.
fn lacks(body: &Body, part: &Part, expected: Option<&Version>) -> bool {
    let held = part
        .of(body.found.size)
        .is_ok_and(|wanted| body.range.start <= wanted.start && wanted.end <= body.range.end);
    !held || expected.is_some_and(|expected| *expected != body.found.version)
}

impl Objects for Bucket {
    fn location(&self) -> String {
        self.requests.shown().to_owned()
    }

    fn read(
        &self,
        path: &str,
        part: Part,
        expected: Option<&Version>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        buffer.clear();
        let (body, transfer) = self.fetch(path, &part, expected)?;
        let Some(body) = body else { return Ok(None) };
        let wanted = part.of(body.found.size)?;
        let from = (wanted.start - body.range.start) as usize;
        let bytes = &body.bytes[from..from + (wanted.end - wanted.start) as usize];
        buffer.extend_from_slice(bytes);
        self.transfers.took(&transfer, bytes.len() as u64);
        Ok(Some(body.found.clone()))
    }

    fn expect(&self, wanted: &[Wanted], ahead: bool) -> bool {
        let (begun, all) = self.transfers.expect(wanted, ahead);
        for transfer in begun {
            self.begin(transfer, ahead);
        }
        all
    }

    fn is_far(&self) -> bool {
        true
    }

    fn list(&self) -> Result<Vec<PlainFile>> {
        self.runtime.block_on(self.requests.list())
    }
}

/// Lands a transfer however its task ends.
struct Landing {
    transfers: Arc<Transfers>,
    transfer: Arc<Transfer>,
    outcome: Option<Result<Option<Body>>>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let ended = || Err(Error::new(ErrorKind::Internal, "a request ended by a defect; see the log"));
        self.transfers.land(&self.transfer, self.outcome.take().unwrap_or_else(ended));
    }
}
