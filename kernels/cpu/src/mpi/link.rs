//! What the caller, the thread of MPI and the watch share: messages on their way, and whether the
//! work has ended.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How a link is opened.
#[derive(Clone)]
pub struct Settings {
    /// Names of MPI libraries to try, one a line.
    pub libraries: String,
    /// Between two signs of life of a rank.
    pub heartbeat: Duration,
    /// A rank that gave none for so long is taken for lost.
    pub silence: Duration,
    /// The longest wait for all ranks to come together.
    pub opening: Duration,
}

/// Why the work of all ranks has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The rank at fault.
    pub rank: u32,
    /// A sentence that names it.
    pub reason: String,
}

/// How far a link has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    Opening,
    /// Why it never opened.
    Failed(String),
    Open,
    Closed,
}

/// Bytes as they arrived, read up to `read`.
pub struct Piece {
    pub bytes: Vec<u8>,
    pub read: usize,
}

/// Bytes to be sent to a rank.
pub struct Parcel {
    pub to: usize,
    pub bytes: Vec<u8>,
}

/// Everything behind the lock.
pub struct State {
    pub phase: Phase,
    pub rank: usize,
    pub size: usize,
    pub outgoing: VecDeque<Parcel>,
    /// Bytes that were handed over and have not left.
    pub unsent: usize,
    /// What came from each rank, in its order.
    pub incoming: Vec<VecDeque<Piece>>,
    /// Ranks that said behind their last message that it was that.
    pub finished: Vec<bool>,
    /// Whether something came since the caller last began to look.
    pub arrived: bool,
    /// Whether the caller waits, so that looking often costs nobody anything.
    pub waiting: bool,
    /// Whether the caller sends nothing more.
    pub closing: bool,
    /// What somebody here found; the watch makes the first one the verdict.
    pub finding: Option<Verdict>,
    /// Why the work has ended, once the others were told.
    pub verdict: Option<Verdict>,
    /// Whether the caller has seen the verdict, and ends the process itself.
    pub noticed: Option<Instant>,
    /// Whether the thread of MPI makes no calls any more.
    pub parked: bool,
}

/// The state with the conditions on which threads wait for one another.
pub struct Link {
    state: Mutex<State>,
    /// Wakes the caller.
    pub news: Condvar,
    /// Wakes the thread of MPI.
    pub work: Condvar,
    pub settings: Settings,
}

impl Link {
    pub fn new(settings: Settings) -> Link {
        let state = State {
            phase: Phase::Opening,
            rank: 0,
            size: 1,
            outgoing: VecDeque::new(),
            unsent: 0,
            incoming: Vec::new(),
            finished: Vec::new(),
            arrived: false,
            waiting: false,
            closing: false,
            finding: None,
            verdict: None,
            noticed: None,
            parked: false,
        };
        let (news, work) = (Condvar::new(), Condvar::new());
        Link {
            state: Mutex::new(state),
            news,
            work,
            settings,
        }
    }

    /// The state, even where a thread that held it has panicked: it is whole between any two lines.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits until `until` holds, at most so long; says whether it does.
    pub fn wait(&self, at_most: Duration, until: impl Fn(&State) -> bool) -> bool {
        let state = self.lock();
        let waited = self
            .news
            .wait_timeout_while(state, at_most, |state| !until(state));
        let (state, _) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        until(&state)
    }

    /// Changes the state and wakes the caller.
    pub fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.news.notify_all();
    }

    /// Says what was found; the first finding counts.
    pub fn find(&self, rank: usize, reason: String) {
        self.change(|state| {
            state.finding.get_or_insert(Verdict {
                rank: rank as u32,
                reason,
            });
        });
    }
}
