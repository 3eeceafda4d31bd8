//! Many lives at once, one on each processor.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// Lives that may fail before no more are played.
const FAILURES_MAX: usize = 20;

/// Plays the life of each seed and returns the results in the order of the seeds.
///
/// # Panics
/// With the seeds of the lives that failed.
pub fn play<T: Send>(seeds: Range<u64>, life: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let (began, next) = (Instant::now(), AtomicU64::new(seeds.start));
    let (results, failed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let worker = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || locked(&failed).len() >= FAILURES_MAX {
                return;
            }
            if let Ok(result) = catch_unwind(AssertUnwindSafe(|| life(seed))) {
                locked(&results).push((seed, result));
            } else {
                eprintln!("the life of seed {seed} failed; SIMULATE_SEED={seed} replays it");
                locked(&failed).push(seed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(worker);
        }
    });
    let (mut results, mut failed) = (std::mem::take(&mut *locked(&results)), std::mem::take(&mut *locked(&failed)));
    failed.sort_unstable();
    assert!(failed.is_empty(), "the lives of seeds {failed:?} failed; their messages are above");
    println!("{} lives in {:.0} s", results.len(), began.elapsed().as_secs_f64());
    results.sort_unstable_by_key(|(seed, _)| *seed);
    results.into_iter().map(|(_, result)| result).collect()
}

fn locked<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn results_come_in_the_order_of_the_seeds_and_failed_lives_are_named() {
    assert_eq!(play(3..9, |seed| 2 * seed), [6, 8, 10, 12, 14, 16]);
    let failure = catch_unwind(|| play(0..9, |seed| assert!(seed != 4, "this life fails on purpose")));
    let message = failure.expect_err("one life failed");
    assert!(message.downcast_ref::<String>().is_some_and(|message| message.contains("[4]")));
}
