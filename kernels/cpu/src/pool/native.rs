//! The pool's threads on an operating system.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, LazyLock, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use super::board::Board;

pub use std::sync::Arc as Shared;

/// Where a thread sleeps.
pub struct Bed {
    lock: Mutex<()>,
    bell: Condvar,
}

impl Bed {
    pub fn new() -> Bed {
        Bed {
            lock: Mutex::new(()),
            bell: Condvar::new(),
        }
    }

    /// Sleeps while `state` is `asleep`; always true: the threads of an operating system may sleep
    /// as long as the context lives.
    pub fn sleep(&self, state: &AtomicU32, asleep: u32) -> bool {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while state.load(Ordering::SeqCst) == asleep {
            guard = self
                .bell
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// Sleeps while `state` is `asleep`, as long as it takes.
    pub fn sleep_long(&self, state: &AtomicU32, asleep: u32) {
        self.sleep(state, asleep);
    }

    /// Wakes who sleeps here; `state` has been changed before.
    pub fn wake(&self, _state: &AtomicU32) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.notify_one();
    }
}

/// Memory that another thread took is known to all at once.
pub fn learn_of_memory() {}

/// Runs a chunk; false where it panicked.
pub fn catch(body: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(body)).is_ok()
}

/// Microseconds since some moment.
pub fn clock() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as f64 / 1000.0
}

/// The threads that have been started: all of them, before the first job.
pub struct Crew {
    threads: Vec<JoinHandle<()>>,
    started: bool,
}

impl Crew {
    pub fn new() -> Crew {
        Crew {
            threads: Vec::new(),
            started: false,
        }
    }

    pub fn before(&mut self, board: &Shared<Board>) {
        if !self.started {
            self.start_all(board);
        }
    }

    pub fn after(&mut self, _board: &Shared<Board>, _began: f64) {}

    /// Starts what the system allows; the caller does the work of threads that are missing.
    pub fn start_all(&mut self, board: &Shared<Board>) {
        self.started = true;
        while let Some(worker) = board.take_absent() {
            let shared = Shared::clone(board);
            let thread = Builder::new().name(format!("llamero-{worker}"));
            match thread.spawn(move || shared.serve(worker)) {
                Ok(handle) => self.threads.push(handle),
                Err(_) => {
                    board.give_up(worker);
                    return;
                }
            }
        }
    }

    /// Waits for the threads' end.
    pub fn dismiss(&mut self) {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
