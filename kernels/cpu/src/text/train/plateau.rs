//! Where SentencePiece's choice stops being determined.
//!
//! `spm_train` scans only its "active" pairs: every 100 pieces the most frequent 5 % of all, at least
//! 1000. While the best pair is more frequent than the least active one, that is the plain maximum.
//! Inside a plateau of equal counts at that edge, which pairs are active depends on the order of a
//! hash table, and so does its choice.

use alloc::vec::Vec;

/// Counts above this are told apart no further: the edge never lies so high.
const HIGHEST: usize = 1 << 16;
const INTERVAL: usize = 100;
const LEAST_ACTIVE: usize = 1000;

/// Histogram of the pairs' counts, and the first piece whose choice was not determined.
pub struct Plateau {
    pairs: Vec<u32>,
    total: usize,
    edge: u64,
    first: Option<usize>,
}

impl Plateau {
    /// No pairs yet.
    pub fn new() -> Plateau {
        Plateau {
            pairs: alloc::vec![0; HIGHEST + 1],
            total: 0,
            edge: 0,
            first: None,
        }
    }

    /// A pair has got this count.
    pub fn enter(&mut self, count: u64) {
        if count > 0 {
            self.pairs[(count as usize).min(HIGHEST)] += 1;
            self.total += 1;
        }
    }

    /// A pair no longer has this count.
    pub fn leave(&mut self, count: u64) {
        let slot = &mut self.pairs[(count as usize).min(HIGHEST)];
        if count > 0 && *slot > 0 {
            *slot -= 1;
            self.total -= 1;
        }
    }

    /// A piece with this count was learned, the `pieces`-th.
    pub fn observe(&mut self, count: u64, pieces: usize) {
        if self.first.is_none() && count <= self.edge {
            self.first = Some(pieces - 1);
        }
    }

    /// The next piece will follow `pieces` others, out of `known` characters and pairs that are
    /// neither learned nor dropped.
    pub fn refresh(&mut self, pieces: usize, known: usize) {
        if pieces.is_multiple_of(INTERVAL) {
            self.edge = self.find_edge(LEAST_ACTIVE.max(known / 20));
        }
    }

    /// The first piece (from 0) whose choice was not determined.
    pub fn first(&self) -> Option<usize> {
        self.first
    }

    /// The count of the least frequent active pair; 0 when all are active.
    fn find_edge(&self, active: usize) -> u64 {
        if self.total <= active {
            return 0;
        }
        let mut seen = 0;
        for count in (1..=HIGHEST).rev() {
            seen += self.pairs[count] as usize;
            if seen >= active {
                return count as u64;
            }
        }
        0
    }
}
