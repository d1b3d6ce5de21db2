//! The thread that calls MPI: sends what is handed over, receives what comes, in turns.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::bootstrap;
use super::library::{Library, Probed, Request};
use super::link::{Link, Parcel, Phase, Piece};
use super::outbox::Outbox;
use super::watch::Watch;

const DATA: i32 = 1;
const FINISHED: i32 = 2;

/// Turns without anything to do before the thread begins to sleep between them.
const EAGER_TURNS: u32 = 100;
/// Between two looks while the caller waits, while something is on its way, and otherwise; then it is
/// that times the turns without anything to do. Every look takes some 10 us of the processor on which
/// the caller computes: at one a millisecond that was 1% of its time.
const WAITING_PAUSE: Duration = Duration::from_micros(20);
const BUSY_PAUSE: Duration = Duration::from_micros(100);
const IDLE_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_IDLE: u32 = 10;
/// How long the watch may take to find why MPI failed; it knows better than MPI who was lost.
const CAUSE_PATIENCE: Duration = Duration::from_secs(2);

struct Receiving {
    request: Request,
    bytes: Vec<u8>,
    length: usize,
    tag: i32,
}

/// What MPI refused, and the rank that it was about, where it was about one.
struct Fault {
    rank: Option<usize>,
    reason: String,
}

struct Progress {
    link: Arc<Link>,
    library: Library,
    size: usize,
    rank: usize,
    sending: Vec<Outbox>,
    receiving: Vec<VecDeque<Receiving>>,
    said_finished: bool,
}

/// Opens MPI, brings the ranks together and moves their messages until the link is closed.
pub fn run(link: Arc<Link>) {
    let opened = open(&link);
    let mut progress = match opened {
        Ok(progress) => progress,
        Err(reason) => return link.change(|state| state.phase = Phase::Failed(reason)),
    };
    let (rank, size) = (progress.rank, progress.size);
    link.change(|state| {
        state.rank = rank;
        state.size = size;
        state.incoming.resize_with(size, VecDeque::new);
        state.finished = vec![false; size];
        state.phase = Phase::Open;
    });
    if let Err(fault) = progress.serve() {
        link.wait(CAUSE_PATIENCE, |state| {
            state.verdict.is_some() || state.finding.is_some()
        });
        let at = fault.rank.unwrap_or(rank);
        link.find(
            at,
            format!(
                "rank {at} cannot be reached: rank {rank}'s {}",
                fault.reason
            ),
        );
    }
    link.change(|state| state.parked = true);
}

fn open(link: &Arc<Link>) -> Result<Progress, String> {
    let library = Library::find(&link.settings.libraries)?;
    // Open MPI's handlers of crashes would stand before those of the program.
    if std::env::var_os("OMPI_MCA_opal_signal").is_none() {
        unsafe { std::env::set_var("OMPI_MCA_opal_signal", "") };
    }
    let (rank, size) = library.init()?;
    let streams = bootstrap::connect(&library, rank, size, link.settings.opening)?;
    Watch::start(link.clone(), rank, size, streams)?;
    let receiving = (0..size).map(|_| VecDeque::new()).collect();
    let link = link.clone();
    Ok(Progress {
        link,
        library,
        size,
        rank,
        sending: (0..size).map(Outbox::new).collect(),
        receiving,
        said_finished: false,
    })
}

impl Progress {
    fn serve(&mut self) -> Result<(), Fault> {
        let mut idle = 0;
        loop {
            let (parcels, waiting) = {
                let mut state = self.link.lock();
                if state.verdict.is_some() {
                    return Ok(());
                }
                (core::mem::take(&mut state.outgoing), state.waiting)
            };
            let mut moved = !parcels.is_empty();
            for parcel in parcels {
                self.sending[parcel.to].put(parcel, DATA);
            }
            moved |= self.send()?;
            moved |= self.receive()?;
            if self.close_if_done()? {
                return Ok(());
            }
            idle = if moved { 0 } else { idle + 1 };
            self.pause(idle, waiting);
        }
    }

    fn about(rank: usize) -> impl Fn(String) -> Fault {
        move |reason| Fault {
            rank: Some(rank),
            reason,
        }
    }

    /// Lets go of what has been sent, and gives MPI more.
    fn send(&mut self) -> Result<bool, Fault> {
        let (mut gone, mut moved) = (0, false);
        for outbox in &mut self.sending {
            if outbox.is_empty() {
                continue;
            }
            let to = Self::about(outbox.to());
            let sent = outbox.settle(&self.library).map_err(&to)?;
            moved |= sent.is_some();
            gone += sent.unwrap_or(0);
            moved |= outbox.give(&self.library).map_err(&to)?;
        }
        if gone > 0 {
            self.link.change(|state| {
                state.unsent -= gone;
                state.arrived = true;
            });
        }
        Ok(moved)
    }

    /// Starts to receive what comes, and hands over what has come whole, in each sender's order.
    fn receive(&mut self) -> Result<bool, Fault> {
        let unknown = |reason| Fault { rank: None, reason };
        let mut moved = false;
        while let Some(probed) = self.library.probe().map_err(unknown)? {
            let Probed {
                source,
                tag,
                bytes: length,
            } = probed;
            let mut bytes = Vec::with_capacity(length);
            let started = unsafe { self.library.receive(bytes.as_mut_ptr(), &probed) };
            let request = started.map_err(Self::about(source))?;
            self.receiving[source].push_back(Receiving {
                request,
                bytes,
                length,
                tag,
            });
            moved = true;
        }
        for (source, queue) in self.receiving.iter_mut().enumerate() {
            while let Some(head) = queue.front_mut() {
                if !self
                    .library
                    .test(&mut head.request)
                    .map_err(Self::about(source))?
                {
                    break;
                }
                let Receiving {
                    mut bytes,
                    length,
                    tag,
                    ..
                } = queue.pop_front().unwrap();
                // Safety: MPI has filled these bytes, for which the vector has room.
                unsafe { bytes.set_len(length) };
                moved = true;
                self.link.change(|state| {
                    state.arrived = true;
                    match tag {
                        FINISHED => state.finished[source] = true,
                        _ => state.incoming[source].push_back(Piece { bytes, read: 0 }),
                    }
                });
            }
        }
        Ok(moved)
    }

    /// Once nothing is left to send: tells the others, and ends MPI when they have told too.
    fn close_if_done(&mut self) -> Result<bool, Fault> {
        let (closing, all_finished) = {
            let state = self.link.lock();
            let own = self.rank;
            let finished = |(rank, finished): (usize, &bool)| rank == own || *finished;
            let closing = state.closing && state.unsent == 0;
            (closing, state.finished.iter().enumerate().all(finished))
        };
        if !closing {
            return Ok(false);
        }
        if !self.said_finished {
            self.said_finished = true;
            let own = self.rank;
            for to in (0..self.size).filter(|to| *to != own) {
                let bytes = Vec::new();
                self.sending[to].put(Parcel { to, bytes }, FINISHED);
            }
        }
        if !all_finished || self.is_sending() {
            return Ok(false);
        }
        self.library
            .finalize()
            .map_err(|reason| Fault { rank: None, reason })?;
        self.link.change(|state| state.phase = Phase::Closed);
        Ok(true)
    }

    fn is_sending(&self) -> bool {
        self.sending.iter().any(|outbox| !outbox.is_empty())
    }

    fn pause(&self, idle: u32, waiting: bool) {
        if idle == 0 {
            return;
        }
        if waiting && idle < EAGER_TURNS {
            // The others on this machine may be what is waited for.
            return std::thread::yield_now();
        }
        let on_its_way = self.is_sending() || self.receiving.iter().any(|q| !q.is_empty());
        let pause = match (waiting, on_its_way) {
            (true, _) => WAITING_PAUSE,
            (false, true) => BUSY_PAUSE,
            _ => IDLE_PAUSE * idle.min(LONGEST_IDLE),
        };
        let state = self.link.lock();
        if state.outgoing.is_empty() && state.waiting == waiting && state.verdict.is_none() {
            drop(self.link.work.wait_timeout(state, pause));
        }
    }
}
