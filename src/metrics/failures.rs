//! Operations that failed: counted by kind, the last ones kept, and told in the log, a line each.
//!
//! A store that is down fails thousands of reads a second, and a damaged chunk is read again and again.
//! So of each kind a minute tells a few different lines; what more there was is counted and told when
//! the minute is over.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::Operation;
use crate::error::{Error, ErrorKind};

/// How many failures are kept.
const KEPT: usize = 16;

/// The most bytes of a message that are kept.
const LONGEST: usize = 1000;

/// Different lines that are told of a kind in one window.
const TOLD: usize = 10;

/// How long what is told once is not told again.
const WINDOW: Duration = Duration::from_secs(60);

/// Kinds that are counted from zero on, so that a watcher sees the first.
const KINDS: [ErrorKind; 5] =
    [ErrorKind::Invalid, ErrorKind::Changed, ErrorKind::Denied, ErrorKind::Unavailable, ErrorKind::Internal];

/// The failures of a mount.
#[derive(Debug, Default)]
pub struct Failures(Arc<Mutex<State>>);

/// An operation that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: SystemTime,
    /// What was asked.
    pub operation: Operation,
    /// What the caller can do about it.
    pub kind: ErrorKind,
    /// What happened to which file.
    pub message: String,
}

#[derive(Debug)]
struct State {
    counts: BTreeMap<&'static str, u64>,
    last: VecDeque<Failure>,
    windows: BTreeMap<&'static str, Window>,
}

impl Default for State {
    fn default() -> Self {
        let counts = KINDS.into_iter().map(|kind| (kind.name(), 0)).collect();
        Self { counts, last: VecDeque::new(), windows: BTreeMap::new() }
    }
}

/// What the log has been told of a kind since the window opened.
#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    told: Vec<String>,
    held: u64,
}

impl Window {
    /// Whether a line is to be told now. What is not is counted.
    fn admits(&mut self, line: &str, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            // What the last one held is told by whoever waits for its end.
            *self = Self { since: Some(now), told: Vec::new(), held: self.held };
        }
        let admitted = self.told.len() < TOLD && !self.told.iter().any(|told| told == line);
        if admitted {
            self.told.push(line.to_owned());
        } else {
            self.held += 1;
        }
        admitted
    }
}

impl Failures {
    /// Counts and keeps a failure, and tells it in the log unless that has just been told.
    pub fn record(&self, operation: Operation, error: &Error) {
        let (kind, message) = (error.kind().name(), error.to_string());
        let (admitted, first_held) = {
            let mut state = self.state();
            *state.counts.entry(kind).or_default() += 1;
            if state.last.len() == KEPT {
                state.last.pop_front();
            }
            let kept = message.chars().scan(0, |bytes, c| {
                *bytes += c.len_utf8();
                (*bytes <= LONGEST).then_some(c)
            });
            let failure =
                Failure { at: SystemTime::now(), operation, kind: error.kind(), message: kept.collect() };
            state.last.push_back(failure);
            let window = state.windows.entry(kind).or_default();
            let held = window.held;
            (window.admits(&message, Instant::now()), held == 0 && window.held == 1)
        };
        if admitted {
            let operation = operation.name();
            match error.remedy() {
                Some(hint) => tracing::warn!(operation, hint, "{message}"),
                None => tracing::warn!(operation, "{message}"),
            }
        }
        if first_held {
            let state = Arc::clone(&self.0);
            thread::spawn(move || {
                thread::sleep(WINDOW);
                Self(state).tell_held(kind);
            });
        }
    }

    /// Failures so far, by the name of their kind.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.state().counts.clone()
    }

    /// The last failures, the latest last.
    pub fn last(&self) -> Vec<Failure> {
        self.state().last.iter().cloned().collect()
    }

    /// Tells the log what it has not been told yet.
    pub fn tell_all_held(&self) {
        let kinds: Vec<_> = self.state().windows.keys().copied().collect();
        kinds.into_iter().for_each(|kind| self.tell_held(kind));
    }

    fn tell_held(&self, kind: &'static str) {
        let held = self.state().windows.get_mut(kind).map_or(0, |window| std::mem::take(&mut window.held));
        if held > 0 {
            tracing::warn!(kind, "… {held} more like this in the last {} s", WINDOW.as_secs());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_tells_each_line_once_and_no_more_than_a_few() {
        let (mut window, start) = (Window::default(), Instant::now());
        let mut told = 0;
        for line in 0..20 {
            told += usize::from(window.admits(&format!("line {line}"), start));
            assert!(!window.admits("line 0", start) || line == 0);
        }
        assert_eq!((told, window.held), (TOLD, 30));
        let later = start + WINDOW;
        assert!(window.admits("line 0", later));
        assert!(!window.admits("line 0", later + WINDOW / 2));
    }

    #[test]
    fn failures_are_counted_by_kind_and_the_last_are_kept_cut_at_a_length() {
        let failures = Failures::default();
        assert_eq!(failures.counts()["invalid"], 0);
        for n in 0..40 {
            failures.record(Operation::Read, &Error::invalid(format!("{n} {}", "ä".repeat(2000))));
        }
        failures.record(Operation::Lookup, &Error::new(ErrorKind::Changed, "gone"));
        assert_eq!((failures.counts()["invalid"], failures.counts()["changed"]), (40, 1));
        let last = failures.last();
        assert_eq!(last.len(), KEPT);
        assert!(last[0].message.starts_with("25 ") && last[0].message.len() <= LONGEST);
        assert_eq!((last[15].operation, last[15].message.as_str()), (Operation::Lookup, "gone"));
    }
}
