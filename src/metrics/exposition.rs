//! The numbers as OpenMetrics text, which Prometheus scrapes. No label names a sample: there are
//! millions.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::{Histogram, Metrics, Operation, Outcome};

/// The media type of [`fn@text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Numbers that can fall, as they are at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Levels {
    /// Seconds since 1970 at which the mount began.
    pub started: f64,
    /// Samples in the store.
    pub samples: u64,
    /// Views in use.
    pub views: u64,
    /// Bytes that decoded chunks and metadata take.
    pub cached: u64,
    /// Bytes that they may take.
    pub cache_limit: u64,
    /// Bytes of the process that are in memory.
    pub resident: u64,
}

/// The text of all metrics.
pub fn text(metrics: &Arc<Metrics>, levels: Levels) -> String {
    let mut registry = Registry::with_prefix("samplefs");
    registry.register_collector(Box::new(Moment { metrics: Arc::clone(metrics), levels }));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("a string takes all that is written");
    text
}

/// The metrics of one moment.
#[derive(Debug)]
struct Moment {
    metrics: Arc<Metrics>,
    levels: Levels,
}

impl Collector for Moment {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        let Metrics { requests, reading, store, failures } = &*self.metrics;
        let (bytes, seconds) = (Some(Unit::Bytes), Some(Unit::Seconds));

        out.histograms("request_duration", "Time to answer the kernel", &seconds, || {
            Operation::ALL.map(|op| (Some(("operation", op.name())), requests.durations(op))).into()
        })?;
        out.histograms("read_size", "Bytes a read gave", &bytes, || vec![(None, &requests.read_sizes)])?;
        let in_flight = requests.in_flight.load(std::sync::atomic::Ordering::Relaxed);
        out.gauge("requests_in_flight", "Requests being answered", &None, in_flight as f64)?;
        let kinds = failures.counts();
        let kinds = kinds.iter().map(|(kind, count)| (Some(("kind", *kind)), *count));
        out.counters("failures", "Operations that failed, by what the caller can do", &None, kinds)?;

        let chunks = [("hit", &reading.hits), ("loaded", &reading.loaded)];
        let chunks = chunks.map(|(result, count)| (Some(("result", result)), count.get()));
        out.counters("chunks", "Chunks that readers asked for", &None, chunks)?;
        out.counter("served", "Payload bytes given out", &bytes, reading.served.get())?;
        let broken = reading.integrity_failures.get();
        out.counter("integrity_failures", "Chunks and indexes that did not verify", &None, broken)?;
        let ahead = reading.prefetched.get();
        out.counter("prefetched_chunks", "Chunks loaded before they were asked for", &None, ahead)?;
        let used = reading.prefetch_used.get();
        out.counter("prefetch_used_chunks", "Prefetched chunks that were asked for", &None, used)?;
        let wasted = reading.prefetch_wasted.get();
        out.counter("prefetch_wasted_chunks", "Prefetched chunks dropped unused", &None, wasted)?;

        let outcomes =
            Outcome::ALL.map(|outcome| (Some(("outcome", outcome.name())), store.requests(outcome).get()));
        out.counters("store_requests", "Requests to the store", &None, outcomes)?;
        out.histograms("store_request_duration", "Time a request to the store took", &seconds, || {
            vec![(None, &store.durations)]
        })?;
        out.counter("store_fetched", "Bytes that came from the store", &bytes, store.fetched.get())?;
        out.counter("store_retries", "Requests made again after a failure", &None, store.retries.get())?;

        let Levels { started, samples, views, cached, cache_limit, resident } = self.levels;
        out.gauge("start_time", "When the mount began, since 1970", &seconds, started)?;
        out.gauge("samples", "Samples in the store", &None, samples as f64)?;
        out.gauge("views", "Views in use", &None, views as f64)?;
        out.gauge("cache", "Memory of decoded chunks and metadata", &bytes, cached as f64)?;
        out.gauge("cache_limit", "Memory that they may take", &bytes, cache_limit as f64)?;
        out.gauge("resident", "Memory of the process", &bytes, resident as f64)
    }
}

/// A label and its value.
type Label = (&'static str, &'static str);

/// Writes metrics one after the other.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn metric(
        &mut self,
        name: &str,
        help: &str,
        unit: &Option<Unit>,
        kind: MetricType,
        write: impl FnOnce(MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        // A full stop ends what the library itself registers; so it does here.
        write(self.0.encode_descriptor(name, &format!("{help}."), unit.as_ref(), kind)?)
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        unit: &Option<Unit>,
        values: impl IntoIterator<Item = (Option<Label>, u64)>,
    ) -> fmt::Result {
        self.metric(name, help, unit, MetricType::Counter, |mut encoder| {
            values.into_iter().try_for_each(|(label, value)| {
                labelled(&mut encoder, label, |encoder| {
                    encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)
                })
            })
        })
    }

    fn counter(&mut self, name: &str, help: &str, unit: &Option<Unit>, value: u64) -> fmt::Result {
        self.counters(name, help, unit, [(None, value)])
    }

    fn gauge(&mut self, name: &str, help: &str, unit: &Option<Unit>, value: f64) -> fmt::Result {
        self.metric(name, help, unit, MetricType::Gauge, |mut encoder| encoder.encode_gauge(&value))
    }

    fn histograms<'h>(
        &mut self,
        name: &str,
        help: &str,
        unit: &Option<Unit>,
        values: impl FnOnce() -> Vec<(Option<Label>, &'h Histogram)>,
    ) -> fmt::Result {
        // Durations are counted in nanoseconds.
        let scale = if matches!(unit, Some(Unit::Seconds)) { 1e9 } else { 1.0 };
        self.metric(name, help, unit, MetricType::Histogram, |mut encoder| {
            values().into_iter().try_for_each(|(label, histogram)| {
                let bound = |bound: Option<u64>| bound.map_or(f64::INFINITY, |bound| bound as f64 / scale);
                let buckets: Vec<_> = histogram.buckets().map(|(at, count)| (bound(at), count)).collect();
                let count = buckets.iter().map(|(_, count)| count).sum();
                let sum = histogram.sum() as f64 / scale;
                labelled(&mut encoder, label, |encoder| {
                    encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
                })
            })
        })
    }
}

fn labelled(
    encoder: &mut MetricEncoder<'_>,
    label: Option<Label>,
    write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    match label {
        None => write(encoder),
        Some(label) => write(&mut encoder.encode_family(&[label])?),
    }
}
