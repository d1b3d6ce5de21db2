//! Fork-join over the threads of one context.
//!
//! The caller publishes a job, wakes whoever sleeps and works along; every thread claims chunks from
//! one counter until none is left. The caller waits only for chunks that another thread has claimed,
//! never for a thread that has not come: on a busy machine it does most of the work itself. Threads
//! spin briefly for the next job, then sleep.

mod board;
mod judge;
#[cfg(not(target_arch = "wasm32"))]
mod native;
mod patience;
#[cfg(target_arch = "wasm32")]
mod wasm;

use alloc::boxed::Box;
use core::cell::{Cell, RefCell};

use board::Board;
use judge::{Job, Judge};
#[cfg(not(target_arch = "wasm32"))]
use native as platform;
use patience::Patience;
use platform::{Crew, Shared, clock, learn_of_memory};
#[cfg(target_arch = "wasm32")]
use wasm as platform;

type Begun = (f64, Box<dyn Fn(usize, usize) + Sync>);

/// The threads of one context. One thread at a time calls it.
pub struct Pool {
    board: Shared<Board>,
    crew: RefCell<Crew>,
    patience: RefCell<Patience>,
    judge: RefCell<Judge>,
    busy: Cell<bool>,
    /// When a job was begun that the caller does not wait for, and what it is.
    begun: RefCell<Option<Begun>>,
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
            judge: RefCell::new(Judge::new()),
            busy: Cell::new(false),
            begun: RefCell::new(None),
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
        self.run_job(chunks, work, &|chunks, began| {
            self.run_judged(chunks, work, began);
        });
    }

    /// The same for parts about as many as threads, each as long as its job wants. The judge is not
    /// asked and learns nothing: it compares chunks per second, and such parts are no measure.
    pub fn share_out(&self, parts: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        self.run_job(parts, work, &|parts, _| {
            let _busy = Busy::mark(&self.busy);
            self.board.publish(parts, work);
            self.board.work(0);
            self.board.join(parts, &mut self.patience.borrow_mut());
        });
    }

    /// Lets other threads begin a job while the caller does something else, and says in how many parts
    /// `work` runs; 0 is none, where nobody can. Until [`Pool::finish`] what the caller runs, it runs alone.
    ///
    /// # Safety
    /// What `work` refers to must stay until then.
    pub unsafe fn begin(&self, work: Box<dyn Fn(usize, usize) + Sync>) -> usize {
        if self.threads == 1 || self.busy.get() || self.board.stopped() {
            return 0;
        }
        self.crew.borrow_mut().before(&self.board);
        if self.board.present() == 0 {
            return 0;
        }
        self.busy.set(true);
        let mut begun = self.begun.borrow_mut();
        let (_, work) = begun.insert((clock(), work));
        // One part more than others take wakes all of them, and is the caller's in the end.
        self.board.publish(self.threads as u32, &**work);
        self.threads
    }

    /// Whether all parts of the job that was begun are done.
    pub fn has_done(&self, parts: usize) -> bool {
        self.board.has_done(parts as u32)
    }

    /// Does what is left of the job that was begun, and waits for what others do of it.
    pub fn finish(&self) {
        self.board.work(0);
        self.board
            .join(self.threads as u32, &mut self.patience.borrow_mut());
        self.busy.set(false);
        if let Some((began, _)) = self.begun.borrow_mut().take() {
            self.crew.borrow_mut().after(&self.board, began);
        }
        learn_of_memory();
        if self.board.take_failure() {
            panic!("a part of the kernel panicked");
        }
    }

    /// Runs a job on this thread where no other can help, else by `together(chunks, now)`.
    fn run_job(
        &self,
        chunks: usize,
        work: &(dyn Fn(usize, usize) + Sync),
        together: &dyn Fn(u32, f64),
    ) {
        let single = chunks <= 1 || self.threads == 1;
        if single || self.busy.get() || self.board.stopped() || chunks > u32::MAX as usize {
            return run_alone(chunks, work);
        }
        self.crew.borrow_mut().before(&self.board);
        let began = clock();
        if self.board.present() == 0 {
            run_alone(chunks, work);
        } else {
            together(chunks as u32, began);
        }
        self.crew.borrow_mut().after(&self.board, began);
        // What other threads have made may lie in memory that they took.
        learn_of_memory();
        if self.board.take_failure() {
            panic!("a part of the kernel panicked");
        }
    }

    fn run_judged(&self, chunks: u32, work: &(dyn Fn(usize, usize) + Sync), began: f64) {
        let _busy = Busy::mark(&self.busy);
        let mut judge = self.judge.borrow_mut();
        let mut own = chunks;
        let mut worked = began;
        if judge.alone() {
            run_alone(chunks as usize, work);
        } else {
            self.board.publish(chunks, work);
            own = self.board.work(0);
            worked = clock();
            self.board.join(chunks, &mut self.patience.borrow_mut());
        }
        let now = clock();
        let worked = if own == chunks { now } else { worked };
        judge.record(&Job {
            chunks,
            own,
            worked: worked - began,
            waited: now - worked,
            now,
        });
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

/// Marks a pool as busy for as long as it lives, also through a panic.
struct Busy<'a>(&'a Cell<bool>);

impl Busy<'_> {
    fn mark(busy: &Cell<bool>) -> Busy<'_> {
        busy.set(true);
        Busy(busy)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

fn run_alone(chunks: usize, work: &(dyn Fn(usize, usize) + Sync)) {
    for chunk in 0..chunks {
        work(chunk, 0);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;
