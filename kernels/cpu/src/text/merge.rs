//! Merging by an agenda of all candidates: the general encoder, for any order of merges.
//!
//! Of all neighbours that merge, those with the lowest rank merge first, the leftmost among equals
//! (Sennrich et al. 2016; google/sentencepiece, bpe_model.cc). n log n in the length of the text.

use super::hash::NONE;
use super::vocabulary::Vocabulary;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// A stretch of text that has been merged into one token so far.
#[derive(Clone, Copy)]
pub struct Symbol {
    /// First byte.
    pub start: u32,
    /// First byte behind it; `start` once it was merged into its left neighbour.
    pub end: u32,
    /// Its token; [`NONE`] never merges.
    pub token: u32,
    before: u32,
    after: u32,
}

impl Symbol {
    /// A symbol of `text[start..end]`.
    pub fn new(start: usize, end: usize, token: u32) -> Symbol {
        Symbol {
            start: start as u32,
            end: end as u32,
            token,
            before: NONE,
            after: NONE,
        }
    }
}

/// Working memory of one run, reused.
#[derive(Default)]
pub struct Agenda {
    symbols: Vec<Symbol>,
    /// Rank and left symbol, then the result: the heap's top is the next merge.
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    /// For each token, how long its left half was when it was last a candidate; empty if not kept.
    halves: Vec<u32>,
    count: usize,
}

impl Agenda {
    /// Remembers how candidates of the next run are split, for pieces that are split back afterwards.
    pub fn keep_halves(&mut self, tokens: usize) {
        self.halves.clear();
        self.halves.resize(tokens, 0);
    }

    /// Merges the symbols as far as they go.
    pub fn run(&mut self, vocabulary: &Vocabulary, text: &[u8], symbols: Vec<Symbol>) {
        self.symbols = symbols;
        self.heap.clear();
        self.count = self.symbols.len();
        let last = self.count.saturating_sub(1);
        for i in 0..self.count {
            self.symbols[i].before = if i == 0 { NONE } else { i as u32 - 1 };
            self.symbols[i].after = if i == last { NONE } else { i as u32 + 1 };
        }
        for i in 1..self.count {
            self.propose(vocabulary, text, i as u32 - 1);
        }
        while let Some(Reverse((key, result))) = self.heap.pop() {
            self.apply(vocabulary, text, key as u32, result);
        }
    }

    fn propose(&mut self, vocabulary: &Vocabulary, text: &[u8], at: u32) {
        let left = self.symbols[at as usize];
        if left.after == NONE {
            return;
        }
        let right = self.symbols[left.after as usize];
        if left.token == NONE || right.token == NONE {
            return;
        }
        let tables = (&vocabulary.texts, &vocabulary.by_text);
        let span = (left.start as usize, right.end as usize);
        let Some((rank, token)) =
            vocabulary
                .merges
                .find(tables, (left.token, right.token), text, span)
        else {
            return;
        };
        self.heap
            .push(Reverse(((rank as u64) << 32 | at as u64, token)));
        if let Some(half) = self.halves.get_mut(token as usize) {
            *half = left.end - left.start;
        }
    }

    fn apply(&mut self, vocabulary: &Vocabulary, text: &[u8], at: u32, result: u32) {
        let left = self.symbols[at as usize];
        if left.end == left.start || left.after == NONE {
            return;
        }
        let right = self.symbols[left.after as usize];
        // The candidate is stale if the two are not the same neighbours any more.
        let tables = (&vocabulary.texts, &vocabulary.by_text);
        let span = (left.start as usize, right.end as usize);
        let now = vocabulary
            .merges
            .find(tables, (left.token, right.token), text, span);
        if now.is_none_or(|(_, token)| token != result) {
            return;
        }
        self.symbols[left.after as usize].end = right.start;
        let merged = &mut self.symbols[at as usize];
        merged.end = right.end;
        merged.token = result;
        merged.after = right.after;
        if right.after != NONE {
            self.symbols[right.after as usize].before = at;
        }
        self.count -= 1;
        if left.before != NONE {
            self.propose(vocabulary, text, left.before);
        }
        self.propose(vocabulary, text, at);
    }

    /// How many symbols are left.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The symbols that are left, in order.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.symbols.iter().filter(|s| s.end > s.start).copied()
    }

    /// Length of the left half of the last candidate for `token`, 0 if there was none.
    pub fn left_half(&self, token: u32) -> u32 {
        self.halves.get(token as usize).copied().unwrap_or(0)
    }
}
