//! The pool's threads in WebAssembly: workers that JavaScript starts over the same memory.
//!
//! Starting a worker takes the calling thread tens of milliseconds, so each waits until the work so
//! far would have paid for it. A worker that has slept long ends, because JavaScript keeps a process
//! alive while it has workers; it is started again when there is work.

use alloc::alloc::{Layout, alloc};
use core::arch::wasm32::{memory_atomic_notify, memory_atomic_wait32};
use core::sync::atomic::AtomicU32;

use super::board::Board;

pub use crate::wasm::learn_of_memory;
pub use alloc::sync::Arc as Shared;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    /// Milliseconds since some moment.
    fn now() -> f64;
    /// Starts a worker that calls `worker_serve(board, worker)` on a stack that ends at `stack`.
    fn start_worker(board: *const Board, worker: u32, stack: usize);
}

/// Microseconds of work in several chunks that must have been done before a worker is started.
const WORTH: f64 = 40_000.0;
/// Nanoseconds after which a sleeping worker ends.
const LONG: i64 = 500_000_000;
const STACK: usize = 1 << 19;
const TIMED_OUT: i32 = 2;

/// Where a thread sleeps: the address of its state.
pub struct Bed;

impl Bed {
    pub fn new() -> Bed {
        Bed
    }

    /// Sleeps while `state` is `asleep`; false where that took very long.
    pub fn sleep(&self, state: &AtomicU32, asleep: u32) -> bool {
        unsafe { memory_atomic_wait32(state.as_ptr().cast(), asleep as i32, LONG) != TIMED_OUT }
    }

    /// Sleeps while `state` is `asleep`, as long as it takes.
    pub fn sleep_long(&self, state: &AtomicU32, asleep: u32) {
        unsafe { memory_atomic_wait32(state.as_ptr().cast(), asleep as i32, -1) };
    }

    /// Wakes who sleeps here; `state` has been changed before.
    pub fn wake(&self, state: &AtomicU32) {
        unsafe { memory_atomic_notify(state.as_ptr().cast(), 1) };
    }
}

/// Runs a chunk. A panic ends the worker's JavaScript, which then calls `worker_failed`.
pub fn catch(body: impl FnOnce()) -> bool {
    learn_of_memory();
    body();
    true
}

/// Microseconds since some moment.
pub fn clock() -> f64 {
    unsafe { now() * 1000.0 }
}

/// Decides when workers start, and keeps their stacks.
pub struct Crew {
    /// Address of each worker's stack; a worker that is started again gets its old one.
    stacks: alloc::vec::Vec<usize>,
    worked: f64,
}

impl Crew {
    pub fn new() -> Crew {
        Crew {
            stacks: alloc::vec::Vec::new(),
            worked: 0.0,
        }
    }

    pub fn before(&mut self, _board: &Shared<Board>) {}

    pub fn after(&mut self, board: &Shared<Board>, began: f64) {
        if board.complete() {
            return;
        }
        self.worked += clock() - began;
        if self.worked > WORTH {
            self.worked = 0.0;
            self.start_one(board);
        }
    }

    pub fn start_all(&mut self, board: &Shared<Board>) {
        while self.start_one(board) {}
    }

    fn start_one(&mut self, board: &Shared<Board>) -> bool {
        let Some(worker) = board.take_absent() else {
            return false;
        };
        while self.stacks.len() < worker {
            let stack = unsafe { alloc(Layout::from_size_align_unchecked(STACK, 64)) };
            if stack.is_null() {
                return false;
            }
            self.stacks.push(stack as usize);
        }
        let stack = self.stacks[worker - 1] + STACK;
        unsafe { start_worker(Shared::as_ptr(board), worker as u32, stack) };
        true
    }

    /// The workers see the stop by themselves; their memory goes with the instance.
    pub fn dismiss(&mut self) {}
}

/// The life of a worker, called in its own instance.
#[unsafe(no_mangle)]
unsafe extern "C" fn worker_serve(board: *const Board, worker: u32) {
    unsafe { (*board).serve(worker as usize) };
}

/// Reports the work of a worker whose instance failed.
#[unsafe(no_mangle)]
unsafe extern "C" fn worker_failed(board: *const Board, worker: u32) {
    unsafe { (*board).bury(worker as usize) };
}
