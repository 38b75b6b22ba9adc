//! The views that someone looks through at the moment, and their places among the inode numbers.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::journal::Journal;
use crate::subsample::{Counts, ViewSpec};
use crate::tree::Slot;

/// Which view has which slot.
///
/// A view's slot follows from what it shows, so that it is the same at every mount; only when
/// another view that is in use has that slot already does it take the next free one. A view stays
/// while the kernel remembers any node that it is part of: every lookup counts one, every forget
/// takes its number away, and at zero the memory is returned.
pub struct Views {
    slots: u64,
    table: Mutex<HashMap<Slot, View>>,
    /// Locked after the table.
    journal: Mutex<Option<Journal>>,
}

/// What counts for the lookups of a view that an earlier process entered: nobody knows how many there
/// were, so it is kept for good.
const UNKNOWN: u64 = u64::MAX / 2;

struct View {
    spec: ViewSpec,
    lookups: u64,
}

impl Views {
    /// No views yet, and room for so many.
    pub fn new(slots: u64) -> Self {
        Self { slots, table: Mutex::default(), journal: Mutex::default() }
    }

    /// The slot of a view, with one lookup counted.
    pub fn enter(&self, spec: &ViewSpec) -> Slot {
        let mut table = self.table();
        let mut slot = Slot(digest(spec) % self.slots + 1);
        while table.get(&slot).is_some_and(|view| view.spec != *spec) {
            slot = Slot(slot.0 % self.slots + 1);
        }
        let view = table.entry(slot).or_insert_with(|| {
            self.note(|journal| journal.add(slot, spec));
            View { spec: spec.clone(), lookups: 0 }
        });
        view.lookups += 1;
        slot
    }

    /// Takes up views that an earlier process entered.
    pub fn resume(&self, views: Vec<(Slot, ViewSpec)>) {
        let views = views.into_iter().filter(|(slot, _)| (1..=self.slots).contains(&slot.0));
        self.table().extend(views.map(|(slot, spec)| (slot, View { spec, lookups: UNKNOWN })));
    }

    /// Writes all views in use, and from now on every new one, to a journal.
    pub fn journal(&self, journal: Journal) {
        let table = self.table();
        *self.journal.lock().unwrap_or_else(PoisonError::into_inner) = Some(journal);
        self.note(|journal| journal.write(table.iter().map(|(slot, view)| (*slot, &view.spec))));
    }

    /// Leaves nothing to a next process: it would number the nodes otherwise than this one does by now.
    pub fn end_journal(&self) {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(journal) = journal {
            journal.give_up();
        }
    }

    /// Does something to the journal, if there is one; the first time that it fails is the last.
    fn note(&self, write: impl FnOnce(&mut Journal) -> io::Result<()>) {
        let mut place = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(journal) = place.as_mut()
            && let Err(error) = write(journal)
        {
            tracing::warn!(
                "the journal of views cannot be written, so the next process mounts anew: {error}"
            );
            journal.give_up();
            *place = None;
        }
    }

    /// Counts one more lookup of a view that is in use.
    pub fn again(&self, slot: Slot) {
        if let Some(view) = self.table().get_mut(&slot) {
            view.lookups += 1;
        }
    }

    /// Takes back so many lookups.
    pub fn leave(&self, slot: Slot, lookups: u64) {
        let mut table = self.table();
        if let Some(view) = table.get_mut(&slot) {
            view.lookups = view.lookups.saturating_sub(lookups);
            if view.lookups == 0 {
                table.remove(&slot);
                let views = table.iter().map(|(slot, view)| (*slot, &view.spec));
                self.note(|journal| journal.tidy(table.len(), views));
            }
        }
    }

    /// What the view in that slot shows.
    pub fn spec(&self, slot: Slot) -> Option<ViewSpec> {
        self.table().get(&slot).map(|view| view.spec.clone())
    }

    /// How many views are in use.
    pub fn count(&self) -> usize {
        self.table().len()
    }

    /// The slots of all views in use.
    pub fn slots(&self) -> Vec<Slot> {
        self.table().keys().copied().collect()
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Slot, View>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that is the same for the same view in every process: 64 bits of FNV-1a over its
/// counts and seed, finished by SplitMix64's mixing so that neighbours fall far apart.
fn digest(spec: &ViewSpec) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |word: u64| {
        for byte in word.to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    match &spec.counts {
        Counts::Every(n) => add(*n),
        Counts::Each(each) => each.iter().for_each(|(domain, n)| {
            add(*domain as u64 + 1);
            add(*n);
        }),
    }
    add(spec.seed);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(n: u64, seed: u64) -> ViewSpec {
        ViewSpec { counts: Counts::Every(n), seed }
    }

    #[test]
    fn a_view_keeps_its_slot_while_it_is_in_use_and_gets_it_again_later() {
        let views = Views::new(1 << 40);
        let slot = views.enter(&view(5, 1));
        assert_eq!(views.enter(&view(5, 1)), slot);
        views.leave(slot, 1);
        assert_eq!(views.spec(slot), Some(view(5, 1)));
        views.leave(slot, 1);
        assert_eq!((views.spec(slot), views.count()), (None, 0));
        assert_eq!(Views::new(1 << 40).enter(&view(5, 1)), slot);
    }

    #[test]
    fn a_view_of_an_earlier_process_is_there_and_stays() {
        let views = Views::new(64);
        views.resume(vec![(Slot(3), view(5, 1)), (Slot(65), view(6, 1))]);
        views.leave(Slot(3), 1000);
        assert_eq!((views.spec(Slot(3)), views.count()), (Some(view(5, 1)), 1));
    }

    #[test]
    fn views_that_would_share_a_slot_do_not() {
        let views = Views::new(64);
        let slots: Vec<Slot> = (0..64).map(|seed| views.enter(&view(5, seed))).collect();
        for (seed, slot) in (0..64).zip(&slots) {
            assert_eq!(views.spec(*slot), Some(view(5, seed)));
            assert!((1..=64).contains(&slot.0));
        }
    }

    #[test]
    fn a_walk_over_many_views_gives_its_memory_back() {
        let views = Views::new(1 << 36);
        let slots: Vec<Slot> = (0..100_000).map(|seed| views.enter(&view(4096, seed))).collect();
        assert_eq!(views.count(), 100_000);
        slots.into_iter().for_each(|slot| views.leave(slot, 1));
        assert_eq!(views.count(), 0);
    }
}
