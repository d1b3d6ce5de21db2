//! The characters that a SentencePiece model is built from.

use super::byte_table::ByteTable;
use super::pair_index::PairIndex;
use super::validity::characters;
use alloc::vec::Vec;

/// What stands for a place where training text is cut (a meta piece in the text).
const TAB: u32 = 9;

/// Every character kept and how often it occurs, most frequent first.
pub struct Alphabet {
    /// (character, occurrences) by (occurrences descending, character ascending).
    pub characters: Vec<(u32, u64)>,
    /// Occurrences of all characters, kept or not.
    pub total: u64,
}

impl Alphabet {
    /// Takes the required characters, then the most frequent ones until they cover `coverage` of all
    /// occurrences. TAB and NUL never get in.
    pub fn choose(words: &ByteTable, required: &[u32], coverage: f32) -> Alphabet {
        let mut counts = Counts::new();
        for &c in required.iter().filter(|&&c| c != 0) {
            let slot = counts.slot(c);
            counts.all[slot].required = true;
        }
        let mut total = 0;
        for word in 0..words.len() {
            let times = words.count(word);
            for c in characters(words.key(word)).filter(|&c| c != 0) {
                let slot = counts.slot(c);
                counts.all[slot].count += times;
                total += times;
            }
        }
        let mut all = counts.all;
        all.sort_unstable_by_key(|c| (core::cmp::Reverse((c.required, c.count)), c.character));
        let mut covered = 0u64;
        let mut kept = Vec::new();
        for c in all {
            // In single precision, as the reference compares them.
            if (covered as f64 / total.max(1) as f64) as f32 >= coverage {
                break;
            }
            covered += c.count;
            if c.character != TAB {
                kept.push((c.character, c.count));
            }
        }
        kept.sort_unstable_by_key(|&(character, count)| (core::cmp::Reverse(count), character));
        Alphabet {
            characters: kept,
            total,
        }
    }
}

struct Count {
    character: u32,
    required: bool,
    count: u64,
}

struct Counts {
    all: Vec<Count>,
    index: PairIndex,
}

impl Counts {
    fn new() -> Counts {
        Counts {
            all: Vec::new(),
            index: PairIndex::new(),
        }
    }

    fn slot(&mut self, character: u32) -> usize {
        let new = self.all.len() as u32;
        let slot = self.index.get_or_insert(0, character, new);
        if slot == new {
            self.all.push(Count {
                character,
                required: false,
                count: 0,
            });
        }
        slot as usize
    }
}
