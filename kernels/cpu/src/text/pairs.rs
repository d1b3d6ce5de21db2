//! A hash table over pairs of neighbours: when they merge, and into what.

use super::hash::{LONGEST_PROBE, NONE, hash_pair};
use alloc::vec;
use alloc::vec::Vec;

#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Slot {
    left: u32,
    right: u32,
    /// What they merge into; [`NONE`] in an empty slot.
    token: u32,
    /// When.
    rank: u32,
}

/// Places of common pairs: few enough to stay in the second cache level.
const COMMON: usize = 1 << 15;

/// No common pair; its halves are no short numbers.
const NOTHING: u64 = u64::MAX;
const COMMON_SHIFT: u32 = 64 - COMMON.trailing_zeros();

const EMPTY: Slot = Slot {
    left: NONE,
    right: NONE,
    token: NONE,
    rank: NONE,
};

/// Finds the token that two neighbours merge into. All that is known of a pair stands in its slot, so
/// that a look-up waits for memory once.
pub struct PairTable {
    /// The first pairs, which most text is made of, if all their numbers are short: left, right, rank
    /// and token, from the top. Each stands in the only place for it, or not here.
    common: Vec<u64>,
    /// A bit for each of many hashes: small enough to stay in the cache, it tells most misses.
    seen: Vec<u64>,
    seen_shift: u32,
    slots: Vec<Slot>,
    shift: u32,
}

impl PairTable {
    /// A table with room for so many pairs.
    pub fn new(count: usize) -> PairTable {
        let size = (count * 2).max(8).next_power_of_two();
        let bits = (count * 6).max(64).next_power_of_two();
        PairTable {
            common: vec![NOTHING; COMMON],
            seen: vec![0; bits / 64],
            seen_shift: 32 - bits.trailing_zeros().min(32),
            slots: vec![EMPTY; size],
            shift: 64 - size.trailing_zeros(),
        }
    }

    /// Word and bit of a hash among those seen.
    #[inline(always)]
    fn place(&self, hash: u64) -> (usize, u64) {
        let place = (hash as u32).rotate_left(16) as u64 >> self.seen_shift;
        (place as usize / 64, 1 << (place % 64))
    }

    /// Adds a pair that is not there yet.
    pub fn insert(
        &mut self,
        (left, right): (u32, u32),
        token: u32,
        rank: u32,
    ) -> Result<(), &'static str> {
        let hash = hash_pair(left, right);
        let short = [left, right, token, rank]
            .iter()
            .all(|&n| n < u16::MAX as u32);
        let common = &mut self.common[(hash >> COMMON_SHIFT) as usize];
        if short && *common == NOTHING {
            *common = (left as u64) << 48 | (right as u64) << 32 | (rank << 16 | token) as u64;
            return Ok(());
        }
        let (word, bit) = self.place(hash);
        self.seen[word] |= bit;
        let mask = self.slots.len() - 1;
        let first = (hash >> self.shift) as usize;
        for probe in 0..LONGEST_PROBE {
            let slot = &mut self.slots[(first + probe) & mask];
            if slot.token == NONE {
                *slot = Slot {
                    left,
                    right,
                    token,
                    rank,
                };
                return Ok(());
            }
        }
        Err("the merges are chosen to collide")
    }

    /// When `left` and `right` merge and the token that they merge into; that is [`NONE`], and the rank
    /// beyond all others, if they do not.
    #[inline(always)]
    pub fn find(&self, left: u32, right: u32) -> (u32, u32) {
        let hash = hash_pair(left, right);
        let common = unsafe { *self.common.get_unchecked((hash >> COMMON_SHIFT) as usize) };
        if common >> 32 == (left as u64) << 16 | right as u64 {
            return (common as u32 >> 16, common as u32 & 0xffff);
        }
        let (word, bit) = self.place(hash);
        if unsafe { *self.seen.get_unchecked(word) } & bit == 0 {
            return (NONE, NONE);
        }
        let mask = self.slots.len() - 1;
        let mut slot = (hash >> self.shift) as usize;
        loop {
            let found = unsafe { self.slots.get_unchecked(slot & mask) };
            if (found.left == left && found.right == right) || found.token == NONE {
                return (found.rank, found.token);
            }
            slot += 1;
        }
    }
}
