//! The next merge among many candidates: by rank, and by place among equals.
//!
//! A bucket for each rank. Candidates mostly come in the order of their places, so that a bucket is
//! sorted once, quickly, when its turn comes; what comes out of order after that goes to a heap of its
//! own. So a candidate costs a few stores, where one heap of all would cost as many cache misses as
//! the logarithm of their number.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

#[derive(Default)]
struct Bucket {
    entries: Vec<u32>,
    /// How many of the entries are gone.
    taken: usize,
    /// Whether the entries are sorted and some may be gone.
    begun: bool,
    /// What came behind its turn.
    late: BinaryHeap<Reverse<u32>>,
}

impl Bucket {
    fn push(&mut self, place: u32) {
        if self.begun && self.entries.last().is_some_and(|&last| last > place) {
            self.late.push(Reverse(place));
        } else {
            self.entries.push(place);
        }
    }

    fn pop(&mut self) -> Option<u32> {
        if !self.begun {
            self.begun = true;
            if !self.entries.is_sorted() {
                self.entries.sort_unstable();
            }
        }
        let next = self.entries.get(self.taken).copied();
        if let Some(&Reverse(late)) = self.late.peek()
            && next.is_none_or(|next| late < next)
        {
            self.late.pop();
            return Some(late);
        }
        self.taken += 1;
        next
    }

    /// Makes it as new if nothing is left.
    fn is_spent(&mut self) -> bool {
        let spent = self.taken >= self.entries.len() && self.late.is_empty();
        if spent {
            self.entries.clear();
            (self.taken, self.begun) = (0, false);
        }
        spent
    }
}

/// Candidates by rank.
#[derive(Default)]
pub struct Queue {
    buckets: Vec<Bucket>,
    /// A bit for each bucket that is not empty, and above it a bit for each word that is not zero.
    filled: [Vec<u64>; 3],
}

impl Queue {
    /// Adds a candidate: two neighbours that merge, by the place of the left one.
    #[inline]
    pub fn push(&mut self, rank: u32, place: u32) {
        let rank = rank as usize;
        if rank >= self.buckets.len() {
            self.grow(rank + 1);
        }
        self.buckets[rank].push(place);
        let mut at = rank;
        for level in &mut self.filled {
            let word = &mut level[at / 64];
            let was_empty = *word == 0;
            *word |= 1 << (at % 64);
            if !was_empty {
                break;
            }
            at /= 64;
        }
    }

    #[cold]
    fn grow(&mut self, ranks: usize) {
        let mut count = ranks.next_power_of_two();
        self.buckets.resize_with(count, Bucket::default);
        for level in &mut self.filled {
            count = count.div_ceil(64);
            level.resize(count, 0);
        }
    }

    /// Takes the candidate of the lowest rank that stands leftmost: its rank and place.
    #[inline]
    pub fn pop(&mut self) -> Option<(u32, u32)> {
        let top = self.filled[2].iter().position(|&word| word != 0)?;
        let middle = top * 64 + self.filled[2][top].trailing_zeros() as usize;
        let low = middle * 64 + self.filled[1][middle].trailing_zeros() as usize;
        let rank = low * 64 + self.filled[0][low].trailing_zeros() as usize;
        let found = self.buckets[rank].pop();
        if self.buckets[rank].is_spent() {
            let mut at = rank;
            for level in &mut self.filled {
                let word = &mut level[at / 64];
                *word &= !(1 << (at % 64));
                if *word != 0 {
                    break;
                }
                at /= 64;
            }
        }
        found.map(|place| (rank as u32, place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_come_by_rank_and_place_whenever_they_were_added() {
        let mut queue = Queue::default();
        let mut wanted: BinaryHeap<Reverse<(u32, u32)>> = BinaryHeap::new();
        let mut state = 5u64;
        for step in 0..20_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let rank = (state >> 20) as u32 % [3, 100, 9000][step % 3];
            let place = (state >> 40) as u32 % 512;
            if state % 5 < 3 {
                queue.push(rank, place);
                wanted.push(Reverse((rank, place)));
            } else {
                assert_eq!(queue.pop(), wanted.pop().map(|Reverse(next)| next));
            }
        }
        while let Some(Reverse(next)) = wanted.pop() {
            assert_eq!(queue.pop(), Some(next));
        }
        assert_eq!(queue.pop(), None);
    }
}
