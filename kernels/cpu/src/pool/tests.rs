use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
fn every_chunk_runs_exactly_once_in_each_of_many_jobs() {
    for threads in [1, 2, 3, 8] {
        let pool = Pool::new(threads);
        for round in 0..3000 {
            let chunks = round % 37;
            let runs: Vec<AtomicU32> = (0..chunks).map(|_| AtomicU32::new(0)).collect();
            let work = |chunk: usize, worker: usize| {
                assert!(worker < threads);
                runs[chunk].fetch_add(1, Ordering::Relaxed);
            };
            if round % 2 == 0 {
                pool.run(chunks, &work);
            } else {
                pool.share_out(chunks, &work);
            }
            assert!(runs.iter().all(|run| run.load(Ordering::Relaxed) == 1));
        }
    }
}

#[test]
fn two_threads_never_have_the_same_number_at_once() {
    let pool = Pool::new(4);
    let inside: Vec<AtomicU32> = (0..4).map(|_| AtomicU32::new(0)).collect();
    for _ in 0..200 {
        pool.run(64, &|_, worker| {
            assert_eq!(inside[worker].fetch_add(1, Ordering::SeqCst), 0);
            std::hint::spin_loop();
            inside[worker].fetch_sub(1, Ordering::SeqCst);
        });
    }
}

#[test]
fn all_threads_come_when_the_caller_waits_for_them_inside_a_chunk() {
    let pool = Pool::new(3);
    let arrived = AtomicUsize::new(0);
    let limit = Instant::now() + Duration::from_secs(20);
    pool.run(3, &|_, _| {
        arrived.fetch_add(1, Ordering::SeqCst);
        while arrived.load(Ordering::SeqCst) < 3 && Instant::now() < limit {
            std::thread::yield_now();
        }
    });
    assert_eq!(arrived.load(Ordering::SeqCst), 3);
    assert!(Instant::now() < limit);
}

#[test]
fn threads_that_went_to_sleep_come_back() {
    let pool = Pool::new(3);
    for _ in 0..5 {
        pool.run(8, &|_, _| {});
        std::thread::sleep(Duration::from_millis(3));
        let count = AtomicUsize::new(0);
        pool.run(100, &|_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_micros(20));
        });
        assert_eq!(count.load(Ordering::Relaxed), 100);
    }
}

#[test]
fn a_call_from_inside_a_chunk_runs_on_the_same_thread() {
    struct Shareable(Pool);
    // The caller's own chunk is the only one that calls the pool again.
    unsafe impl Sync for Shareable {}
    let shared = Shareable(Pool::new(2));
    let shared = &shared;
    let count = AtomicUsize::new(0);
    shared.0.run(50, &|_, worker| {
        if worker == 0 {
            shared.0.run(3, &|_, worker| {
                assert_eq!(worker, 0);
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(count.load(Ordering::Relaxed) % 3, 0);
}

#[test]
fn a_panic_in_any_chunk_reaches_the_caller_and_leaves_the_pool_usable() {
    let pool = Pool::new(2);
    for wrong in [0, 5, 39] {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(40, &|chunk, _| assert_ne!(chunk, wrong));
        }));
        assert!(caught.is_err());
        let count = AtomicUsize::new(0);
        pool.run(40, &|_, _| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.load(Ordering::Relaxed), 40);
    }
}

#[test]
fn many_pools_open_work_and_close_beside_each_other() {
    let pools: Vec<Pool> = (0..20).map(|_| Pool::new(3)).collect();
    let count = AtomicUsize::new(0);
    for pool in &pools {
        pool.start();
        pool.run(10, &|_, _| {
            count.fetch_add(1, Ordering::Relaxed);
        });
    }
    drop(pools);
    assert_eq!(count.load(Ordering::Relaxed), 200);
}

#[test]
fn a_stopped_pool_runs_on_the_calling_thread() {
    let pool = Pool::new(4);
    pool.stop();
    let count = AtomicUsize::new(0);
    pool.run(9, &|_, worker| {
        assert_eq!(worker, 0);
        count.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(count.load(Ordering::Relaxed), 9);
}

#[test]
fn a_job_that_was_begun_is_done_by_others_while_the_caller_runs_alone() {
    let pool = Pool::new(3);
    for round in 0..300 {
        let runs: Arc<Vec<AtomicU32>> = Arc::new((0..3).map(|_| AtomicU32::new(0)).collect());
        let shared = Arc::clone(&runs);
        let work = move |part: usize, _: usize| {
            shared[part].fetch_add(1, Ordering::Relaxed);
        };
        let parts = unsafe { pool.begin(Box::new(work)) };
        assert_eq!(parts, 3);
        if round % 2 == 0 {
            pool.share_out(5, &|_, worker| assert_eq!(worker, 0));
            while !pool.has_done(parts) {
                std::thread::yield_now();
            }
        }
        pool.finish();
        assert!(runs.iter().all(|run| run.load(Ordering::Relaxed) == 1));
        let helped = AtomicUsize::new(0);
        pool.share_out(4, &|_, _| {
            helped.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(helped.into_inner(), 4);
    }
}

#[test]
fn nothing_is_begun_where_nobody_else_is() {
    let pool = Pool::new(1);
    assert_eq!(unsafe { pool.begin(Box::new(|_, _| unreachable!())) }, 0);
}
