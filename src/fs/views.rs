//! The views that someone looks through at the moment, and their places among the inode numbers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
}

struct View {
    spec: ViewSpec,
    lookups: u64,
}

impl Views {
    /// No views yet, and room for so many.
    pub fn new(slots: u64) -> Self {
        Self { slots, table: Mutex::new(HashMap::new()) }
    }

    /// The slot of a view, with one lookup counted.
    pub fn enter(&self, spec: &ViewSpec) -> Slot {
        let mut table = self.table();
        let mut slot = Slot(digest(spec) % self.slots + 1);
        while table.get(&slot).is_some_and(|view| view.spec != *spec) {
            slot = Slot(slot.0 % self.slots + 1);
        }
        table.entry(slot).or_insert_with(|| View { spec: spec.clone(), lookups: 0 }).lookups += 1;
        slot
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
