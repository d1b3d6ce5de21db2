//! Fork-join over the threads of one context.
//!
//! The caller publishes a job, wakes whoever sleeps and works along; every thread claims chunks from
//! one counter until none is left. The caller waits only for chunks that another thread has claimed,
//! never for a thread that has not come: on a busy machine it does most of the work itself. Threads
//! spin briefly for the next job, then sleep.

mod board;
#[cfg(not(target_arch = "wasm32"))]
mod native;
mod patience;
#[cfg(target_arch = "wasm32")]
mod wasm;

use core::cell::{Cell, RefCell};

use board::Board;
#[cfg(not(target_arch = "wasm32"))]
use native as platform;
use patience::Patience;
use platform::{Crew, Shared};
#[cfg(target_arch = "wasm32")]
use wasm as platform;

/// The threads of one context. One thread at a time calls it.
pub struct Pool {
    board: Shared<Board>,
    crew: RefCell<Crew>,
    patience: RefCell<Patience>,
    busy: Cell<bool>,
    threads: usize,
}

impl Pool {
    /// A pool of `threads` threads, the caller's included; the others start when there is work.
    pub fn new(threads: usize) -> Pool {
        let threads = threads.clamp(1, 1024);
        Pool {
            board: Shared::new(Board::new(threads - 1)),
            crew: RefCell::new(Crew::new()),
            patience: RefCell::new(Patience::new()),
            busy: Cell::new(false),
            threads,
        }
    }

    /// How many threads, the caller's included, can work at once.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work(chunk, worker)` once for every chunk, `worker < threads()`. A single chunk, and a
    /// call from inside another, run on the calling thread.
    pub fn run(&self, chunks: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        if chunks <= 1 || self.threads == 1 || self.busy.get() || self.board.stopped() {
            for chunk in 0..chunks {
                work(chunk, 0);
            }
            return;
        }
        assert!(chunks <= u32::MAX as usize, "more chunks than can be counted");
        self.crew.borrow_mut().before(&self.board);
        self.busy.set(true);
        self.board.publish(chunks as u32, work);
        self.board.work(0);
        self.board.join(chunks as u32, &mut self.patience.borrow_mut());
        self.busy.set(false);
        self.crew.borrow_mut().after(&self.board);
        if self.board.take_failure() {
            panic!("a part of the kernel panicked");
        }
    }

    /// Starts all threads that are not running.
    #[cfg(any(target_arch = "wasm32", test))]
    pub fn start(&self) {
        self.crew.borrow_mut().start_all(&self.board);
    }

    /// Sends the threads home for good; what runs afterwards runs on the calling thread.
    pub fn stop(&self) {
        self.board.stop();
        self.crew.borrow_mut().dismiss();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;
