//! How far a long run has come, on stderr, for people: nothing is shown where no one watches.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over all the bytes that a run goes through.
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar from 0 to `bytes`. It is quiet when stderr is no terminal.
    pub fn new(bytes: u64) -> Self {
        const FORM: &str =
            "{wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left {msg}";
        let bar = ProgressBar::new(bytes);
        // A form that indicatif does not understand costs the looks of the bar and nothing else.
        bar.set_style(ProgressStyle::with_template(FORM).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(bar)
    }

    /// So many more bytes are done.
    pub fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// So many samples of all are done.
    pub fn samples(&self, done: usize, all: usize) {
        self.0.set_message(format!("{done}/{all} samples"));
    }

    /// Runs `print` while the bar is out of the way of what it prints.
    pub fn aside<R>(&self, print: impl FnOnce() -> R) -> R {
        self.0.suspend(print)
    }
}

/// However a run ends, its bar leaves the terminal.
impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
