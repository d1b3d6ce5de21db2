//! From a description to tables: what the two families of tokenizers have in common.

use super::blob::{Blob, Flags};
use super::hash::{INLINE, NONE, PieceTable, Texts};
use super::vocabulary::{Merge, MergeList, Merges, Vocabulary};
use alloc::vec;
use alloc::vec::Vec;

/// Why a description was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// One sentence.
    Text(&'static str),
    /// Two ids have the same text.
    Duplicate(u32, u32),
    /// No piece is this single byte.
    MissingByte(u32),
    /// A merge on the list names a piece that is not there; 0 left, 1 right, 2 the result.
    MissingPiece(u32, u32),
}

impl From<&'static str> for Refusal {
    fn from(text: &'static str) -> Refusal {
        Refusal::Text(text)
    }
}

/// A table of the given tokens by text; texts must differ.
pub fn piece_table(
    texts: &Texts,
    tokens: impl Iterator<Item = u32> + Clone,
) -> Result<PieceTable, Refusal> {
    let (mut short, mut long) = (0, 0);
    for token in tokens.clone() {
        if texts.get(token).len() > INLINE {
            long += 1
        } else {
            short += 1
        }
    }
    let mut table = PieceTable::new(short, long);
    for token in tokens {
        if let Some(other) = table.insert(texts, token)? {
            return Err(Refusal::Duplicate(other, token));
        }
    }
    Ok(table)
}

/// How many merges are written before their halves are looked up: most of the table is far away, and
/// all of them are asked for at once.
const AHEAD: u32 = 64;

/// Merges as they stand in text.
#[derive(Default)]
struct Written {
    text: Vec<u8>,
    /// Where each left half begins, where it ends, and where the right one ends.
    spans: Vec<(usize, usize, usize)>,
}

impl Written {
    fn write(
        &mut self,
        blob: &Blob,
        ranks: core::ops::Range<u32>,
        rewrite: impl Fn(&[u8], &mut Vec<u8>),
    ) {
        let Written { text, spans } = self;
        text.clear();
        spans.clear();
        for rank in ranks {
            let start = text.len();
            rewrite(blob.merges.get(rank * 2), text);
            let half = text.len();
            rewrite(blob.merges.get(rank * 2 + 1), text);
            spans.push((start, half, text.len()));
        }
        // A key is read at once where there is room behind it.
        text.resize(text.len() + INLINE, 0);
    }
}

/// The blob's list of merges with its texts found in the vocabulary, sorted by left and right.
pub fn merge_list(
    blob: &Blob,
    texts: &Texts,
    by_text: &PieceTable,
    rewrite: impl Fn(&[u8], &mut Vec<u8>),
) -> Result<Merges, Refusal> {
    let count = blob.merges.len() as u32 / 2;
    let mut list: Vec<Merge> = Vec::with_capacity(count as usize);
    let mut written = Written::default();
    for first in (0..count).step_by(AHEAD as usize) {
        let ranks = first..count.min(first + AHEAD);
        written.write(blob, ranks.clone(), &rewrite);
        let text = &written.text;
        let spans = || ranks.clone().zip(&written.spans);
        for (_, &(at, half, end)) in spans() {
            by_text.ask_for(text, at, half - at);
            by_text.ask_for(text, half, end - half);
        }
        for (rank, &(at, half, end)) in spans() {
            let last = list.last().map_or(NONE, |merge| merge.3);
            let result = next_result(texts, last, &text[at..end]);
            let find = |at: usize, end: usize| {
                if at == end {
                    NONE
                } else {
                    by_text.find(texts, text, at, end - at)
                }
            };
            let found = [
                find(at, half),
                find(half, end),
                if result == NONE {
                    find(at, end)
                } else {
                    result
                },
            ];
            if let Some(which) = found.iter().position(|&token| token == NONE) {
                return Err(Refusal::MissingPiece(rank, which as u32));
            }
            list.push((found[0], found[1], rank, found[2]));
        }
    }
    let sorted = sorted_by_pair(&list, texts.len());
    if sorted.len() < list.len() {
        list.clone_from(&sorted);
        list.sort_unstable_by_key(|m| m.2);
    }
    Ok(Merges::List(MergeList {
        sorted,
        in_turn: list,
    }))
}

/// The result of a merge where it is that of the one before or the next token: most lists are in the
/// order of their results.
fn next_result(texts: &Texts, last: u32, text: &[u8]) -> u32 {
    let next = last.wrapping_add(1);
    [last, next]
        .into_iter()
        .find(|&token| (token as usize) < texts.len() && texts.get(token) == text)
        .unwrap_or(NONE)
}

/// Merges in the order of left, right and rank. Left halves are dealt out by number: most of them have
/// few merges, and sorting those costs little.
fn sorted_by_pair(list: &[Merge], tokens: usize) -> Vec<Merge> {
    let mut starts = vec![0u32; tokens + 1];
    for merge in list {
        starts[merge.0 as usize + 1] += 1;
    }
    for token in 0..tokens {
        starts[token + 1] += starts[token];
    }
    let mut next = starts.clone();
    let mut sorted = vec![(0, 0, 0, 0); list.len()];
    for &merge in list {
        let place = &mut next[merge.0 as usize];
        sorted[*place as usize] = merge;
        *place += 1;
    }
    for pair in starts.windows(2) {
        sorted[pair[0] as usize..pair[1] as usize].sort_unstable_by_key(|m| (m.1, m.2));
    }
    // A pair that stands twice has the rank of its last place, as in the reference's map.
    let mut kept = 0;
    for at in 0..sorted.len() {
        let (left, right, ..) = sorted[at];
        if sorted
            .get(at + 1)
            .is_some_and(|m| (m.0, m.1) == (left, right))
        {
            continue;
        }
        sorted[kept] = sorted[at];
        kept += 1;
    }
    sorted.truncate(kept);
    sorted
}

/// How the pieces merge.
pub fn merges(
    blob: &Blob,
    texts: &Texts,
    by_text: &PieceTable,
    ranks: Vec<u32>,
    rewrite: impl Fn(&[u8], &mut Vec<u8>),
) -> Result<Merges, Refusal> {
    if blob.flag(Flags::LIST) {
        return merge_list(blob, texts, by_text, rewrite);
    }
    Ok(Merges::Concatenation(ranks))
}

/// A table of the pieces that are taken whole without merging.
pub fn whole_table(
    vocabulary: &Vocabulary,
    take: impl Fn(u32) -> bool,
) -> Result<PieceTable, Refusal> {
    let count = vocabulary.texts.len() as u32;
    let whole: Vec<u32> = (0..count)
        .filter(|&t| !vocabulary.texts.get(t).is_empty() && take(t))
        .collect();
    piece_table(&vocabulary.texts, whole.iter().copied())
}
