//! Places in a piece that no token reaches across.
//!
//! Every merge makes a token, so where none has what stands left and right of a place side by side,
//! what is left of it and what is right of it are encoded each for itself. Between characters beyond
//! ASCII that is the rule: most pairs of Chinese characters, of syllables of Korean and many of kana
//! are in no token, and what is left between such places is short and comes again.

use super::hash::{Texts, hash_pair};
use alloc::vec;
use alloc::vec::Vec;

/// Bits for each pair that tokens have.
const BITS_PER_PAIR: usize = 32;

/// Kinds of characters that may stand beside a character of which a token has only a part.
const LEFT_OF_PART: u8 = 1;
const RIGHT_OF_PART: u8 = 2;

const KINDS: usize = 1 << 12;

/// Finds places in a text that no token reaches across.
pub struct ByteCuts {
    /// A bit for each hash of two neighbours inside a token, a character or a part of one each.
    pairs: Vec<u64>,
    shift: u32,
    /// Kind of each character, by hash.
    kinds: Vec<u8>,
    /// Last bytes of parts that tokens have left of other parts.
    ends: [bool; 256],
}

/// Bytes of a character, the first one lowest.
#[derive(Clone, Copy)]
struct Character(u32);

impl Character {
    /// The character at `at`, and its length.
    ///
    /// # Safety
    /// `text` must be well-formed, and `at` the start of a character in it.
    #[inline(always)]
    unsafe fn at(text: &[u8], at: usize) -> (Character, usize) {
        unsafe {
            let len = length(*text.get_unchecked(at));
            let start = text.as_ptr().add(at);
            let bytes = if at + 4 <= text.len() {
                u32::from_le(start.cast::<u32>().read_unaligned())
            } else {
                let mut copy = [0; 4];
                core::ptr::copy_nonoverlapping(start, copy.as_mut_ptr(), len);
                u32::from_le_bytes(copy)
            };
            (Character(bytes & u32::MAX >> (32 - 8 * len)), len)
        }
    }

    /// At most four bytes.
    fn new(bytes: &[u8]) -> Character {
        Character(bytes.iter().rev().fold(0, |all, &b| all << 8 | b as u32))
    }

    #[inline(always)]
    fn kind(self) -> usize {
        (self.0.wrapping_mul(0x9e37_79b1) >> 20) as usize % KINDS
    }
}

/// Length of the character that begins with this byte.
#[inline(always)]
fn length(byte: u8) -> usize {
    match byte {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    }
}

fn is_inside(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Neighbours at a place inside a token, and whether each is a whole character.
fn neighbours(text: &[u8], at: usize) -> Option<[(Character, bool); 2]> {
    let start = text[..at].iter().rposition(|&byte| !is_inside(byte));
    let left = &text[start.unwrap_or(0)..at];
    let len = length(text[at]);
    let right = &text[at..text.len().min(at + len)];
    // Of malformed bytes no text has any.
    let possible = left.len() <= 4 && right[1..].iter().all(|&byte| is_inside(byte));
    possible.then_some([
        (Character::new(left), start.is_some()),
        (Character::new(right), right.len() == len),
    ])
}

impl ByteCuts {
    /// The places that none of these tokens reaches across.
    pub fn new(texts: &Texts, tokens: &[u32]) -> ByteCuts {
        let mut found: Vec<[(Character, bool); 2]> = Vec::new();
        for &token in tokens {
            let text = texts.get(token);
            if text.is_ascii() {
                continue;
            }
            let starts = (1..text.len()).filter(|&at| !is_inside(text[at]));
            found.extend(starts.filter_map(|at| neighbours(text, at)));
        }
        let bits = (found.len() * BITS_PER_PAIR).next_power_of_two().max(64);
        let mut cuts = ByteCuts {
            pairs: vec![0; bits / 64],
            shift: 64 - bits.trailing_zeros(),
            kinds: vec![0; KINDS],
            ends: [false; 256],
        };
        for [(left, left_whole), (right, right_whole)] in found {
            let (word, bit) = cuts.place(left, right);
            cuts.pairs[word] |= bit;
            match (left_whole, right_whole) {
                (true, true) => {}
                (true, false) => cuts.kinds[left.kind()] |= LEFT_OF_PART,
                (false, true) => cuts.kinds[right.kind()] |= RIGHT_OF_PART,
                (false, false) => {
                    let last = left.0.to_le_bytes().into_iter().rfind(|&byte| byte != 0);
                    cuts.ends[last.unwrap_or(0) as usize] = true;
                }
            }
        }
        cuts
    }

    /// Word and bit of two neighbours.
    #[inline(always)]
    fn place(&self, left: Character, right: Character) -> (usize, u64) {
        let place = hash_pair(left.0, right.0) >> self.shift;
        (place as usize / 64, 1 << (place % 64))
    }

    #[inline(always)]
    fn has(&self, left: Character, right: Character) -> bool {
        let (word, bit) = self.place(left, right);
        unsafe { self.pairs.get_unchecked(word) & bit != 0 }
    }

    /// Whether a token may have a part of the one and of the other side by side.
    #[cold]
    fn has_parts(&self, left: Character, right: Character) -> bool {
        let lefts = [0, 8, 16, 24].map(|gone| Character(left.0 >> gone));
        let rights = [24, 16, 8, 0].map(|gone| Character(right.0 & u32::MAX >> gone));
        let pairs = |&left: &Character| rights.iter().any(|&right| self.has(left, right));
        lefts.iter().filter(|left| left.0 != 0).any(pairs)
    }

    /// Calls `chunk` with the ends of the parts of `text[start..end]` between such places.
    ///
    /// # Safety
    /// `text` must be well-formed; `start` and `end` lie between characters of it, in this order.
    #[inline(always)]
    pub unsafe fn chunks(
        &self,
        text: &[u8],
        (start, end): (usize, usize),
        mut chunk: impl FnMut(usize, usize),
    ) {
        unsafe {
            let (mut left, len) = Character::at(text, start);
            let mut left_kind = *self.kinds.get_unchecked(left.kind());
            let (mut begin, mut at) = (start, start + len);
            while at < end {
                let (right, len) = Character::at(text, at);
                let kind = *self.kinds.get_unchecked(right.kind());
                let part = (left_kind & LEFT_OF_PART | kind & RIGHT_OF_PART) != 0
                    || self.ends[*text.get_unchecked(at - 1) as usize];
                let crossed = (left.0 | right.0) < 0x80
                    || self.has(left, right)
                    || part && self.has_parts(left, right);
                if !crossed {
                    chunk(begin, at);
                    begin = at;
                }
                (left, left_kind) = (right, kind);
                at += len;
            }
            chunk(begin, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters of one to four bytes that share beginnings and ends.
    const CHARACTERS: [&str; 8] = ["a", "é", "è", "め", "の", "ぎ", "\u{10ffff}", "\u{f8fff}"];

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % bound as u64) as usize
        }

        fn text(&mut self, longest: usize) -> alloc::string::String {
            (0..1 + self.below(longest))
                .map(|_| CHARACTERS[self.below(CHARACTERS.len())])
                .collect()
        }
    }

    #[test]
    fn no_token_reaches_across_a_cut() {
        let mut random = Random(77);
        let mut cut = 0;
        for _ in 0..300 {
            let mut tokens: Vec<Vec<u8>> = Vec::new();
            let mut texts = Texts::default();
            for _ in 0..8 {
                let text = random.text(4).into_bytes();
                let start = random.below(text.len());
                let end = start + 1 + random.below(text.len() - start);
                texts.push(&text[start..end]);
                tokens.push(text[start..end].to_vec());
            }
            let used: Vec<u32> = (0..tokens.len() as u32).collect();
            let cuts = ByteCuts::new(&texts, &used);
            let text = random.text(30);
            let mut ends = Vec::new();
            let chunk = |at, end| ends.push((at, end));
            unsafe { cuts.chunks(text.as_bytes(), (0, text.len()), chunk) };
            assert_eq!(ends[0].0, 0);
            assert_eq!(ends[ends.len() - 1].1, text.len());
            for pair in ends.windows(2) {
                assert_eq!(pair[0].1, pair[1].0);
                let at = pair[0].1;
                assert!(text.is_char_boundary(at));
                for token in &tokens {
                    let across = (at.saturating_sub(token.len() - 1)..at)
                        .find(|&from| text.as_bytes()[from..].starts_with(token));
                    assert_eq!(across, None, "{token:?} at {at} of {text}");
                }
                cut += 1;
            }
        }
        assert!(cut > 500, "{cut}");
    }
}
