//! The tokens of a byte-pair encoding and how they are made of one another.
//!
//! A token is *stable* if its own text encodes to it alone. The last merge of that encoding splits it
//! in two; with these splits one can tell in a few look-ups whether two tokens can stand side by side
//! in an encoding, and from that encode in linear time (see `backtrack.rs`).

use super::hash::{NONE, PieceTable, Texts};
use super::pairs::PairTable;
use super::splits::find_splits;
use super::trie::Trie;
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

/// What encoding must know of a token.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct Token {
    /// When it is made: numbers from 1 on in the order in which merges happen; 0 for what is not made
    /// by merging.
    pub rank: u32,
    /// The token that its left half is; itself if it is not made by merging.
    pub left: u32,
    /// The token that its right half is.
    pub right: u32,
    /// The longest stable token that is a proper prefix of it, or [`NONE`].
    pub prefix: u32,
}

/// Tokens, their order of merging, and their splits.
pub struct Vocabulary {
    /// Text of each token.
    pub texts: Texts,
    /// All tokens by text.
    pub by_text: PieceTable,
    /// The tokens.
    pub tokens: Vec<Token>,
    /// Length of each token in bytes.
    pub lengths: Vec<u16>,
    /// Whether a token is stable.
    pub stable: Vec<bool>,
    /// The stable tokens.
    pub trie: Trie,
    pub(super) pairs: PairTable,
    /// Whether the ranks order all merges in all texts, which the fast encoders need.
    pub regular: bool,
    /// Which pairs of bytes begin tokens without which they would: a bit for each.
    irregular: Vec<u64>,
    /// How two neighbours merge, for the general encoder.
    pub merges: Merges,
    /// Ranks that several tokens have.
    shared: BTreeSet<u32>,
}

/// A merge on a list: left, right, rank, result.
pub type Merge = (u32, u32, u32, u32);

/// Merges, each pair once.
#[derive(Default)]
pub struct MergeList {
    /// By left and right, for looking up.
    pub sorted: Vec<Merge>,
    /// By rank.
    pub in_turn: Vec<Merge>,
}

/// Which neighbours merge, and in which order.
pub enum Merges {
    /// Any two whose concatenation is a token; by the rank of that token. [`NONE`] never merges.
    Concatenation(Vec<u32>),
    /// Those on a list, by their place in it.
    List(MergeList),
    /// The same for looking up often.
    Table(PairTable),
}

/// The tokens before their splits are known.
pub struct Draft {
    /// Text of each token.
    pub texts: Texts,
    /// All tokens that text can become, by text.
    pub by_text: PieceTable,
    /// Those tokens.
    pub used: Vec<u32>,
    /// Tokens that are not made by merging: bytes or characters.
    pub base: Vec<u32>,
    /// How neighbours merge.
    pub merges: Merges,
}

impl Merges {
    /// Rank and result of merging two neighbours whose texts are `text[start..end]`, if they merge.
    pub fn find(
        &self,
        vocabulary: (&Texts, &PieceTable),
        pair: (u32, u32),
        text: &[u8],
        span: (usize, usize),
    ) -> Option<(u32, u32)> {
        match self {
            Merges::Concatenation(ranks) => {
                let len = span.1 - span.0;
                if len > vocabulary.1.longest() {
                    return None;
                }
                let token = vocabulary.1.find(vocabulary.0, text, span.0, len);
                let rank = *ranks.get(token as usize)?;
                (rank != NONE).then_some((rank, token))
            }
            Merges::List(MergeList { sorted: list, .. }) => {
                let at = list.binary_search_by_key(&pair, |m| (m.0, m.1)).ok()?;
                Some((list[at].2, list[at].3))
            }
            Merges::Table(table) => {
                let (rank, token) = table.find(pair.0, pair.1);
                (token != NONE).then_some((rank, token))
            }
        }
    }

    /// As the encoders use them: a list is looked up often by the general one, and never by the fast one.
    fn settled(self, regular: bool) -> Result<Merges, &'static str> {
        let Merges::List(MergeList { sorted: list, .. }) = self else {
            return Ok(self);
        };
        if regular {
            return Ok(Merges::List(MergeList::default()));
        }
        let mut table = PairTable::new(list.len());
        for (left, right, rank, result) in list {
            table.insert((left, right), result, rank)?;
        }
        Ok(Merges::Table(table))
    }
}

impl Vocabulary {
    /// Finds the splits of all tokens.
    pub fn new(draft: Draft) -> Result<Vocabulary, &'static str> {
        let Draft {
            texts,
            by_text,
            used,
            base,
            merges,
        } = draft;
        let count = texts.len() as u32;
        let length = |t: u32| u16::try_from(texts.get(t).len());
        let lengths: Result<Vec<u16>, _> = (0..count).map(length).collect();
        let mut vocabulary = Vocabulary {
            pairs: PairTable::new(count as usize),
            tokens: (0..count)
                .map(|t| Token {
                    rank: 0,
                    left: t,
                    right: t,
                    prefix: NONE,
                })
                .collect(),
            lengths: lengths.map_err(|_| "a piece is longer than 65,535 bytes")?,
            stable: vec![false; count as usize],
            trie: Trie::new(|t| texts.get(t), &used),
            regular: false,
            irregular: Vec::new(),
            texts,
            by_text,
            merges,
            shared: BTreeSet::new(),
        };
        for &token in &base {
            vocabulary.stable[token as usize] = true;
        }
        // Until splits are found, a token's prefix is the longest of all others, stable or not.
        let tokens = &mut vocabulary.tokens;
        vocabulary.trie.retain(
            |_| true,
            |token, shorter| tokens[token as usize].prefix = shorter,
        );
        let irregular = find_splits(&mut vocabulary)?;
        vocabulary.regular = irregular.is_empty();
        vocabulary.irregular = vocabulary.beginnings(&irregular);
        let merges = core::mem::replace(&mut vocabulary.merges, Merges::List(MergeList::default()));
        vocabulary.merges = merges.settled(vocabulary.regular)?;
        let (stable, tokens) = (&vocabulary.stable, &mut vocabulary.tokens);
        tokens.iter_mut().for_each(|token| token.prefix = NONE);
        let link = |token: u32, shorter: u32| tokens[token as usize].prefix = shorter;
        vocabulary.trie.retain(|token| stable[token as usize], link);
        vocabulary.shared = shared_ranks(&vocabulary.tokens);
        Ok(vocabulary)
    }

    fn beginnings(&self, tokens: &[u32]) -> Vec<u64> {
        let mut bits = vec![0; if tokens.is_empty() { 0 } else { 1 << 10 }];
        for &token in tokens {
            // What is merged has two bytes at least.
            let text = self.texts.get(token);
            let pair = (text[0] as usize) << 8 | text[1] as usize;
            bits[pair / 64] |= 1 << (pair % 64);
        }
        bits
    }

    /// Whether the ranks order all merges in this text.
    pub fn is_regular_in(&self, text: &[u8]) -> bool {
        let begins = |pair: &[u8]| {
            let pair = (pair[0] as usize) << 8 | pair[1] as usize;
            self.irregular[pair / 64] >> (pair % 64) & 1 != 0
        };
        self.regular || !text.windows(2).any(begins)
    }

    /// Whether several tokens have this rank.
    #[inline(always)]
    pub fn is_shared(&self, rank: u32) -> bool {
        !self.shared.is_empty() && self.shared.contains(&rank)
    }

    /// When two neighbours merge, and the token that they merge into; both are [`NONE`] if they do not.
    #[inline(always)]
    pub fn pair(&self, left: u32, right: u32) -> (u32, u32) {
        self.pairs.find(left, right)
    }

    /// Whether two stable tokens stay apart when their texts stand side by side: no merge across
    /// their border comes before the merges that made them. Goes back in time, undoing the later of
    /// the two last merges at the border (van Antwerpen & Neubeck 2024, the `bpe` crate of rust-gems).
    #[inline]
    pub fn fit(&self, left: u32, right: u32) -> bool {
        let token = |t: u32| unsafe { *self.tokens.get_unchecked(t as usize) };
        let (mut left_id, mut right_id) = (left, right);
        let (mut left, mut right) = (token(left), token(right));
        let mut limit = u32::MAX;
        loop {
            if self.pair(left_id, right_id).0 < limit {
                return false;
            }
            if left.rank > right.rank {
                // At equal rank the merge further left comes first: the one inside `left`.
                limit = left.rank;
                left_id = left.right;
                left = token(left_id);
            } else {
                if right.rank == 0 {
                    return true;
                }
                limit = right.rank + 1;
                right_id = right.left;
                right = token(right_id);
            }
        }
    }
}

/// The ranks that several tokens have.
fn shared_ranks(tokens: &[Token]) -> BTreeSet<u32> {
    let mut counts = vec![0u8; tokens.len() + 1];
    for token in tokens.iter().filter(|token| token.rank > 0) {
        let count = &mut counts[token.rank as usize];
        *count = count.saturating_add(1);
    }
    let shared = |&rank: &u32| counts[rank as usize] > 1;
    (0..counts.len() as u32).filter(shared).collect()
}
