//! A text that other threads encode while its bytes still come: JavaScript turns strings into bytes
//! on one thread, and that would be waited for.

use super::gather::{Shared, gather};
use super::tokenizer::{Outcome, Parallel, Request, SpecialMode, Tokenizer};
use super::units::{TASK_BYTES, Unit};
use super::worker::Worker;
use crate::pool::Pool;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::slice::from_raw_parts;
use core::sync::atomic::{AtomicUsize, Ordering::*};

/// Ids of a task, and how many each of its units has.
pub(super) type TaskResult = (Vec<u32>, Vec<u32>);

/// A text that is being encoded. The caller adds tasks, all threads take them; what a thread writes
/// belongs to its task or to itself.
pub(super) struct Begun {
    text: *const u8,
    request: Request,
    /// Where the next task begins, and where to look for its end.
    start: Cell<usize>,
    look_from: Cell<usize>,
    /// Parts of the job that the pool has of it; 0 is none.
    parts: Cell<usize>,
    /// Room for all tasks that there can be.
    tasks: Vec<Unit>,
    results: Vec<TaskResult>,
    workers: Vec<Worker>,
    shared: (Shared<Unit>, Shared<TaskResult>, Shared<Worker>),
    /// Tasks that are there, and those that somebody has taken.
    ready: AtomicUsize,
    taken: AtomicUsize,
}

unsafe impl Sync for Begun {}

impl Tokenizer {
    /// Takes the first `len` bytes of a text of at most `most` as known; other threads encode what they
    /// suffice for. Without threads, or where the text cannot be cut, nothing happens.
    ///
    /// # Safety
    /// The bytes are well-formed UTF-8 and stay as they are until [`Tokenizer::finish_begun`] or
    /// [`Tokenizer::drop_begun`], before which nothing else is done with this tokenizer.
    pub unsafe fn begin(
        this: *mut Tokenizer,
        (text, len, most): (*const u8, usize, usize),
        request: Request,
        pool: &Pool,
    ) {
        unsafe {
            if (*this).begun.is_none() {
                let fit = pool.threads() > 1
                    && request.special != SpecialMode::Refuse
                    && (*this).divisible(request);
                if !fit {
                    return;
                }
                (*this).begun = Some(Begun::new(&mut *this, (text, most), request));
            }
            let this = &*this;
            if let Some(begun) = &this.begun {
                begun.add_tasks(this, len);
                begun.call(this, pool);
            }
        }
    }

    /// Encodes the rest of a text that was begun.
    ///
    /// # Safety
    /// As of [`Tokenizer::begin`]; the text has `len` bytes in all.
    pub unsafe fn finish_begun(
        this: *mut Tokenizer,
        len: usize,
        (pool, parallel): (&Pool, Parallel),
    ) -> Outcome {
        unsafe {
            if let Some(begun) = &(*this).begun {
                begun.add_tasks(&*this, len);
                begun.add(begun.start.get(), len, true);
                begun.call(&*this, pool);
                begun.take_rest(&*this, pool);
            }
            let tokenizer = &mut *this;
            if let Some(results) = tokenizer.drop_begun(pool) {
                let done = &tokenizer.results[..results];
                gather(&mut tokenizer.ids, done, |result| &result.0, parallel);
                tokenizer.counts.clear();
                tokenizer.counts.push(tokenizer.ids.len() as u32);
            }
        }
        Outcome::Done(len)
    }

    /// Waits for the other threads and gives up what was begun; gives the number of tasks done.
    pub fn drop_begun(&mut self, pool: &Pool) -> Option<usize> {
        let begun = self.begun.as_ref()?;
        begun.taken.fetch_max(begun.ready.load(Acquire), AcqRel);
        if begun.parts.replace(0) > 0 {
            pool.finish();
        }
        let begun = self.begun.take()?;
        (self.workers, self.results) = (begun.workers, begun.results);
        Some(begun.ready.into_inner())
    }
}

impl Begun {
    fn new(
        tokenizer: &mut Tokenizer,
        (text, most): (*const u8, usize),
        request: Request,
    ) -> Box<Begun> {
        let room = most / TASK_BYTES + 2;
        let none = Unit {
            start: 0,
            end: 0,
            first: true,
            last: true,
        };
        let mut tasks = vec![none; room];
        let mut results = core::mem::take(&mut tokenizer.results);
        results.resize_with(room.max(results.len()), Default::default);
        let mut workers = core::mem::take(&mut tokenizer.workers);
        let shared = (
            Shared(tasks.as_mut_ptr()),
            Shared(results.as_mut_ptr()),
            Shared(workers.as_mut_ptr()),
        );
        Box::new(Begun {
            text,
            request,
            start: Cell::new(0),
            look_from: Cell::new(0),
            parts: Cell::new(0),
            tasks,
            results,
            workers,
            shared,
            ready: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
        })
    }

    /// Adds what can be cut off the first `len` bytes.
    unsafe fn add_tasks(&self, tokenizer: &Tokenizer, len: usize) {
        let text = unsafe { from_raw_parts(self.text, len) };
        while len - self.start.get() > 2 * TASK_BYTES {
            let start = self.start.get();
            let from = self.look_from.get().max(start + TASK_BYTES);
            let Some(cut) = (unsafe { tokenizer.next_cut(text, from, self.request) }) else {
                // Of the last character it is not known what follows.
                self.look_from.set(len - 4);
                return;
            };
            self.add(start, cut, false);
        }
    }

    fn add(&self, start: usize, end: usize, last: bool) {
        let count = self.ready.load(Relaxed);
        debug_assert!(count < self.tasks.len());
        let first = start == 0;
        let unit = Unit {
            start,
            end,
            first,
            last,
        };
        unsafe { *self.shared.0.0.add(count) = unit };
        self.ready.store(count + 1, Release);
        self.start.set(end);
    }

    /// Calls the other threads, unless they are here.
    fn call(&self, tokenizer: &Tokenizer, pool: &Pool) {
        let parts = self.parts.get();
        if parts > 0 {
            if !pool.has_done(parts) {
                return;
            }
            pool.finish();
            self.parts.set(0);
        }
        if self.taken.load(Acquire) < self.ready.load(Acquire) {
            let begun = Shared((&raw const *self).cast_mut());
            let tokenizer = Shared((&raw const *tokenizer).cast_mut());
            let work = move |_: usize, thread: usize| {
                let (begun, tokenizer) = (&begun, &tokenizer);
                unsafe { (*begun.0).take_tasks(&*tokenizer.0, thread) }
            };
            self.parts.set(unsafe { pool.begin(Box::new(work)) });
        }
    }

    /// Encodes what is left on the thread of the caller, beside those that were called. Where none was
    /// there to call, the pool hears of the work: that is what it starts threads for.
    fn take_rest(&self, tokenizer: &Tokenizer, pool: &Pool) {
        if self.parts.get() > 0 {
            return self.take_tasks(tokenizer, 0);
        }
        let tokenizer = Shared((&raw const *tokenizer).cast_mut());
        pool.share_out(pool.threads(), &|_, thread| {
            let tokenizer = &tokenizer;
            self.take_tasks(unsafe { &*tokenizer.0 }, thread);
        });
    }

    /// Encodes tasks until none is left.
    fn take_tasks(&self, tokenizer: &Tokenizer, thread: usize) {
        let next = |taken: usize| (taken < self.ready.load(Acquire)).then_some(taken + 1);
        while let Ok(task) = self.taken.fetch_update(AcqRel, Acquire, next) {
            let (tasks, results, workers) = &self.shared;
            // Every task is taken once, and every thread has its own worker.
            let unit = unsafe { *tasks.0.add(task) };
            let (ids, _) = unsafe { &mut *results.0.add(task) };
            let worker = unsafe { &mut *workers.0.add(thread) };
            let text = unsafe { from_raw_parts(self.text, unit.end) };
            ids.clear();
            tokenizer.encode_unit(text, unit, &mut self.request.clone(), worker, ids);
        }
    }
}
