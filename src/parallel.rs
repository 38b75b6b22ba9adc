//! Work spread over threads, its results taken in the order of the tasks, so that what is made of
//! them does not depend on how many threads there were.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::error::Result;

/// Does the tasks `0..tasks` on so many threads, and gives each result to `take` on this thread, in
/// order. A result that waits for an earlier one is kept, so results should be small.
///
/// # Errors
/// The first of `take`'s; tasks that have not begun by then are left undone.
pub fn in_order<R: Send>(
    tasks: usize,
    workers: usize,
    work: impl Fn(usize) -> R + Sync,
    mut take: impl FnMut(usize, R) -> Result<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (done, results) = mpsc::sync_channel(workers);
        for _ in 0..workers.min(tasks) {
            let (done, next, work) = (done.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let task = next.fetch_add(1, Ordering::Relaxed);
                    // Nobody listens any more when `take` has failed.
                    if task >= tasks || done.send((task, work(task))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        let mut early = BTreeMap::new();
        let mut due = 0;
        for (task, result) in results {
            early.insert(task, result);
            while let Some(result) = early.remove(&due) {
                take(due, result)?;
                due += 1;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn results_come_in_order_from_any_number_of_threads() {
        for workers in [1, 2, 8, 200] {
            let mut taken = Vec::new();
            let work = |task: usize| {
                // Every third is slow, so that later ones overtake it.
                thread::sleep(std::time::Duration::from_micros(if task.is_multiple_of(3) { 300 } else { 0 }));
                task * task
            };
            in_order(100, workers, work, |task, square| {
                taken.push((task, square));
                Ok(())
            })
            .unwrap();
            assert_eq!(taken, (0..100).map(|task| (task, task * task)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn after_a_failure_no_more_work_is_begun() {
        let begun = AtomicUsize::new(0);
        let work = |_| {
            // All of them would take minutes; whoever takes the eleventh is at it before that.
            thread::sleep(std::time::Duration::from_micros(500));
            begun.fetch_add(1, Ordering::Relaxed)
        };
        let failed = in_order(1_000_000, 4, work, |task, _| match task {
            10 => Err(Error::invalid("enough")),
            _ => Ok(()),
        });
        assert_eq!(failed, Err(Error::invalid("enough")));
        assert!(begun.into_inner() < 500_000);
    }

    #[test]
    fn no_tasks_are_done_at_once() {
        assert_eq!(in_order(0, 4, |_| (), |_, ()| Err(Error::invalid("never"))), Ok(()));
    }
}
