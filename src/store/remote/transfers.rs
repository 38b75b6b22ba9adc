//! Requests that are on their way, and bytes that came before they were asked for.
//!
//! A reader that finds its bytes in a transfer waits for that instead of asking anew. Nothing here
//! decides what is right: a transfer that was made ahead and failed is forgotten, and its reader
//! asks for itself.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::request::Body;
use crate::error::Result;
use crate::store::{Part, Version, Wanted};

/// Chunks that lie this near each other come in one request: the gap costs less than a round trip.
const GAP: u64 = 32 << 10;

/// The longest request that neighbours are merged into. Longer ones would come no faster, and
/// decoding could not begin before they end.
const RUN: u64 = 2 << 20;

/// One request, under way or answered.
pub struct Transfer {
    /// The object.
    pub path: String,
    /// Which bytes of it.
    pub part: Part,
    /// The version that it must have.
    pub expected: Option<Version>,
    /// Nobody waited for it when it began.
    pub ahead: bool,
    /// A reader waits for it: it goes before those that nobody waits for.
    pub wanted: Notify,
    /// Bytes that are reserved for it; what it has brought once it has.
    weight: AtomicU64,
    /// Bytes that somebody will take, and those that have been taken.
    useful: AtomicU64,
    taken: AtomicU64,
    touched: AtomicBool,
    outcome: Mutex<Option<Result<Option<Arc<Body>>>>>,
    answered: Condvar,
}

/// The transfers of a store.
pub struct Transfers {
    /// Guards the table, never a request.
    table: Mutex<Table>,
    /// Bytes that transfers ahead of their readers may hold.
    budget: u64,
    /// Bytes that came ahead and were never asked for.
    pub wasted: AtomicU64,
}

#[derive(Default)]
struct Table {
    /// By object. Few at a time: those of one object are walked.
    open: HashMap<String, Vec<Arc<Transfer>>>,
    /// Those that were made ahead, the oldest first.
    ahead: Vec<Arc<Transfer>>,
    /// Bytes reserved by those.
    weight: u64,
}

impl Transfer {
    fn new(
        path: &str,
        part: Part,
        expected: Option<Version>,
        ahead: bool,
        useful: u64,
        weight: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            path: path.to_owned(),
            part,
            expected,
            ahead,
            wanted: Notify::new(),
            weight: AtomicU64::new(weight),
            useful: AtomicU64::new(useful),
            taken: AtomicU64::new(0),
            touched: AtomicBool::new(false),
            outcome: Mutex::new(None),
            answered: Condvar::new(),
        })
    }

    /// Waits for the answer.
    pub fn wait(&self) -> Result<Option<Arc<Body>>> {
        self.touched.store(true, Ordering::Relaxed);
        self.wanted.notify_one();
        let outcome = self.outcome();
        let waited = self.answered.wait_while(outcome, |outcome| outcome.is_none());
        let outcome = waited.unwrap_or_else(PoisonError::into_inner);
        outcome.clone().expect("waited until there was an outcome")
    }

    fn outcome(&self) -> MutexGuard<'_, Option<Result<Option<Arc<Body>>>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether these bytes are among those that come.
    fn covers(&self, part: &Part, expected: Option<&Version>) -> bool {
        // A request that insists on a version answers for that version only.
        if self.expected.is_some() && self.expected.as_ref() != expected {
            return false;
        }
        if let (Some(Ok(Some(body))), false) = (&*self.outcome(), matches!(part, Part::Whole { .. })) {
            let Ok(wanted) = part.of(body.found.size) else { return false };
            return body.range.start <= wanted.start && wanted.end <= body.range.end;
        }
        match (&self.part, part) {
            (Part::Whole { .. }, _) => true,
            (Part::Span(have), Part::Span(want)) => have.start <= want.start && want.end <= have.end,
            (Part::Last(have), Part::Last(want)) => want <= have,
            _ => false,
        }
    }
}

impl Transfers {
    /// None yet; those ahead of their readers may hold `budget` bytes.
    pub fn new(budget: u64) -> Self {
        Self { table: Mutex::default(), budget, wasted: AtomicU64::new(0) }
    }

    /// The transfer that brings these bytes, and whether it must be begun.
    pub fn demand(&self, path: &str, part: &Part, expected: Option<&Version>) -> (Arc<Transfer>, bool) {
        let mut table = self.table();
        if let Some(transfer) = table.find(path, part, expected) {
            return (transfer, false);
        }
        (table.open(Transfer::new(path, part.clone(), expected.cloned(), false, 0, 0)), true)
    }

    /// The transfers that must be begun so that all of this comes: what lies near each other in one
    /// object comes together, what is under way does not come again. What is `ahead` of its reader and
    /// does not fit into the budget is left out; whether nothing was.
    pub fn expect(&self, wanted: &[Wanted], ahead: bool) -> (Vec<Arc<Transfer>>, bool) {
        let mut begun = Vec::new();
        let mut all = true;
        let mut evicted = Vec::new();
        let mut table = self.table();
        let missing = wanted.iter().filter(|w| table.find(&w.path, &w.part, w.version.as_ref()).is_none());
        let mut missing: Vec<&Wanted> = missing.collect();
        missing.sort_by(|a, b| a.path.cmp(&b.path).then(a.start().cmp(&b.start())));
        for run in missing.chunk_by(|a, b| a.path == b.path && a.version == b.version) {
            for (part, useful) in merged(run) {
                let weight = match &part {
                    Part::Span(range) => range.end - range.start,
                    Part::Last(count) => *count,
                    Part::Whole { limit } => *limit,
                };
                if !table.reserve(weight, self.budget, &mut evicted) && ahead {
                    all = false;
                    continue;
                }
                let Wanted { path, version, .. } = run[0];
                let transfer = Transfer::new(path, part, version.clone(), true, useful, weight);
                table.weight += weight;
                table.ahead.push(Arc::clone(&transfer));
                begun.push(table.open(transfer));
            }
        }
        drop(table);
        // Freed outside the lock.
        for transfer in evicted {
            self.count_waste(&transfer);
        }
        (begun, all)
    }

    /// Ends a transfer: those who wait have their answer, and one that came ahead is kept for who will ask.
    pub fn land(&self, transfer: &Arc<Transfer>, outcome: Result<Option<Body>>) {
        let keep = transfer.ahead && matches!(outcome, Ok(Some(_)));
        if let (true, Ok(Some(body))) = (keep, &outcome) {
            let size = body.bytes.len() as u64;
            let mut table = self.table();
            // A reader that waited may have closed it already: then nothing is reserved any more.
            if table.ahead.iter().any(|other| Arc::ptr_eq(other, transfer)) {
                table.weight = table.weight - transfer.weight.swap(size, Ordering::Relaxed) + size;
            }
            drop(table);
            transfer.useful.fetch_min(size, Ordering::Relaxed);
        }
        *transfer.outcome() = Some(outcome.map(|body| body.map(Arc::new)));
        transfer.answered.notify_all();
        if !keep {
            self.table().close(transfer);
        }
    }

    /// Says that bytes of a transfer have been taken; one of which all have been is let go.
    pub fn took(&self, transfer: &Arc<Transfer>, bytes: u64) {
        if transfer.ahead {
            let taken = transfer.taken.fetch_add(bytes, Ordering::Relaxed) + bytes;
            if taken >= transfer.useful.load(Ordering::Relaxed).max(1) {
                self.table().close(transfer);
            }
        }
    }

    /// Forgets a transfer that did not bring what it should.
    pub fn forget(&self, transfer: &Arc<Transfer>) {
        self.table().close(transfer);
    }

    fn count_waste(&self, transfer: &Transfer) {
        if !transfer.touched.load(Ordering::Relaxed) {
            self.wasted.fetch_add(transfer.weight.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn find(&self, path: &str, part: &Part, expected: Option<&Version>) -> Option<Arc<Transfer>> {
        let transfers = self.open.get(path)?;
        transfers.iter().find(|transfer| transfer.covers(part, expected)).cloned()
    }

    fn open(&mut self, transfer: Arc<Transfer>) -> Arc<Transfer> {
        self.open.entry(transfer.path.clone()).or_default().push(Arc::clone(&transfer));
        transfer
    }

    fn close(&mut self, transfer: &Arc<Transfer>) {
        if let Some(transfers) = self.open.get_mut(&transfer.path) {
            transfers.retain(|other| !Arc::ptr_eq(other, transfer));
            if transfers.is_empty() {
                self.open.remove(&transfer.path);
            }
        }
        if let Some(at) = self.ahead.iter().position(|other| Arc::ptr_eq(other, transfer)) {
            self.ahead.remove(at);
            self.weight -= transfer.weight.load(Ordering::Relaxed);
        }
    }

    /// Makes room: the oldest that have been answered and that nobody waits for go. Whether it fits.
    fn reserve(&mut self, weight: u64, budget: u64, evicted: &mut Vec<Arc<Transfer>>) -> bool {
        if weight > budget {
            return false;
        }
        while self.weight + weight > budget {
            let answered = |transfer: &&Arc<Transfer>| transfer.outcome().is_some();
            let Some(oldest) = self.ahead.iter().find(answered).cloned() else { return false };
            self.close(&oldest);
            evicted.push(oldest);
        }
        true
    }
}

/// Parts of one object, sorted by where they start, as few requests; with each the bytes of it that are wanted.
fn merged(parts: &[&Wanted]) -> Vec<(Part, u64)> {
    let mut requests: Vec<(Part, u64)> = Vec::new();
    for wanted in parts {
        let Part::Span(Range { start, end }) = wanted.part else {
            let useful = match wanted.part {
                Part::Last(count) => count,
                // Known when it comes: all of it.
                _ => u64::MAX,
            };
            requests.push((wanted.part.clone(), useful));
            continue;
        };
        if let Some((Part::Span(last), useful)) = requests.last_mut()
            && start <= last.end.saturating_add(GAP)
            && end.max(last.end) - last.start <= RUN
        {
            *useful += end.saturating_sub(start.max(last.end));
            last.end = last.end.max(end);
        } else {
            requests.push((Part::Span(start..end), end - start));
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::error::Error;
    use crate::store::Found;
    use proptest::prelude::*;

    fn version() -> Version {
        Version::Tag("\"v\"".into())
    }

    fn span(path: &str, range: Range<u64>) -> Wanted {
        Wanted { path: path.into(), part: Part::Span(range), version: Some(version()), first: None }
    }

    fn body(range: Range<u64>, size: u64) -> Body {
        let found = Found { size, version: version(), modified: SystemTime::UNIX_EPOCH };
        Body { bytes: vec![0; (range.end - range.start) as usize], range, found }
    }

    #[test]
    fn neighbours_come_together_and_what_is_far_apart_does_not() {
        let transfers = Transfers::new(1 << 30);
        let far = 10 << 20;
        let wanted = [span("a", 100..200), span("a", far..far + 10), span("a", 0..100), span("b", 200..300)];
        let parts: Vec<_> =
            transfers.expect(&wanted, true).0.iter().map(|t| (t.path.clone(), t.part.clone())).collect();
        let part = |path: &str, range| (path.to_owned(), Part::Span(range));
        assert_eq!(parts, [part("a", 0..200), part("a", far..far + 10), part("b", 200..300)]);
    }

    #[test]
    fn what_is_under_way_is_not_asked_for_again() {
        let transfers = Transfers::new(1 << 30);
        let [transfer] = &transfers.expect(&[span("a", 0..100)], true).0[..] else { panic!("one request") };
        assert!(transfers.expect(&[span("a", 10..20)], true).0.is_empty());
        let (found, begin) = transfers.demand("a", &Part::Span(10..20), Some(&version()));
        assert!(Arc::ptr_eq(transfer, &found) && !begin);
        let other = Version::Tag("\"other\"".into());
        assert!(
            transfers.demand("a", &Part::Span(10..20), Some(&other)).1,
            "another version is another request"
        );
        assert!(transfers.demand("a", &Part::Span(90..101), Some(&version())).1);
    }

    #[test]
    fn an_object_that_has_come_whole_answers_for_all_its_parts() {
        let transfers = Transfers::new(1 << 30);
        let whole =
            Wanted { path: "a".into(), part: Part::Whole { limit: 1000 }, version: None, first: None };
        let begun = transfers.expect(&[whole], true).0;
        transfers.land(&begun[0], Ok(Some(body(0..50, 50))));
        for part in [Part::Last(50), Part::Span(3..50), Part::Whole { limit: 50 }] {
            assert!(!transfers.demand("a", &part, None).1, "{part:?}");
        }
        assert!(transfers.demand("a", &Part::Last(51), None).1, "what it lacks must be asked for");
    }

    #[test]
    fn what_was_taken_and_what_failed_leaves_and_what_nobody_took_is_counted() {
        let transfers = Transfers::new(100);
        let begun = transfers.expect(&[span("a", 0..60)], true).0;
        transfers.land(&begun[0], Ok(Some(body(0..60, 60))));
        assert!(transfers.expect(&[span("b", 0..101)], true).0.is_empty(), "more than the budget");
        assert_eq!(transfers.expect(&[span("b", 0..50)], true).0.len(), 1);
        assert_eq!((transfers.table().weight, transfers.wasted.load(Ordering::Relaxed)), (50, 60));
        let transfers = Transfers::new(100);

        let begun = transfers.expect(&[span("a", 0..60)], true).0;
        transfers.land(&begun[0], Ok(Some(body(0..60, 60))));
        let (transfer, _) = transfers.demand("a", &Part::Span(0..30), Some(&version()));
        transfers.took(&transfer, 30);
        assert_eq!(transfers.table().weight, 60);
        transfers.took(&transfer, 30);
        assert_eq!(transfers.table().weight, 0);

        let begun = transfers.expect(&[span("a", 0..60)], true).0;
        transfers.land(&begun[0], Err(Error::invalid("broken")));
        assert_eq!(transfers.table().weight, 0);
        assert!(transfers.demand("a", &Part::Span(0..60), Some(&version())).1);
    }

    proptest! {
        #[test]
        fn merged_requests_hold_every_part_and_stay_short(
            mut starts in prop::collection::vec((0u64..20_000_000, 1u64..3_000_000), 1..30),
        ) {
            starts.sort_unstable();
            let parts: Vec<_> = starts.iter().map(|(start, len)| span("a", *start..start + len)).collect();
            let parts: Vec<_> = parts.iter().collect();
            let requests = merged(&parts);
            for part in &parts {
                let Part::Span(part) = &part.part else { unreachable!() };
                let holds = |(request, _): &(Part, u64)| matches!(
                    request, Part::Span(r) if r.start <= part.start && part.end <= r.end
                );
                prop_assert!(requests.iter().any(holds));
            }
            let longest = starts.iter().map(|(_, len)| *len).max().unwrap();
            for (request, useful) in requests {
                let Part::Span(r) = request else { unreachable!() };
                prop_assert!(r.end - r.start <= RUN.max(longest));
                prop_assert!(useful <= r.end - r.start);
            }
        }
    }
}
