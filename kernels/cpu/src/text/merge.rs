//! Merging by an agenda of all candidates: the general encoder, for any order of merges.
//!
//! Of all neighbours that merge, those with the lowest rank merge first, the leftmost among equals
//! (Sennrich et al. 2016; google/sentencepiece, bpe_model.cc). n log n in the length of the text.

use super::hash::NONE;
use super::queue::Queue;
use super::vocabulary::Vocabulary;
use alloc::vec::Vec;

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
    /// When it merges with the next symbol, [`NONE`] if never, and into what.
    rank: u32,
    made: u32,
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
            rank: NONE,
            made: NONE,
        }
    }
}

/// Working memory of one run, reused.
#[derive(Default)]
pub struct Agenda {
    symbols: Vec<Symbol>,
    /// Empty between runs.
    queue: Queue,
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
        self.count = self.symbols.len();
        let last = self.count.saturating_sub(1);
        for i in 0..self.count {
            self.symbols[i].before = if i == 0 { NONE } else { i as u32 - 1 };
            self.symbols[i].after = if i == last { NONE } else { i as u32 + 1 };
        }
        for i in 1..self.count {
            self.propose(vocabulary, text, i as u32 - 1);
        }
        while let Some((rank, place)) = self.queue.pop() {
            self.apply(vocabulary, text, rank, place);
        }
    }

    /// Rank and result of merging two neighbours, if they merge.
    #[inline(always)]
    fn find(
        &self,
        vocabulary: &Vocabulary,
        text: &[u8],
        (left, right): (&Symbol, &Symbol),
    ) -> Option<(u32, u32)> {
        // Where the fast encoder is exact, tokens come of their own halves alone; but splitting back
        // goes along any candidate.
        if vocabulary.regular && self.halves.is_empty() {
            let (rank, token) = vocabulary.pair(left.token, right.token);
            return (token != NONE).then_some((rank, token));
        }
        vocabulary.merges.find(
            (&vocabulary.texts, &vocabulary.by_text),
            (left.token, right.token),
            text,
            (left.start as usize, right.end as usize),
        )
    }

    fn propose(&mut self, vocabulary: &Vocabulary, text: &[u8], at: u32) {
        let left = self.symbols[at as usize];
        self.symbols[at as usize].rank = NONE;
        if left.after == NONE {
            return;
        }
        let right = self.symbols[left.after as usize];
        if left.token == NONE || right.token == NONE {
            return;
        }
        let Some((rank, token)) = self.find(vocabulary, text, (&left, &right)) else {
            return;
        };
        let symbol = &mut self.symbols[at as usize];
        (symbol.rank, symbol.made) = (rank, token);
        self.queue.push(rank, at);
        if let Some(half) = self.halves.get_mut(token as usize) {
            *half = left.end - left.start;
        }
    }

    /// Merges a symbol with the next one, if that is still of this rank.
    fn apply(&mut self, vocabulary: &Vocabulary, text: &[u8], rank: u32, at: u32) {
        let left = self.symbols[at as usize];
        if left.rank != rank {
            return;
        }
        let right = &mut self.symbols[left.after as usize];
        let Symbol { end, after, .. } = *right;
        (right.end, right.rank) = (right.start, NONE);
        let merged = &mut self.symbols[at as usize];
        (merged.end, merged.token, merged.after) = (end, left.made, after);
        if after != NONE {
            self.symbols[after as usize].before = at;
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
