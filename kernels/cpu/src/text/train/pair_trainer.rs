//! Byte pair encoding's training loop: merge the most frequent pair, again and again.
//!
//! The words lie one after another in one array of symbols, a barrier before and after each. Every
//! pair knows where it occurs, so a merge touches its own places alone. Counts only fall once a pair
//! is in the heap (but for byte-level training, where a piece can come up a second way), so a heap
//! entry is an upper bound that is refreshed when it reaches the top.
//!
//! Two rules, held to two references: SentencePiece's (ties: fewer characters, then smaller bytes; of
//! overlapping equal pairs every other one counts and the others are forgotten; a string that came up
//! before by another path is dropped), and the byte-level one of Hugging Face's trainer (ties:
//! smaller ids; overlapping pairs all count; a string that came up before keeps its id).

use super::byte_table::ByteTable;
use super::candidates::{Candidate, Candidates};
use super::pair_index::PairIndex;
use super::plateau::Plateau;
use super::symbols::Symbols;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A symbol that merges with nothing: the barrier between words, and characters outside the alphabet.
pub const BARRIER: u32 = u32::MAX;
/// Stands where a symbol was merged into the one before it.
const GONE: u32 = u32::MAX - 1;
/// Number of a pair that may not become a piece.
const FORBIDDEN: u32 = u32::MAX;

/// Whether the concatenation of two symbols, given as their bytes, may become a piece.
pub type Allows = Box<dyn Fn(&[u8], &[u8]) -> bool + Send>;

/// Which reference the trainer follows.
pub enum Rule {
    /// SentencePiece: a pair may become a piece where the function says so.
    Pieces(Allows),
    /// Byte-level: every pair may.
    Bytes,
}

struct Pair {
    left: u32,
    right: u32,
    count: u64,
    places: Vec<u32>,
    /// Whether its new count has yet to be entered in the heap.
    fresh: bool,
}

/// The state of training between merges.
pub struct PairTrainer {
    rule: Rule,
    symbols: Symbols,
    text: Vec<u32>,
    /// At the last place of a symbol: how many places it covers.
    back: Vec<u32>,
    word: Vec<u32>,
    counts: Vec<u64>,
    pairs: Vec<Pair>,
    index: PairIndex,
    heap: Candidates,
    touched: Vec<u32>,
    pieces: ByteTable,
    learned: Vec<u32>,
    plateau: Plateau,
    /// Pairs learned, or dropped because their string was there.
    spent: usize,
}

impl PairTrainer {
    /// Starts with the initial symbols, which `symbols` numbers from 0.
    pub fn new(rule: Rule, symbols: Symbols) -> PairTrainer {
        let mut pieces = ByteTable::new();
        if matches!(rule, Rule::Bytes) {
            for symbol in 0..symbols.len() as u32 {
                pieces.add(symbols.bytes(symbol), u64::from(symbol));
            }
        }
        PairTrainer {
            rule,
            symbols,
            text: alloc::vec![BARRIER],
            back: alloc::vec![1],
            word: alloc::vec![0],
            counts: Vec::new(),
            pairs: Vec::new(),
            index: PairIndex::new(),
            heap: Candidates::new(),
            touched: Vec::new(),
            pieces,
            learned: Vec::new(),
            plateau: Plateau::new(),
            spent: 0,
        }
    }

    /// Makes room for words of so many symbols in all, so that growing leaves no holes behind.
    pub fn reserve(&mut self, words: usize, symbols: usize) {
        self.counts.reserve_exact(words);
        // A barrier follows every word.
        for places in [&mut self.text, &mut self.back, &mut self.word] {
            places.reserve_exact(words + symbols);
        }
    }

    /// Adds a word that occurs `count` times.
    pub fn add_word(&mut self, symbols: impl Iterator<Item = u32>, count: u64) {
        let word = self.counts.len() as u32;
        self.counts.push(count);
        for symbol in symbols.chain([BARRIER]) {
            let place = self.text.len();
            self.text.push(symbol);
            self.back.push(1);
            self.word.push(word);
            let left = self.text[place - 1];
            if left < GONE && symbol < GONE {
                self.add_place(left, symbol, place - 1);
            }
        }
    }

    /// Enters the first pairs in the heap; after the last word, before the first merge.
    pub fn start(&mut self) {
        self.settle();
        self.refresh_plateau();
    }

    /// Learns the next piece and gives its count, or `None` when no pair is left.
    pub fn step(&mut self) -> Option<u64> {
        loop {
            let best = self.next_pair()?;
            let (left, right, count) = {
                let pair = &self.pairs[best as usize];
                (pair.left, pair.right, pair.count)
            };
            let mut bytes = self.symbols.bytes(left).to_vec();
            bytes.extend_from_slice(self.symbols.bytes(right));
            let known = self.pieces.find(&bytes);
            self.plateau.leave(count);
            self.spent += 1;
            if known.is_some() && matches!(self.rule, Rule::Pieces(_)) {
                // The same string by another path: never offered again, never merged.
                let pair = &mut self.pairs[best as usize];
                pair.count = 0;
                pair.places = Vec::new();
                continue;
            }
            let symbol = match known {
                Some(piece) => self.pieces.count(piece) as u32,
                None => {
                    let symbol = self.symbols.join(left, right);
                    self.pieces.add(&bytes, u64::from(symbol));
                    self.learned.push(symbol);
                    symbol
                }
            };
            self.merge(best, symbol);
            self.settle();
            if known.is_none() {
                self.plateau.observe(count, self.learned.len());
                self.refresh_plateau();
                return Some(count);
            }
        }
    }

    /// Learned symbols, in order.
    pub fn learned(&self) -> &[u32] {
        &self.learned
    }

    /// The symbols' bytes.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// From which learned piece on SentencePiece's own choice depends on the order of a hash table;
    /// never in byte-level training.
    pub fn ambiguous_from(&self) -> Option<usize> {
        let pieces = matches!(self.rule, Rule::Pieces(_));
        self.plateau.first().filter(|_| pieces)
    }

    fn refresh_plateau(&mut self) {
        let single = self.symbols.len() - self.learned.len();
        let known = single + self.pairs.len() - self.spent;
        self.plateau.refresh(self.learned.len(), known);
    }

    fn next_pair(&mut self) -> Option<u32> {
        loop {
            let first = self.heap.first()?;
            let count = self.pairs[first.pair as usize].count;
            let (symbols, pairs) = (&self.symbols, &self.pairs);
            let tie = |a: u32, b: u32| tie(symbols, pairs, a, b);
            if count == 0 {
                self.heap.remove_first(&tie);
            } else if count == first.count {
                self.heap.remove_first(&tie);
                return Some(first.pair);
            } else {
                self.heap.lower_first(count, &tie);
            }
        }
    }

    fn merge(&mut self, best: u32, symbol: u32) {
        let (left, right) = (
            self.pairs[best as usize].left,
            self.pairs[best as usize].right,
        );
        let mut places = core::mem::take(&mut self.pairs[best as usize].places);
        self.pairs[best as usize].count = 0;
        if matches!(self.rule, Rule::Bytes) {
            places.sort_unstable();
            places.dedup();
        }
        let (left_length, right_length) = (self.symbols.length(left), self.symbols.length(right));
        for &place in &places {
            let at = place as usize;
            let middle = at + left_length as usize;
            if self.text[at] != left || self.text.get(middle) != Some(&right) {
                continue;
            }
            let next = middle + right_length as usize;
            let previous = at - self.back[at - 1] as usize;
            self.remove_place(best, self.text[previous], left, at);
            self.remove_place(best, right, self.text[next], at);
            self.text[at] = symbol;
            self.text[middle] = GONE;
            self.back[next - 1] = left_length + right_length;
            self.add_place(self.text[previous], symbol, previous);
            self.add_place(symbol, self.text[next], at);
        }
    }

    fn add_place(&mut self, left: u32, right: u32, place: usize) {
        if left >= GONE || right >= GONE {
            return;
        }
        let number = self.pair(left, right);
        if number == FORBIDDEN {
            return;
        }
        let count = self.counts[self.word[place] as usize];
        let pair = &mut self.pairs[number as usize];
        pair.places.push(place as u32);
        let before = pair.count;
        pair.count += count;
        if pair.fresh {
            return;
        }
        pair.fresh = true;
        if before > 0 {
            self.plateau.leave(before);
        }
        self.touched.push(number);
    }

    fn remove_place(&mut self, best: u32, left: u32, right: u32, place: usize) {
        if left >= GONE || right >= GONE {
            return;
        }
        let number = self.index.get(left, right).unwrap_or(FORBIDDEN);
        if number == FORBIDDEN || number == best {
            return;
        }
        let count = self.counts[self.word[place] as usize];
        let recount = left == right && matches!(self.rule, Rule::Pieces(_));
        let pair = &mut self.pairs[number as usize];
        let before = pair.count;
        pair.count = pair.count.saturating_sub(count);
        if pair.fresh {
            return;
        }
        if recount {
            pair.fresh = true;
            self.plateau.leave(before);
            self.touched.push(number);
        } else if before > 0 {
            self.plateau.leave(before);
            self.plateau.enter(pair.count);
        }
    }

    fn pair(&mut self, left: u32, right: u32) -> u32 {
        let allowed = match (&self.rule, self.index.get(left, right)) {
            (_, Some(number)) => return number,
            (Rule::Bytes, None) => true,
            (Rule::Pieces(valid), None) => {
                valid(self.symbols.bytes(left), self.symbols.bytes(right))
            }
        };
        let number = if allowed {
            self.pairs.len() as u32
        } else {
            FORBIDDEN
        };
        self.index.get_or_insert(left, right, number);
        if allowed {
            self.pairs.push(Pair {
                left,
                right,
                count: 0,
                places: Vec::new(),
                fresh: false,
            });
        }
        number
    }

    /// Enters in the heap what the last merge made or may have raised.
    fn settle(&mut self) {
        let touched = core::mem::take(&mut self.touched);
        for &number in &touched {
            self.pairs[number as usize].fresh = false;
            let (left, right) = {
                let pair = &self.pairs[number as usize];
                (pair.left, pair.right)
            };
            if left == right && matches!(self.rule, Rule::Pieces(_)) {
                self.recount(number);
            }
            let count = self.pairs[number as usize].count;
            self.plateau.enter(count);
            if count == 0 {
                continue;
            }
            let candidate = match self.rule {
                Rule::Pieces(_) => Candidate {
                    count,
                    length: self.symbols.length(left) + self.symbols.length(right),
                    pair: number,
                    prefix: self.symbols.prefix(left, right),
                },
                Rule::Bytes => Candidate {
                    count,
                    length: 0,
                    pair: number,
                    prefix: u64::from(left) << 32 | u64::from(right),
                },
            };
            let (symbols, pairs) = (&self.symbols, &self.pairs);
            self.heap.push(candidate, &|a, b| tie(symbols, pairs, a, b));
        }
        self.touched = touched;
        self.touched.clear();
    }

    /// Counts a pair of equal symbols as SentencePiece does: of two that overlap the second is
    /// forgotten for good.
    fn recount(&mut self, number: u32) {
        let pair = &mut self.pairs[number as usize];
        let length = self.symbols.length(pair.left) as usize;
        let (text, word, counts) = (&self.text, &self.word, &self.counts);
        let (left, right) = (pair.left, pair.right);
        let mut blocked = usize::MAX;
        let mut count = 0;
        pair.places.retain(|&place| {
            let at = place as usize;
            let kept = at != blocked && text[at] == left && text[at + length] == right;
            blocked = if kept { at + length } else { usize::MAX };
            if kept {
                count += counts[word[at] as usize];
            }
            kept
        });
        pair.count = count;
    }
}

/// Which of two pairs of equal count and length comes first: by their bytes; two that make the same
/// string by the order in which they came up.
fn tie(symbols: &Symbols, pairs: &[Pair], a: u32, b: u32) -> core::cmp::Ordering {
    let (left, right) = (&pairs[a as usize], &pairs[b as usize]);
    let by_bytes = symbols.compare((left.left, left.right), (right.left, right.right));
    by_bytes.then(a.cmp(&b))
}
