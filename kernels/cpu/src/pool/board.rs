//! The board on which the caller of a pool publishes jobs and from which all threads claim chunks.

use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};

use super::patience::Patience;
use super::platform::{Bed, catch};

/// A value on a cache line of its own (two, because processors fetch pairs).
#[repr(align(128))]
struct Line<T>(T);

#[derive(Clone, Copy)]
struct Job {
    work: *const (dyn Fn(usize, usize) + Sync),
    chunks: u32,
}

/// The thread of a worker has not started, or has ended.
const ABSENT: u32 = 0;
/// Somebody has asked for the thread; it is on its way.
const STARTING: u32 = 1;
const AWAKE: u32 = 2;
const ASLEEP: u32 = 3;

/// A thread as the others see it.
struct Sleeper {
    state: AtomicU32,
    /// Chunks that it has claimed and not yet reported.
    unreported: AtomicU32,
    bed: Bed,
}

/// How many sleepers each waking thread wakes: all are up after a logarithmic number of rounds.
const WAKE_EACH: u32 = 2;

/// What the threads of a pool share.
pub struct Board {
    /// Number of the job in the upper half, chunks that nobody has claimed in the lower. A claim
    /// pins the job: its caller cannot return before the chunk has been reported, so what was
    /// claimed says which job to look at, and a thread that comes too late finds nothing.
    claims: Line<AtomicU64>,
    /// Chunks of the current job that have been reported.
    done: Line<AtomicU32>,
    /// How many workers sleep, so that a caller need not look at each.
    asleep: Line<AtomicU32>,
    /// How many workers have a thread, or soon will.
    present: AtomicU32,
    job: UnsafeCell<Job>,
    caller: Line<Sleeper>,
    workers: Vec<Line<Sleeper>>,
    stop: AtomicBool,
    failed: AtomicBool,
}

unsafe impl Send for Board {}
unsafe impl Sync for Board {}

fn sleeper(state: u32) -> Line<Sleeper> {
    Line(Sleeper {
        state: AtomicU32::new(state),
        unreported: AtomicU32::new(0),
        bed: Bed::new(),
    })
}

impl Board {
    /// A board for a caller and so many workers.
    pub fn new(workers: usize) -> Board {
        Board {
            claims: Line(AtomicU64::new(0)),
            done: Line(AtomicU32::new(0)),
            asleep: Line(AtomicU32::new(0)),
            present: AtomicU32::new(0),
            job: UnsafeCell::new(Job {
                work: &|_, _| {},
                chunks: 0,
            }),
            caller: sleeper(AWAKE),
            workers: (0..workers).map(|_| sleeper(ABSENT)).collect(),
            stop: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        }
    }

    /// Puts up a job and wakes the first workers. The previous job must have been joined.
    pub fn publish(&self, chunks: u32, work: &(dyn Fn(usize, usize) + Sync)) {
        // The closure outlives its use: `join` returns only when all chunks have been reported.
        let work: &'static (dyn Fn(usize, usize) + Sync) = unsafe { core::mem::transmute(work) };
        unsafe { *self.job.get() = Job { work, chunks } };
        self.done.0.store(0, Relaxed);
        let number = (self.claims.0.load(Relaxed) >> 32).wrapping_add(1);
        self.claims
            .0
            .store(number << 32 | u64::from(chunks), SeqCst);
        self.wake(WAKE_EACH.min(chunks - 1));
    }

    /// Claims chunks and does them until none is left, and says how many; worker 0 is the caller.
    pub fn work(&self, worker: usize) -> u32 {
        let me = if worker == 0 {
            &self.caller.0
        } else {
            &self.workers[worker - 1].0
        };
        let mut chunks = 0;
        let mut count = 0;
        while let Some(unclaimed) = self.claim() {
            let job = unsafe { *self.job.get() };
            if count == 0 && worker > 0 {
                self.wake(WAKE_EACH.min(unclaimed - 1));
            }
            count += 1;
            chunks = job.chunks;
            me.unreported.store(count, Relaxed);
            let chunk = (job.chunks - unclaimed) as usize;
            if !catch(|| unsafe { (*job.work)(chunk, worker) }) {
                self.failed.store(true, Relaxed);
            }
        }
        if count > 0 {
            me.unreported.store(0, Relaxed);
            self.report(count, chunks);
        }
        count
    }

    /// How many chunks were unclaimed before this thread claimed one of them.
    fn claim(&self) -> Option<u32> {
        let mut seen = self.claims.0.load(Acquire);
        while seen as u32 != 0 {
            match self
                .claims
                .0
                .compare_exchange_weak(seen, seen - 1, AcqRel, Acquire)
            {
                Ok(_) => return Some(seen as u32),
                Err(now) => seen = now,
            }
        }
        None
    }

    fn report(&self, count: u32, chunks: u32) {
        if self.done.0.fetch_add(count, SeqCst) + count == chunks {
            let caller = &self.caller.0;
            if caller
                .state
                .compare_exchange(ASLEEP, AWAKE, SeqCst, Relaxed)
                .is_ok()
            {
                caller.bed.wake(&caller.state);
            }
        }
    }

    /// Whether so many chunks, all of the current job, have been reported.
    pub fn has_done(&self, chunks: u32) -> bool {
        self.done.0.load(SeqCst) == chunks
    }

    /// Returns when all chunks of the current job have been reported.
    pub fn join(&self, chunks: u32, patience: &mut Patience) {
        let finished = || self.has_done(chunks);
        if finished() || patience.spin(finished) {
            return;
        }
        let caller = &self.caller.0;
        loop {
            caller.state.store(ASLEEP, SeqCst);
            if finished() {
                caller.state.store(AWAKE, Relaxed);
                return;
            }
            caller.bed.sleep_long(&caller.state, ASLEEP);
        }
    }

    /// The life of a worker: work, spin, sleep. Returns when the pool stops, or after a long sleep
    /// where the platform's threads end then.
    pub fn serve(&self, worker: usize) {
        self.workers[worker - 1].0.state.store(AWAKE, SeqCst);
        let mut patience = Patience::new();
        let called = || self.claims.0.load(SeqCst) as u32 != 0 || self.stopped();
        while !self.stopped() {
            self.work(worker);
            if !patience.spin(called) && !self.sleep(worker, called) {
                return;
            }
        }
        self.present.fetch_sub(1, Relaxed);
        self.workers[worker - 1].0.state.store(ABSENT, SeqCst);
    }

    /// Sleeps until woken; false where the sleep was so long that the thread shall end.
    fn sleep(&self, worker: usize, called: impl Fn() -> bool) -> bool {
        let me = &self.workers[worker - 1].0;
        me.state.store(ASLEEP, SeqCst);
        self.asleep.0.fetch_add(1, SeqCst);
        let leave = |next| {
            let left = me
                .state
                .compare_exchange(ASLEEP, next, SeqCst, Relaxed)
                .is_ok();
            if left {
                self.asleep.0.fetch_sub(1, SeqCst);
            }
            left
        };
        if called() {
            leave(AWAKE);
            return true;
        }
        while me.state.load(SeqCst) == ASLEEP {
            let woken = me.bed.sleep(&me.state, ASLEEP);
            if !woken && leave(ABSENT) {
                self.present.fetch_sub(1, Relaxed);
                return false;
            }
        }
        true
    }

    fn wake(&self, mut wanted: u32) {
        if wanted == 0 || self.asleep.0.load(SeqCst) == 0 {
            return;
        }
        for Line(worker) in &self.workers {
            if worker.state.load(Relaxed) == ASLEEP
                && worker
                    .state
                    .compare_exchange(ASLEEP, AWAKE, SeqCst, Relaxed)
                    .is_ok()
            {
                self.asleep.0.fetch_sub(1, SeqCst);
                worker.bed.wake(&worker.state);
                wanted -= 1;
                if wanted == 0 {
                    return;
                }
            }
        }
    }

    /// How many workers have a thread, or soon will.
    pub fn present(&self) -> u32 {
        self.present.load(Relaxed)
    }

    /// Whether every worker has a thread, or soon will.
    #[cfg(target_arch = "wasm32")]
    pub fn complete(&self) -> bool {
        self.present() as usize == self.workers.len()
    }

    /// Marks the first worker without a thread as starting and returns its number.
    pub fn take_absent(&self) -> Option<usize> {
        let found = self.workers.iter().position(|Line(worker)| {
            worker
                .state
                .compare_exchange(ABSENT, STARTING, SeqCst, Relaxed)
                .is_ok()
        });
        self.present.fetch_add(u32::from(found.is_some()), Relaxed);
        found.map(|index| index + 1)
    }

    /// Takes back `take_absent` where the thread could not be started.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn give_up(&self, worker: usize) {
        self.present.fetch_sub(1, Relaxed);
        self.workers[worker - 1].0.state.store(ABSENT, SeqCst);
    }

    /// Reports what a worker whose thread died had claimed, so that the caller does not wait for it.
    #[cfg(target_arch = "wasm32")]
    pub fn bury(&self, worker: usize) {
        let count = self.workers[worker - 1].0.unreported.swap(0, Relaxed);
        self.failed.store(true, Relaxed);
        if count > 0 {
            let chunks = unsafe { *self.job.get() }.chunks;
            self.report(count, chunks);
        }
    }

    /// Whether some chunk of the last job panicked; forgets it.
    pub fn take_failure(&self) -> bool {
        self.failed.load(Relaxed) && self.failed.swap(false, Relaxed)
    }

    /// Whether the pool has been stopped.
    pub fn stopped(&self) -> bool {
        self.stop.load(SeqCst)
    }

    /// Tells all workers to end and wakes those that sleep.
    pub fn stop(&self) {
        self.stop.store(true, SeqCst);
        self.wake(u32::MAX);
    }
}
