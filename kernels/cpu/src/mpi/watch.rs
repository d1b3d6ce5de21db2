//! The thread that knows which ranks live, and tells why the work has ended.
//!
//! Every rank is connected with rank 0, which passes on what it is told. A process that dies closes
//! its connections at once, however it died; a machine or a link that dies falls silent, and each
//! side takes the other for lost after a while. The reason goes to the others before it goes to the
//! caller, who may end the process as soon as it knows.
//!
//! A caller in the midst of a long computation cannot see that the work has ended, and launchers give
//! it no time: `mpirun` kills what has not ended one second after another rank died. So where the
//! caller does not notice soon, this thread says the last word and ends the process with status 1.

use core::ffi::{c_int, c_void};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bootstrap::Stream;
use super::frames::Frame;
use super::link::{Link, Phase, Verdict};
use super::peer::{Peer, Seen, wait_for_any};

unsafe extern "C" {
    fn write(file: c_int, bytes: *const u8, count: usize) -> isize;
    fn _exit(status: c_int) -> c_void;
}

const TICK: Duration = Duration::from_millis(20);
/// For a caller who computes: less than launchers wait between asking and killing.
const NOTICE_PATIENCE: Duration = Duration::from_millis(400);
/// For a caller who has noticed: to say why, before the launcher kills it.
const END_PATIENCE: Duration = Duration::from_millis(500);
const STANDARD_ERROR: c_int = 2;

/// What the thread works on.
pub struct Watch {
    link: Arc<Link>,
    rank: usize,
    size: usize,
    peers: Vec<Peer>,
    farewells: Vec<bool>,
    own_farewell_said: bool,
    next_beat: Instant,
    judged: Option<Instant>,
}

impl Watch {
    /// Starts the thread.
    pub fn start(
        link: Arc<Link>,
        rank: usize,
        size: usize,
        streams: Vec<Stream>,
    ) -> Result<(), String> {
        let mut peers = Vec::new();
        for (rank, stream) in streams {
            let peer = Peer::new(rank, stream);
            peers.push(peer.map_err(|error| format!("a connection failed at once: {error}"))?);
        }
        let mut watch = Watch {
            link,
            rank,
            size,
            peers,
            farewells: vec![false; size],
            own_farewell_said: false,
            next_beat: Instant::now(),
            judged: None,
        };
        let thread = std::thread::Builder::new().name(String::from("llamero-watch"));
        let started = thread.spawn(move || watch.run());
        started
            .map(drop)
            .map_err(|error| format!("no thread to watch the others: {error}"))
    }

    fn run(&mut self) {
        let mut looked = Instant::now();
        loop {
            wait_for_any(&self.peers, TICK);
            // Who was stopped itself has heard nobody: the others get their time anew.
            if looked.elapsed() > self.link.settings.silence / 2 {
                self.peers
                    .iter_mut()
                    .for_each(|peer| peer.heard = Instant::now());
            }
            looked = Instant::now();
            self.hear();
            self.check_silence();
            self.speak();
            self.last_word();
            if self.link.lock().phase == Phase::Closed {
                return;
            }
        }
    }

    fn hear(&mut self) {
        let mut at = 0;
        while at < self.peers.len() {
            let rank = self.peers[at].rank;
            let (frames, gone) = match self.peers[at].read() {
                Seen::Frames(frames) => (frames, false),
                Seen::Gone(frames) => (frames, true),
            };
            for frame in frames {
                self.take(rank, frame);
            }
            if !gone {
                at += 1;
                continue;
            }
            drop(self.peers.remove(at));
            if !self.farewells[rank] {
                self.judge(
                    rank,
                    format!("rank {rank} is gone: its process ended without a word"),
                );
            }
        }
    }

    fn take(&mut self, from: usize, frame: Frame) {
        match &frame {
            Frame::Beat => return,
            Frame::Goodbye(rank) => {
                if let Some(farewell) = self.farewells.get_mut(*rank as usize) {
                    *farewell = true;
                }
            }
            Frame::Verdict(rank, reason) => {
                return self.judge_but(Some(from), *rank as usize, reason.clone());
            }
        }
        self.tell_all_but(Some(from), &frame);
    }

    /// Passes on what rank 0 alone hears of all.
    fn tell_all_but(&mut self, from: Option<usize>, frame: &Frame) {
        for peer in self.peers.iter_mut().filter(|peer| Some(peer.rank) != from) {
            peer.say(frame);
        }
    }

    fn check_silence(&mut self) {
        let silence = self.link.settings.silence;
        let silent = self
            .peers
            .iter()
            .find(|peer| peer.heard.elapsed() > silence);
        let Some(rank) = silent.map(|peer| peer.rank) else {
            return;
        };
        self.peers.retain(|peer| peer.rank != rank);
        if !self.farewells[rank] {
            let seconds = silence.as_secs_f64();
            let lost = "its machine, or the network to it, is lost";
            self.judge(
                rank,
                format!("rank {rank} has been silent for {seconds} s: {lost}"),
            );
        }
    }

    fn judge(&mut self, rank: usize, reason: String) {
        self.judge_but(None, rank, reason);
    }

    /// Ends the work: the first reason counts, and the others hear it before the caller does.
    fn judge_but(&mut self, from: Option<usize>, rank: usize, reason: String) {
        if self.judged.is_some() {
            return;
        }
        self.judged = Some(Instant::now());
        self.tell_all_but(from, &Frame::Verdict(rank as u32, reason.clone()));
        let verdict = Verdict {
            rank: rank as u32,
            reason,
        };
        self.link.change(|state| {
            state.arrived = true;
            state.verdict = Some(verdict);
        });
        self.link.work.notify_all();
    }

    /// Says what there is to say: that this rank lives, ends, or has found something.
    fn speak(&mut self) {
        let (closing, finding) = {
            let state = self.link.lock();
            let closing = state.closing && state.unsent == 0;
            (closing, state.finding.clone())
        };
        if let Some(Verdict { rank, reason }) = finding {
            self.judge(rank as usize, reason);
        }
        if closing && !self.own_farewell_said {
            self.own_farewell_said = true;
            self.tell_all_but(None, &Frame::Goodbye(self.rank as u32));
        }
        if Instant::now() >= self.next_beat {
            self.next_beat = Instant::now() + self.link.settings.heartbeat;
            self.tell_all_but(None, &Frame::Beat);
        }
        self.peers.iter_mut().for_each(Peer::flush);
    }

    /// Ends the process where the caller does not.
    fn last_word(&mut self) {
        let Some(judged) = self.judged else { return };
        let (noticed, reason) = {
            let state = self.link.lock();
            let reason = state.verdict.as_ref().map(|verdict| verdict.reason.clone());
            (state.noticed, reason.unwrap_or_default())
        };
        let patience = if noticed.is_some() {
            END_PATIENCE
        } else {
            NOTICE_PATIENCE
        };
        if noticed.unwrap_or(judged).elapsed() < patience {
            return;
        }
        let said = format!("llamero: {}\n", ended(self.size, &reason));
        unsafe {
            write(STANDARD_ERROR, said.as_ptr(), said.len());
            _exit(1);
        }
    }
}

/// How both this thread and the caller say it.
pub fn ended(size: usize, reason: &str) -> String {
    format!("The work of {size} ranks has ended: {reason}")
}
