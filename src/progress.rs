//! How far a long run has come, on stderr: a bar on a terminal, a line now and then elsewhere.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};

use crate::output;

/// Between two lines where there is no terminal: a log is not to drown in them.
const PAUSE: Duration = Duration::from_secs(10);

/// Samples and bytes that are done, of how many. Any thread may tell it of more.
pub struct Progress {
    /// Counts bytes; shows itself only on a terminal.
    bar: ProgressBar,
    samples: usize,
    done: AtomicUsize,
    failed: AtomicUsize,
    /// When the last line was written.
    told: Mutex<Instant>,
}

impl Progress {
    /// Nothing done of so many samples with so many bytes in all.
    pub fn new(samples: usize, bytes: u64) -> Self {
        const FORM: &str =
            "{wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left, {msg}";
        let bar = ProgressBar::new(bytes);
        // A form that indicatif does not understand costs the looks of the bar and nothing else.
        bar.set_style(ProgressStyle::with_template(FORM).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let told = Mutex::new(Instant::now());
        Self { bar, samples, done: AtomicUsize::new(0), failed: AtomicUsize::new(0), told }
    }

    /// So many more bytes are done.
    pub fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        if self.bar.is_hidden() {
            self.line();
        }
    }

    /// So many samples are done by now, and so many of them failed.
    pub fn samples(&self, done: usize, failed: usize) {
        self.done.store(done, Ordering::Relaxed);
        self.failed.store(failed, Ordering::Relaxed);
        self.bar.set_message(self.count());
    }

    /// Runs `print` while the bar is out of the way of what it prints.
    pub fn aside<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }

    /// Says something above the bar. Nobody may be listening.
    pub fn say(&self, text: &str) {
        self.aside(|| output::say(text));
    }

    fn count(&self) -> String {
        let (done, failed) = (self.done.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        format!("{done}/{} samples{failed}", self.samples)
    }

    fn line(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() < PAUSE {
            return;
        }
        *told = Instant::now();
        drop(told);
        let (position, length) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let rate = position as f64 / self.bar.elapsed().as_secs_f64();
        let left = Duration::from_secs_f64(length.saturating_sub(position) as f64 / rate.max(1.0));
        let (rate, left) = (HumanBytes(rate as u64), HumanDuration(left));
        output::say(format_args!("{}, {rate}/s, {left} left", self.count()));
    }
}

/// However a run ends, its bar leaves the terminal.
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
