//! A cache bounded by bytes in which every value is loaded at most once at a time.
//!
//! The race it settles: two readers miss the same key. The first to take the lock leaves a
//! flight behind and loads outside the lock; the second finds the flight and waits for it. The
//! result is put into the cache before the flight is taken away, under one lock, so that a third
//! finds one or the other. A failure reaches everyone who waited and is then forgotten: the next
//! reader tries again. A load that panics ends its flight with an error, by its guard.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::error::{Error, ErrorKind, Result};

/// Values by key, least recently used leaving first.
pub struct Cache<K: Hash + Eq, V> {
    state: Mutex<State<K, V>>,
    budget: usize,
}

struct State<K: Hash + Eq, V> {
    /// Loaded values and their weights in bytes.
    ready: LruCache<K, (Arc<V>, usize)>,
    /// Sum of those weights.
    weight: usize,
    loading: HashMap<K, Arc<Flight<V>>>,
}

/// A load in progress, and its outcome for those who wait.
struct Flight<V> {
    outcome: Mutex<Option<Result<Arc<V>>>>,
    landed: Condvar,
}

/// What a cache answered, and whether it had to load.
pub enum Got<V> {
    /// It was there, or another reader was loading it.
    Hit(Arc<V>),
    /// This call loaded it.
    Loaded(Arc<V>),
}

impl<V> Got<V> {
    /// The value.
    pub fn value(self) -> Arc<V> {
        match self {
            Self::Hit(value) | Self::Loaded(value) => value,
        }
    }
}

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    /// An empty cache that keeps at most `budget` bytes.
    pub fn new(budget: usize) -> Self {
        let state = State { ready: LruCache::unbounded(), weight: 0, loading: HashMap::new() };
        Self { state: Mutex::new(state), budget }
    }

    /// The value of `key`; `load` makes it and its weight in bytes when it is not there.
    ///
    /// # Errors
    /// Those of `load`, its own or the one that another reader had started.
    pub fn get(&self, key: K, load: impl FnOnce() -> Result<(V, usize)>) -> Result<Got<V>> {
        let flight = {
            let mut state = self.state();
            if let Some((value, _)) = state.ready.get(&key) {
                return Ok(Got::Hit(Arc::clone(value)));
            }
            if let Some(flight) = state.loading.get(&key).map(Arc::clone) {
                drop(state);
                return flight.wait().map(Got::Hit);
            }
            let flight = Arc::new(Flight { outcome: Mutex::new(None), landed: Condvar::new() });
            state.loading.insert(key.clone(), Arc::clone(&flight));
            flight
        };
        let mut landing = Landing { cache: self, key, flight, loaded: None };
        let (value, weight) = load().inspect_err(|e| landing.loaded = Some(Err(e.clone())))?;
        let value = Arc::new(value);
        landing.loaded = Some(Ok((Arc::clone(&value), weight)));
        drop(landing);
        Ok(Got::Loaded(value))
    }

    /// The value of `key`, if it is there. Looking does not count as use.
    pub fn peek(&self, key: &K) -> Option<Arc<V>> {
        self.state().ready.peek(key).map(|(value, _)| Arc::clone(value))
    }

    /// Whether the value of `key` is there or on its way.
    pub fn contains(&self, key: &K) -> bool {
        let state = self.state();
        state.ready.contains(key) || state.loading.contains_key(key)
    }

    /// Bytes held.
    pub fn weight(&self) -> usize {
        self.state().weight
    }

    fn state(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Flight<V> {
    fn wait(&self) -> Result<Arc<V>> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome =
            self.landed.wait_while(outcome, |o| o.is_none()).unwrap_or_else(PoisonError::into_inner);
        outcome.clone().expect("waited until there was an outcome")
    }
}

/// Ends a flight whatever happened: a value, an error, or a panic, which leaves nothing here.
struct Landing<'a, K: Hash + Eq + Clone, V> {
    cache: &'a Cache<K, V>,
    key: K,
    flight: Arc<Flight<V>>,
    loaded: Option<Result<(Arc<V>, usize)>>,
}

impl<K: Hash + Eq + Clone, V> Drop for Landing<'_, K, V> {
    fn drop(&mut self) {
        let panicked = || Err(Error::new(ErrorKind::Internal, "reading failed by a defect; see the log"));
        let loaded = self.loaded.take().unwrap_or_else(panicked);
        // What leaves is dropped after the lock is released: freeing large chunks takes time.
        let mut evicted = Vec::new();
        {
            let mut state = self.cache.state();
            state.loading.remove(&self.key);
            if let Ok((value, weight)) = &loaded {
                state.weight += weight;
                state.ready.put(self.key.clone(), (Arc::clone(value), *weight));
                while state.weight > self.cache.budget {
                    let Some((_, (value, weight))) = state.ready.pop_lru() else { break };
                    state.weight -= weight;
                    evicted.push(value);
                }
            }
        }
        let outcome = loaded.map(|(value, _)| value);
        *self.flight.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        self.flight.landed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;
    use proptest::prelude::*;

    fn failure() -> Error {
        Error::invalid("broken")
    }

    #[test]
    fn many_readers_of_one_key_load_it_once() {
        let cache = Cache::new(1 << 20);
        let loads = AtomicUsize::new(0);
        let together = Barrier::new(32);
        thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    together.wait();
                    let load = || {
                        loads.fetch_add(1, Ordering::Relaxed);
                        thread::yield_now();
                        Ok((7, 8))
                    };
                    assert_eq!(*cache.get("key", load).unwrap().value(), 7);
                });
            }
        });
        assert_eq!(loads.into_inner(), 1);
    }

    #[test]
    fn a_failure_reaches_those_who_wait_and_is_not_kept() {
        let cache: Cache<u8, u8> = Cache::new(10);
        let (started, waiting) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            let first = scope.spawn(|| {
                cache.get(1, || {
                    started.wait();
                    waiting.wait();
                    Err(failure())
                })
            });
            started.wait();
            let second = scope.spawn(|| {
                waiting.wait();
                cache.get(1, || Err(failure()))
            });
            assert_eq!(first.join().unwrap().err(), Some(failure()));
            assert_eq!(second.join().unwrap().err(), Some(failure()));
        });
        assert_eq!(*cache.get(1, || Ok((5, 1))).unwrap().value(), 5);
    }

    #[test]
    fn a_panic_while_loading_leaves_no_one_waiting() {
        let cache: Cache<u8, u8> = Cache::new(10);
        let panicked = catch_unwind(AssertUnwindSafe(|| cache.get(1, || panic!("a defect"))));
        assert!(panicked.is_err());
        assert_eq!(*cache.get(1, || Ok((5, 1))).unwrap().value(), 5);
    }

    proptest! {
        #[test]
        fn it_holds_what_a_plain_model_holds(
            requests in prop::collection::vec((0u8..12, 1usize..40), 1..200), budget in 0usize..120,
        ) {
            let cache = Cache::new(budget);
            // Most recently used last.
            let mut model: Vec<(u8, usize)> = Vec::new();
            for (key, weight) in requests {
                let got = cache.get(key, || Ok((key, weight))).unwrap();
                let known = model.iter().position(|(k, _)| *k == key);
                prop_assert_eq!(matches!(got, Got::Hit(_)), known.is_some());
                let entry = known.map_or((key, weight), |at| model.remove(at));
                model.push(entry);
                while model.iter().map(|(_, w)| w).sum::<usize>() > budget {
                    model.remove(0);
                }
                prop_assert_eq!(cache.weight(), model.iter().map(|(_, w)| w).sum::<usize>());
            }
        }
    }
}
