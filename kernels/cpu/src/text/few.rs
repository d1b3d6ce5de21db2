//! Encoding of short pieces: the pair of the lowest rank merges, the leftmost among equals, until none
//! is left. For a few bytes that costs less than searching the longest tokens (`backtrack.rs`): the
//! look-ups of all pairs at the start do not wait for one another, and where words are rare the
//! longest tokens mostly do not fit.

use super::hash::NONE;
use super::vocabulary::Vocabulary;
use alloc::vec;
use alloc::vec::Vec;

/// Most bytes of a piece.
pub const MOST: usize = 32;
/// Most bytes of one that takes half the room, as most do.
const HALF: usize = MOST / 2;

/// Whether this costs less than searching the longest tokens. In words of scripts whose letters have
/// several bytes few of the longest tokens do not fit.
#[inline]
pub fn is_best_for(piece: &[u8]) -> bool {
    let beyond_ascii = || piece.iter().filter(|&&byte| byte >= 0x80).count();
    piece.len() <= HALF || piece.len() <= MOST && beyond_ascii() * 4 <= piece.len()
}

/// Pairs that merge, by their left symbols; `N` is a power of two.
struct Pairs<const N: usize> {
    /// Rank and place of each, [`NONE`] where nothing merges: the smallest merges next.
    order: [u32; N],
    /// What each becomes.
    results: [u32; N],
}

impl<const N: usize> Pairs<N> {
    const PLACE_BITS: u32 = N.trailing_zeros();

    #[inline(always)]
    fn set(&mut self, vocabulary: &Vocabulary, at: usize, left: u32, right: u32) {
        let (rank, token) = vocabulary.pair(left, right);
        self.order[at] = if token == NONE {
            NONE
        } else {
            rank << Self::PLACE_BITS | at as u32
        };
        self.results[at] = token;
    }

    #[inline(always)]
    fn first(&self) -> u32 {
        self.order.iter().copied().fold(NONE, u32::min)
    }
}

/// What the pairs of two bytes become, side by side in the order of the bytes: those of a text are in
/// few places, and reading costs no branch.
pub struct BytePairs {
    tokens: [u32; 256],
    /// Rank and result of each pair, from the top; [`NONE`] twice where nothing merges.
    pairs: Vec<u64>,
}

impl BytePairs {
    /// The pairs of a vocabulary whose tokens of one byte are these.
    pub fn new(vocabulary: &Vocabulary, tokens: [u32; 256]) -> BytePairs {
        let byte = |half: u32| tokens.iter().position(|&token| token == half);
        let is_byte = |half: u32| vocabulary.lengths[half as usize] == 1;
        let mut pairs = vec![u64::MAX; 1 << 16];
        for (token, made) in vocabulary.tokens.iter().enumerate() {
            if made.rank == 0 || !is_byte(made.left) || !is_byte(made.right) {
                continue;
            }
            if let (Some(left), Some(right)) = (byte(made.left), byte(made.right)) {
                pairs[left << 8 | right] = (made.rank as u64) << 32 | token as u64;
            }
        }
        BytePairs { tokens, pairs }
    }

    /// Appends the tokens of up to [`MOST`] bytes. The vocabulary must be regular.
    #[inline]
    pub fn merge(&self, vocabulary: &Vocabulary, bytes: &[u8], out: &mut Vec<u32>) {
        if bytes.len() <= HALF {
            self.merge_in::<HALF>(vocabulary, bytes, out);
        } else {
            self.merge_in::<MOST>(vocabulary, bytes, out);
        }
    }

    #[inline(always)]
    fn merge_in<const N: usize>(&self, vocabulary: &Vocabulary, bytes: &[u8], out: &mut Vec<u32>) {
        let count = bytes.len().min(N);
        let mut tokens = [0; N];
        let mut pairs = Pairs {
            order: [NONE; N],
            results: [NONE; N],
        };
        for (token, &byte) in tokens.iter_mut().zip(bytes) {
            *token = self.tokens[byte as usize];
        }
        for (at, pair) in bytes[..count].windows(2).enumerate() {
            let place = (pair[0] as usize) << 8 | pair[1] as usize;
            let pair = unsafe { *self.pairs.get_unchecked(place) };
            let order = (pair >> 32 << Pairs::<N>::PLACE_BITS) as u32 | at as u32;
            pairs.order[at] = if pair == u64::MAX { NONE } else { order };
            pairs.results[at] = pair as u32;
        }
        vocabulary.merge_pairs((tokens, pairs), count, out);
    }
}

impl Vocabulary {
    /// Merges the pairs of so many tokens as far as they go, and appends what is left.
    #[inline(always)]
    fn merge_pairs<const N: usize>(
        &self,
        (mut tokens, mut pairs): ([u32; N], Pairs<N>),
        count: usize,
        out: &mut Vec<u32>,
    ) {
        // A bit for each symbol that is not merged into the one to its left.
        let mut left: u64 = (1 << count) - 1;
        loop {
            let first = pairs.first();
            if first == NONE {
                break;
            }
            let at = (first as usize) % N;
            let behind = left & !((2 << at) - 1);
            let gone = behind & behind.wrapping_neg();
            left ^= gone;
            tokens[at] = pairs.results[at];
            pairs.order[gone.trailing_zeros() as usize % N] = NONE;
            let next = behind ^ gone;
            if next == 0 {
                pairs.order[at] = NONE;
            } else {
                let next = next.trailing_zeros() as usize % N;
                pairs.set(self, at, tokens[at], tokens[next]);
            }
            let before = left & ((1 << at) - 1);
            if before != 0 {
                let before = before.ilog2() as usize % N;
                pairs.set(self, before, tokens[before], tokens[at]);
            }
        }
        while left != 0 {
            out.push(tokens[left.trailing_zeros() as usize % N]);
            left &= left - 1;
        }
    }
}
