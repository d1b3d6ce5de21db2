//! The heap of merge candidates, best first, with lazily refreshed counts.

use alloc::vec::Vec;
use core::cmp::Ordering;

/// One pair that could be merged, as it stood when it was entered.
#[derive(Clone, Copy)]
pub struct Candidate {
    /// Occurrences; the true number may have fallen since.
    pub count: u64,
    /// First tie-break, ascending: the piece's length in characters (0 for byte-level training).
    pub length: u32,
    /// Number of the pair.
    pub pair: u32,
    /// Second tie-break, ascending: the piece's first eight bytes, or (left id, right id).
    pub prefix: u64,
}

/// A binary heap whose last tie-break needs the symbols' bytes, given as a function at each call.
pub struct Candidates {
    heap: Vec<Candidate>,
}

/// Orders two pairs whose count, length and prefix are equal; `Less` comes first.
pub type TieBreak<'a> = &'a dyn Fn(u32, u32) -> Ordering;

impl Candidates {
    /// An empty heap.
    pub fn new() -> Candidates {
        Candidates { heap: Vec::new() }
    }

    /// Enters a candidate.
    pub fn push(&mut self, candidate: Candidate, tie: TieBreak) {
        self.heap.push(candidate);
        let mut child = self.heap.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !before(&self.heap[child], &self.heap[parent], tie) {
                break;
            }
            self.heap.swap(child, parent);
            child = parent;
        }
    }

    /// The first candidate, which stays.
    pub fn first(&self) -> Option<Candidate> {
        self.heap.first().copied()
    }

    /// Takes the first candidate out.
    pub fn remove_first(&mut self, tie: TieBreak) {
        if self.heap.is_empty() {
            return;
        }
        self.heap.swap_remove(0);
        self.sink(tie);
    }

    /// Gives the first candidate its true, smaller count.
    pub fn lower_first(&mut self, count: u64, tie: TieBreak) {
        self.heap[0].count = count;
        self.sink(tie);
    }

    fn sink(&mut self, tie: TieBreak) {
        let mut parent = 0;
        loop {
            let mut best = parent;
            for child in [2 * parent + 1, 2 * parent + 2] {
                if child < self.heap.len() && before(&self.heap[child], &self.heap[best], tie) {
                    best = child;
                }
            }
            if best == parent {
                return;
            }
            self.heap.swap(parent, best);
            parent = best;
        }
    }
}

fn before(a: &Candidate, b: &Candidate, tie: TieBreak) -> bool {
    let order = b
        .count
        .cmp(&a.count)
        .then(a.length.cmp(&b.length))
        .then(a.prefix.cmp(&b.prefix))
        .then_with(|| {
            if a.pair == b.pair {
                Ordering::Equal
            } else {
                tie(a.pair, b.pair)
            }
        });
    order == Ordering::Less
}
