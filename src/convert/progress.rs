//! What a run says while it is at work: a bar on a terminal, a line now and then otherwise.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

/// Between two lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

/// Samples and bytes done, of how many, on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    samples: usize,
    done: usize,
    failed: usize,
    total: u64,
    bytes: u64,
    started: Instant,
    told: Instant,
}

impl Progress {
    /// Nothing done of so many samples with so many bytes in all.
    pub fn new(samples: usize, bytes: u64) -> Self {
        let now = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left, {msg}",
            );
            ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, samples, done: 0, failed: 0, total: bytes, bytes: 0, started: now, told: now }
    }

    /// One more sample of so many bytes is done or has failed.
    pub fn advance(&mut self, bytes: u64, failed: bool) {
        self.done += 1;
        self.failed += usize::from(failed);
        self.bytes += bytes;
        let count = format!("{} of {} samples, {} failed", self.done, self.samples, self.failed);
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.bytes);
                bar.set_message(count);
            }
            None if self.told.elapsed() >= PAUSE => {
                self.told = Instant::now();
                let rate = self.bytes as f64 / self.started.elapsed().as_secs_f64();
                let left =
                    Duration::from_secs_f64(self.total.saturating_sub(self.bytes) as f64 / rate.max(1.0));
                let rate = HumanBytes(rate as u64);
                eprintln!("{count}, {rate}/s, {} s left", left.as_secs());
            }
            None => {}
        }
    }

    /// Says something above the bar.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
