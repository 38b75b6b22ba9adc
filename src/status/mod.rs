//! What a mount tells of itself while it runs: over a private socket to `samplefs status`, upon SIGUSR1
//! to the log, and as metrics over HTTP.
//!
//! Nothing here touches the mount itself: who asks why it hangs must get an answer.

mod command;
mod http;
mod socket;

pub use command::{StatusArgs, status};

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use signal_hook::consts::SIGUSR1;
use signal_hook::iterator::Signals;

use crate::error::{Error, Result};
use crate::fs::Filesystem;
use crate::metrics::exposition::{self, Levels};
use crate::metrics::{Metrics, Operation, Outcome};
use crate::output;

/// A mount that can be asked.
pub struct Watched {
    /// What it shows.
    pub fs: Arc<Filesystem>,
    /// Where.
    pub mountpoint: PathBuf,
    /// The store's location, without what is secret in it.
    pub store: String,
    /// Bytes that decoded chunks and metadata may take.
    pub cache_limit: usize,
    /// When it began.
    pub since: SystemTime,
    /// Where its metrics are served.
    pub metrics: Option<TcpListener>,
}

/// A mount that answers those who ask, until this is dropped.
pub struct Answering {
    _socket: Option<socket::Bound>,
}

/// Where metrics are to be had: bound before a mount begins, so that what is in the way is told in time.
///
/// # Errors
/// An address that is in use or not this machine's.
pub fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).map_err(|e| Error::io(format_args!("serve metrics at {address}"), &e))
}

impl Watched {
    /// Answers from now on. A mount whose socket cannot be had works all the same, and says so in the log.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub fn answer(self) -> Result<Answering> {
        let watched = Arc::new(self);
        let mut signals = Signals::new([SIGUSR1]).map_err(|e| Error::io("set up signal handling", &e))?;
        let logged = Arc::clone(&watched);
        thread::spawn(move || {
            for _ in signals.forever() {
                tracing::info!("status: {}", logged.document());
            }
        });
        let scraped = Arc::clone(&watched);
        thread::spawn(move || {
            if let Some(listener) = &scraped.metrics {
                http::serve(listener, || exposition::text(scraped.fs.metrics(), scraped.levels()));
            }
        });
        let bound = socket::bind(&watched.mountpoint).inspect_err(|e| {
            tracing::warn!("samplefs status will not find this mount: {e}");
        });
        let socket = bound.ok().map(|(bound, listener)| {
            thread::spawn(move || socket::serve(&listener, || output::json(&watched.document())));
            bound
        });
        Ok(Answering { _socket: socket })
    }

    /// All that can be told, at the moment.
    fn document(&self) -> Value {
        let metrics = self.fs.metrics();
        let Metrics { requests, reading, store, failures } = &**metrics;
        let levels = self.levels();
        let operations = Operation::ALL.into_iter().filter_map(|operation| {
            let durations = requests.durations(operation);
            let answered = durations.count();
            let mean = durations.sum().checked_div(answered)? / 1000;
            Some(json!({ "operation": operation.name(), "answered": answered, "mean_microseconds": mean }))
        });
        let outcomes = Outcome::ALL.into_iter();
        let mut asked: Map<_, _> = outcomes
            .map(|outcome| (outcome.name().to_owned(), store.requests(outcome).get().into()))
            .collect();
        asked.insert("retries".to_owned(), store.retries.get().into());
        let last = failures.last().into_iter().map(|failure| {
            json!({
                "at": time(failure.at),
                "operation": failure.operation.name(),
                "kind": failure.kind.name(),
                "message": failure.message,
            })
        });
        json!({
            "mountpoint": self.mountpoint.display().to_string(),
            "store": self.store,
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "since": time(self.since),
            "dataset": self.fs.snapshot().catalog().dataset,
            "samples": levels.samples,
            "views_in_use": levels.views,
            "metrics": self.metrics_at(),
            "requests_in_flight": requests.in_flight.load(Ordering::Relaxed),
            "requests": operations.collect::<Vec<_>>(),
            "store_requests": asked,
            "bytes_fetched": store.fetched.get(),
            "bytes_served": reading.served.get(),
            "read_amplification": rounded(metrics.amplification()),
            "chunks": {
                "loaded": reading.loaded.get(),
                "hits": reading.hits.get(),
                "hit_rate": rounded(metrics.hit_rate()),
                "prefetched": reading.prefetched.get(),
                "prefetch_used": reading.prefetch_used.get(),
                "prefetch_wasted": reading.prefetch_wasted.get(),
                "integrity_failures": reading.integrity_failures.get(),
            },
            "memory": {
                "cache": levels.cached,
                "cache_limit": levels.cache_limit,
                "resident": levels.resident,
            },
            "failures": failures.counts(),
            "last_failures": last.collect::<Vec<_>>(),
        })
    }

    /// Where metrics are to be had.
    pub fn metrics_at(&self) -> Option<String> {
        let address = self.metrics.as_ref()?.local_addr().ok()?;
        Some(format!("http://{address}/metrics"))
    }

    fn levels(&self) -> Levels {
        let started = self.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Levels {
            started: started.as_secs_f64(),
            samples: self.fs.snapshot().catalog().ids.len() as u64,
            views: self.fs.views() as u64,
            cached: self.fs.reader().held() as u64,
            cache_limit: self.cache_limit as u64,
            resident: resident(),
        }
    }
}

/// Bytes of this process that are in memory; 0 where the kernel does not tell.
fn resident() -> u64 {
    let pages = std::fs::read_to_string(Path::new("/proc/self/statm"));
    let pages = pages.ok().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

/// A ratio with as many digits as anyone reads.
fn rounded(ratio: Option<f64>) -> Option<f64> {
    ratio.map(|ratio| (ratio * 1e3).round() / 1e3)
}
