//! Whether the other threads help at all.
//!
//! On a busy machine a thread can be descheduled while it holds a chunk, and the caller waits a whole
//! time slice for it; or all threads of the process share what one would get alone. So where jobs are
//! held up, the pool compares chunks per second: the last while with all threads, then a while with
//! the caller alone. It keeps to the better way and tries the other again later. This decides only
//! who does a chunk, never what a chunk is, so results do not depend on it. A machine that is free is
//! never tried alone.

/// Microseconds of jobs over which trouble is summed, and after which older ones count half.
const WINDOW: f64 = 5_000.0;
/// Share of trouble in a window from which on the caller tries it alone.
const TROUBLED: f64 = 0.08;
/// Microseconds of jobs that a trial takes: some time slices.
const TRIAL: f64 = 12_000.0;
/// Microseconds for which a judgement holds at first, and at most.
const FIRST_HOLD: f64 = 200_000.0;
const LONGEST_HOLD: f64 = 1_600_000.0;
/// What a wait must exceed to count as trouble where chunks are short: waking takes time as well.
const NORMAL_WAIT: f64 = 30.0;
/// How much longer than usual chunks may take, and by how much at least, before that is trouble.
const UNUSUAL: f64 = 4.0;
const DESCHEDULED: f64 = 500.0;
/// How fast the usual length of a chunk follows.
const STEP: f64 = 1.05;

/// One job as the caller saw it; times in microseconds.
pub struct Job {
    /// Chunks in all, and those that the caller did.
    pub chunks: u32,
    pub own: u32,
    /// From the call until the caller found no chunk any more, and from then until all were done.
    pub worked: f64,
    pub waited: f64,
    /// When it was done.
    pub now: f64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    /// All threads work; trouble is summed.
    Together,
    /// All threads work, to see whether they help again.
    TryTogether,
    /// The caller works alone.
    Alone,
    /// The caller works alone, to see whether that is better.
    TryAlone,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    chunks: f64,
    time: f64,
}

impl Tally {
    fn add(&mut self, job: &Job) {
        self.chunks += f64::from(job.chunks);
        self.time += job.worked + job.waited;
    }

    /// What is older counts less and less.
    fn fade(&mut self) {
        self.chunks /= 2.0;
        self.time /= 2.0;
    }

    fn rate(&self) -> f64 {
        self.chunks / self.time.max(1.0)
    }
}

/// The judge of one pool.
pub struct Judge {
    state: State,
    /// Microseconds that one chunk usually takes.
    usual: f64,
    /// Time and trouble since the state was entered or the last window ended.
    watched: f64,
    trouble: f64,
    together: Tally,
    alone: Tally,
    /// How long the next judgement holds that is like the last, and until when that one does.
    hold: f64,
    until: f64,
    last_was_alone: bool,
}

impl Judge {
    /// A judge that trusts the threads.
    pub fn new() -> Judge {
        Judge {
            state: State::Together,
            usual: 0.0,
            watched: 0.0,
            trouble: 0.0,
            together: Tally::default(),
            alone: Tally::default(),
            hold: FIRST_HOLD,
            until: 0.0,
            last_was_alone: false,
        }
    }

    /// Whether the caller shall do the next job alone.
    pub fn alone(&self) -> bool {
        matches!(self.state, State::Alone | State::TryAlone)
    }

    /// Takes a job into account.
    pub fn record(&mut self, job: &Job) {
        self.trouble += self.trouble_of(job);
        self.watched += job.worked + job.waited;
        let tally = if self.alone() {
            &mut self.alone
        } else {
            &mut self.together
        };
        tally.add(job);
        let held = job.now < self.until;
        match self.state {
            State::Together if self.watched >= WINDOW => {
                let troubled = self.trouble > TROUBLED * self.watched && !held;
                self.enter(if troubled {
                    State::TryAlone
                } else {
                    State::Together
                });
            }
            State::Alone if self.watched >= WINDOW => {
                self.enter(if held {
                    State::Alone
                } else {
                    State::TryTogether
                });
            }
            // One long stall makes any trial look better: the threads get another one, without it.
            State::TryAlone if self.watched >= TRIAL && self.alone_is_better() => {
                self.enter(State::TryTogether);
            }
            State::TryTogether | State::TryAlone if self.watched >= TRIAL => self.decide(job.now),
            _ => {}
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.watched = 0.0;
        self.trouble = 0.0;
        match state {
            State::Together => self.together.fade(),
            State::Alone => self.alone.fade(),
            State::TryTogether => self.together = Tally::default(),
            State::TryAlone => self.alone = Tally::default(),
        }
    }

    fn alone_is_better(&self) -> bool {
        self.alone.rate() > self.together.rate()
    }

    fn decide(&mut self, now: f64) {
        let alone = self.alone_is_better();
        let again = alone == self.last_was_alone && self.until > 0.0;
        self.hold = if again {
            (self.hold * 2.0).min(LONGEST_HOLD)
        } else {
            FIRST_HOLD
        };
        self.until = now + self.hold;
        self.last_was_alone = alone;
        self.enter(if alone { State::Alone } else { State::Together });
    }

    /// The microseconds of a job for which the machine, not the work, is to blame.
    fn trouble_of(&mut self, job: &Job) -> f64 {
        let mut trouble = (job.waited - 2.0 * self.usual - NORMAL_WAIT).max(0.0);
        if job.own > 0 {
            let chunk = job.worked / f64::from(job.own);
            let expected = self.usual * f64::from(job.own);
            if self.usual == 0.0 {
                self.usual = chunk;
            } else if job.worked > UNUSUAL * expected && job.worked > expected + DESCHEDULED {
                trouble += job.worked - expected;
            }
            self.usual *= if chunk > self.usual { STEP } else { 1.0 / STEP };
        }
        trouble
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs jobs of 10 chunks of 10 microseconds for a simulated second and returns the share of the
    /// jobs that the caller did alone. `together` says how long the caller waits for the others.
    fn simulate(judge: &mut Judge, start: f64, mut together: impl FnMut(u32) -> f64) -> f64 {
        let mut now = start;
        let (mut alone, mut jobs) = (0u32, 0u32);
        while now < start + 1e6 {
            let by_itself = judge.alone();
            let (own, worked, waited) = if by_itself {
                (10, 100.0, 0.0)
            } else {
                (5, 50.0, together(jobs))
            };
            now += worked + waited;
            judge.record(&Job {
                chunks: 10,
                own,
                worked,
                waited,
                now,
            });
            alone += u32::from(by_itself);
            jobs += 1;
        }
        f64::from(alone) / f64::from(jobs)
    }

    #[test]
    fn threads_that_come_in_time_are_always_used() {
        let mut judge = Judge::new();
        assert_eq!(simulate(&mut judge, 0.0, |_| 8.0), 0.0);
    }

    #[test]
    fn threads_that_hold_jobs_up_are_left_out_nearly_always() {
        let mut judge = Judge::new();
        let held_up = |job| if job % 4 == 0 { 3000.0 } else { 5.0 };
        simulate(&mut judge, 0.0, held_up);
        assert!(simulate(&mut judge, 1e6, held_up) > 0.98);
    }

    #[test]
    fn threads_that_hold_jobs_up_but_help_all_the_same_are_used_nearly_always() {
        let mut judge = Judge::new();
        let held_up = |job| if job % 400 == 0 { 3000.0 } else { 5.0 };
        simulate(&mut judge, 0.0, held_up);
        assert!(simulate(&mut judge, 1e6, held_up) < 0.1);
    }

    #[test]
    fn one_long_stall_costs_two_trials_and_no_more() {
        let mut judge = Judge::new();
        simulate(&mut judge, 0.0, |_| 5.0);
        let stalled = |job| if job == 100 { 50_000.0 } else { 5.0 };
        assert!(simulate(&mut judge, 1e6, stalled) < 0.02);
        assert_eq!(simulate(&mut judge, 2e6, |_| 5.0), 0.0);
    }

    #[test]
    fn the_threads_are_used_again_when_the_machine_is_free_again() {
        let mut judge = Judge::new();
        simulate(
            &mut judge,
            0.0,
            |job| if job % 4 == 0 { 3000.0 } else { 5.0 },
        );
        simulate(&mut judge, 1e6, |_| 5.0);
        simulate(&mut judge, 2e6, |_| 5.0);
        assert_eq!(simulate(&mut judge, 3e6, |_| 5.0), 0.0);
    }
}
