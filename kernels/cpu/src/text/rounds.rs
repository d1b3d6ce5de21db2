//! Merging in rounds: all pairs of the lowest rank, then all of the next.
//!
//! Where ranks order all merges (a regular vocabulary), a merge makes only pairs that come after it.
//! So the pairs of one rank can be taken together, in any order unless they overlap, and a pair that
//! has changed since it was noted is known by its rank alone.

use super::hash::NONE;
use super::vocabulary::Vocabulary;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Most bytes of a text: pairs are noted at most three times for each, by numbers of sixteen bits.
pub const MOST: usize = 1 << 14;

/// No place in a text.
const NOWHERE: u16 = u16::MAX;

/// A symbol, and how it merges with the next one.
#[derive(Clone, Copy)]
struct Slot {
    token: u32,
    /// Rank of the pair, [`NONE`] if it does not merge or the symbol is gone.
    rank: u32,
    /// What the pair becomes.
    made: u32,
    before: u16,
    after: u16,
}

/// A pair that was noted, and the one of the same rank that was noted before it.
#[derive(Clone, Copy)]
struct Note {
    place: u16,
    before: u16,
}

/// Places of pairs by rank.
#[derive(Default)]
struct Notes {
    notes: Vec<Note>,
    /// The last note of each rank.
    last: Vec<u16>,
    /// A bit for each rank that has notes, and above it a bit for each word that is not zero.
    filled: [Vec<u64>; 3],
}

impl Notes {
    fn make_room(&mut self, ranks: usize) {
        if ranks <= self.last.len() {
            return;
        }
        let mut count = ranks.next_power_of_two();
        self.last.resize(count, NOWHERE);
        for level in &mut self.filled {
            count = count.div_ceil(64);
            level.resize(count, 0);
        }
    }

    #[inline(always)]
    fn add(&mut self, rank: u32, place: u16) {
        let mut at = rank as usize;
        // Ranks are below those that room was made for.
        let last = unsafe { self.last.get_unchecked_mut(at) };
        let before = core::mem::replace(last, self.notes.len() as u16);
        self.notes.push(Note { place, before });
        if before != NOWHERE {
            return;
        }
        for level in &mut self.filled {
            let word = unsafe { level.get_unchecked_mut(at / 64) };
            let was_empty = *word == 0;
            *word |= 1 << (at % 64);
            if !was_empty {
                return;
            }
            at /= 64;
        }
    }

    #[inline(always)]
    fn lowest(&self) -> Option<u32> {
        let top = self.filled[2].iter().position(|&word| word != 0)?;
        unsafe {
            let middle = top * 64 + self.filled[2].get_unchecked(top).trailing_zeros() as usize;
            let low = self.filled[1].get_unchecked(middle).trailing_zeros() as usize;
            let low = middle * 64 + low;
            let bit = self.filled[0].get_unchecked(low).trailing_zeros();
            Some(low as u32 * 64 + bit)
        }
    }

    /// Takes the notes of a rank: gives the last.
    #[inline(always)]
    fn take(&mut self, rank: u32) -> u16 {
        let mut at = rank as usize;
        let last = core::mem::replace(&mut self.last[at], NOWHERE);
        if last == NOWHERE {
            return last;
        }
        for level in &mut self.filled {
            let word = unsafe { level.get_unchecked_mut(at / 64) };
            *word &= !(1 << (at % 64));
            if *word != 0 {
                break;
            }
            at /= 64;
        }
        last
    }
}

/// Working memory, reused.
#[derive(Default)]
pub struct Rounds {
    slots: Vec<Slot>,
    notes: Notes,
    /// Places of one round, where their order matters.
    places: Vec<u16>,
    heap: BinaryHeap<Reverse<u16>>,
}

impl Rounds {
    /// Appends the tokens of a text of up to [`MOST`] bytes to `out`. `base` gives the base token that
    /// begins at a place, and its length. The vocabulary must be regular in this text.
    pub fn encode(
        &mut self,
        vocabulary: &Vocabulary,
        len: usize,
        base: impl Fn(usize) -> (u32, usize),
        out: &mut Vec<u32>,
    ) {
        debug_assert!(len <= MOST);
        self.notes.make_room(vocabulary.tokens.len() + 1);
        self.read(vocabulary, len, base);
        self.merge(vocabulary);
        let mut place = 0;
        while let Some(slot) = self.slots.get(place as usize) {
            out.push(slot.token);
            place = slot.after;
        }
    }

    /// Reads the symbols and notes the pairs that merge.
    fn read(&mut self, vocabulary: &Vocabulary, len: usize, base: impl Fn(usize) -> (u32, usize)) {
        self.slots.clear();
        self.notes.notes.clear();
        let mut at = 0;
        while at < len {
            let (token, len) = base(at);
            at += len;
            let place = self.slots.len() as u16;
            self.slots.push(Slot {
                token,
                rank: NONE,
                made: NONE,
                before: place.wrapping_sub(1),
                after: place + 1,
            });
            if place > 0 {
                self.look(vocabulary, place - 1, place);
            }
        }
        if let Some(slot) = self.slots.last_mut() {
            slot.after = NOWHERE;
        }
    }

    /// Looks up a pair and notes it if it merges.
    #[inline(always)]
    fn look(&mut self, vocabulary: &Vocabulary, left: u16, right: u16) {
        unsafe {
            let token = self.slots.get_unchecked(right as usize).token;
            let slot = self.slots.get_unchecked_mut(left as usize);
            (slot.rank, slot.made) = vocabulary.pair(slot.token, token);
            if slot.made != NONE {
                self.notes.add(slot.rank, left);
            }
        }
    }

    /// Merges as far as it goes.
    fn merge(&mut self, vocabulary: &Vocabulary) {
        while let Some(rank) = self.notes.lowest() {
            let mut note = self.notes.take(rank);
            let top = self.notes.notes[note as usize];
            if vocabulary.is_shared(rank) {
                self.merge_shared(vocabulary, rank, note);
            } else if top.before == NOWHERE || !self.overlap(vocabulary, top.place, rank) {
                while note != NOWHERE {
                    let Note { place, before } = self.notes.notes[note as usize];
                    self.apply(vocabulary, rank, place);
                    note = before;
                }
            } else {
                self.merge_in_order(vocabulary, rank, note);
            }
        }
    }

    /// Whether the pairs of a rank may overlap: their halves are alike.
    #[inline(always)]
    fn overlap(&self, vocabulary: &Vocabulary, place: u16, rank: u32) -> bool {
        let slot = &self.slots[place as usize];
        let token = &vocabulary.tokens[slot.made as usize % vocabulary.tokens.len()];
        slot.rank != rank || token.left == token.right
    }

    fn merge_in_order(&mut self, vocabulary: &Vocabulary, rank: u32, mut note: u16) {
        let mut places = core::mem::take(&mut self.places);
        places.clear();
        while note != NOWHERE {
            let Note { place, before } = self.notes.notes[note as usize];
            places.push(place);
            note = before;
        }
        places.reverse();
        if !places.is_sorted() {
            places.sort_unstable();
        }
        for &place in &places {
            self.apply(vocabulary, rank, place);
        }
        self.places = places;
    }

    /// A round of several tokens: merges may make pairs of the same round.
    fn merge_shared(&mut self, vocabulary: &Vocabulary, rank: u32, mut note: u16) {
        loop {
            while note != NOWHERE {
                let Note { place, before } = self.notes.notes[note as usize];
                self.heap.push(Reverse(place));
                note = before;
            }
            let Some(Reverse(place)) = self.heap.pop() else {
                return;
            };
            self.apply(vocabulary, rank, place);
            note = self.notes.take(rank);
        }
    }

    /// Merges a pair, if it still has this rank.
    #[inline(always)]
    fn apply(&mut self, vocabulary: &Vocabulary, rank: u32, place: u16) {
        unsafe {
            let slot = *self.slots.get_unchecked(place as usize);
            if slot.rank != rank {
                return;
            }
            let gone = self.slots.get_unchecked_mut(slot.after as usize);
            gone.rank = NONE;
            let after = gone.after;
            let merged = self.slots.get_unchecked_mut(place as usize);
            merged.token = slot.made;
            merged.rank = NONE;
            merged.after = after;
            if after != NOWHERE {
                self.slots.get_unchecked_mut(after as usize).before = place;
                self.look(vocabulary, place, after);
            }
            if slot.before != NOWHERE {
                self.look(vocabulary, slot.before, place);
            }
        }
    }
}
