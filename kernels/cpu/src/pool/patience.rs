//! How long a thread spins before it sleeps: long enough to meet the next kernel of a forward pass,
//! short where other programs want the processor.

use super::platform::clock;

/// Microseconds: two to three kernels' serial parts, and less than a wake-up costs twice.
const LONGEST: f64 = 40.0;
const SHORTEST: f64 = 2.0;
/// What one vain wait adds until the longest is reached again.
const RECOVERY: f64 = 2.0;
/// A gap between two looks at the clock that a running thread cannot make: it was descheduled.
const DESCHEDULED: f64 = 20.0;
/// Looks at the condition between two looks at the clock, which costs more.
const LOOKS: u32 = if cfg!(target_arch = "wasm32") {
    128
} else {
    32
};

/// The patience of one thread.
pub struct Patience {
    limit: f64,
}

impl Patience {
    /// Full patience.
    pub fn new() -> Patience {
        Patience { limit: LONGEST }
    }

    /// Spins until the condition holds; false when patience ended first.
    pub fn spin(&mut self, ready: impl Fn() -> bool) -> bool {
        let start = clock();
        let mut last = start;
        loop {
            for _ in 0..LOOKS {
                if ready() {
                    self.limit = (self.limit * 2.0).min(LONGEST);
                    return true;
                }
                core::hint::spin_loop();
            }
            let now = clock();
            if now - last > DESCHEDULED {
                self.limit = SHORTEST;
                return ready();
            }
            if now - start > self.limit {
                self.limit = (self.limit + RECOVERY).min(LONGEST);
                return false;
            }
            last = now;
        }
    }
}
