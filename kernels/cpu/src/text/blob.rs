//! The description of a tokenizer as it comes from outside: a header of words, then arrays.
//!
//! `lib/tokenizer/description.ts` writes it. All numbers are u32, little-endian; every array begins
//! at a multiple of four bytes. Nothing is believed: all offsets are checked.

use super::hash::Texts;
use alloc::vec::Vec;

/// First word of a description.
const MAGIC: u32 = 0x314b_4f54;

/// Words of the header, in order.
#[derive(Clone, Copy)]
pub enum Head {
    /// [`MAGIC`].
    Magic,
    /// 0: characters merge (SentencePiece), 1: bytes merge (tiktoken).
    Family,
    /// Bits of [`Flags`].
    Flags,
    /// When a space is put in front: 0 none, 1 always, 2 unless there is one, 3 likewise at the start.
    Prefix,
    /// Number of pieces.
    Pieces,
    /// Id of the unknown piece, or all ones.
    Unknown,
    /// Number of merges on the list.
    Merges,
    /// Number of special tokens.
    Specials,
    /// Bytes of normalization rules.
    Charsmap,
}

const HEAD_WORDS: usize = 9;

/// What a tokenizer does, besides its pieces.
#[allow(non_snake_case)]
pub mod Flags {
    /// Characters without a piece become byte pieces.
    pub const BYTE_FALLBACK: u32 = 1;
    /// Neighbouring unknown characters become one unknown token.
    pub const FUSE_UNKNOWN: u32 = 2;
    /// U+2581 stands for a space, in pieces and text.
    pub const MARKS: u32 = 4;
    /// Runs of spaces become one, those at the ends none.
    pub const REMOVE_EXTRA: u32 = 8;
    /// A space is put behind the text instead of in front.
    pub const SUFFIX: u32 = 16;
    /// A whole piece of the vocabulary is taken before any merging.
    pub const WHOLE_FIRST: u32 = 32;
    /// No merge reaches across the beginning of a space.
    pub const SPLIT_SPACES: u32 = 64;
    /// Only the merges on the list exist.
    pub const LIST: u32 = 128;
    /// Rules of `tokenizer.json` where they differ from SentencePiece's.
    pub const HUGGING_FACE: u32 = 256;
    /// U+2581 in text is a character of its own all the same.
    pub const LITERAL_MARKS: u32 = 512;
    /// Bytes merge inside the pieces of GPT-2's pattern instead of Llama 3's.
    pub const SPLIT_GPT2: u32 = 1024;
    /// Every number is a piece.
    pub const NUMBERS_ALONE: u32 = 2048;
    /// Names that are matched late are matched in the normal form.
    pub const NORMAL_NAMES: u32 = 4096;
    /// The halves of merges are written in GPT-2's characters for bytes.
    pub const CHARACTERS: u32 = 8192;
}

/// Types of pieces, SentencePiece's codes; 0 is an id without a piece.
pub mod piece_type {
    /// Text can become it.
    pub const NORMAL: u8 = 1;
    /// Taken out of the text before anything merges.
    pub const USER_DEFINED: u8 = 4;
    /// Merged, then split back.
    pub const UNUSED: u8 = 5;
    /// Stands for one byte.
    pub const BYTE: u8 = 6;
}

/// A description, checked.
pub struct Blob<'a> {
    words: [u32; HEAD_WORDS],
    /// Text of each piece.
    pub pieces: Texts,
    /// Order of merging of each piece: lower first.
    pub ranks: Vec<u32>,
    /// Type of each piece.
    pub types: Vec<u8>,
    /// Id of each byte's piece, or all ones.
    pub bytes: Vec<u32>,
    /// The merges' left and right halves, alternating.
    pub merges: Texts,
    /// Names of special tokens.
    pub special_names: Texts,
    /// Their ids.
    pub special_ids: Vec<u32>,
    /// Their flags.
    pub special_flags: Vec<u32>,
    /// Normalization rules.
    pub charsmap: &'a [u8],
}

/// Reads arrays one after another.
pub struct Reader<'a> {
    rest: &'a [u8],
}

const SHORT: &str = "the description is too short";

impl<'a> Reader<'a> {
    /// Begins at the first byte.
    pub fn new(rest: &'a [u8]) -> Reader<'a> {
        Reader { rest }
    }

    /// So many bytes, and the padding behind them.
    pub fn take(&mut self, bytes: usize) -> Result<&'a [u8], &'static str> {
        let padded = bytes.checked_add(3).ok_or(SHORT)? & !3;
        if padded > self.rest.len() {
            return Err(SHORT);
        }
        let (found, rest) = self.rest.split_at(padded);
        self.rest = rest;
        Ok(&found[..bytes])
    }

    /// So many numbers.
    pub fn words(&mut self, count: usize) -> Result<Vec<u32>, &'static str> {
        let bytes = self.take(count.checked_mul(4).ok_or(SHORT)?)?;
        Ok(bytes
            .chunks_exact(4)
            .map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]))
            .collect())
    }

    /// Texts: their ends, then their bytes.
    pub fn texts(&mut self, count: usize) -> Result<Texts, &'static str> {
        let ends = self.words(count)?;
        let total = ends.last().copied().unwrap_or(0) as usize;
        let bytes = self.take(total)?;
        if ends.windows(2).any(|w| w[0] > w[1]) {
            return Err("the description of the tokenizer has offsets that go back");
        }
        Ok(Texts::new(bytes.to_vec(), ends))
    }
}

impl<'a> Blob<'a> {
    /// Reads a description.
    pub fn new(blob: &'a [u8]) -> Result<Blob<'a>, &'static str> {
        let mut reader = Reader::new(blob);
        let head = reader.words(HEAD_WORDS)?;
        let mut words = [0; HEAD_WORDS];
        words.copy_from_slice(&head);
        let count = |head: Head| words[head as usize] as usize;
        if words[Head::Magic as usize] != MAGIC {
            return Err("the description of the tokenizer has another version");
        }
        if count(Head::Pieces) >= 1 << 27 {
            return Err("the vocabulary has more than 2^27 pieces");
        }
        let pieces = reader.texts(count(Head::Pieces))?;
        let ranks = reader.words(count(Head::Pieces))?;
        let types = reader.take(count(Head::Pieces))?.to_vec();
        let bytes = reader.words(256)?;
        let merges = reader.texts(count(Head::Merges).checked_mul(2).ok_or(SHORT)?)?;
        let special_names = reader.texts(count(Head::Specials))?;
        let special_ids = reader.words(count(Head::Specials))?;
        let special_flags = reader.words(count(Head::Specials))?;
        let charsmap = reader.take(count(Head::Charsmap))?;
        let all = words;
        Ok(Blob {
            words: all,
            pieces,
            ranks,
            types,
            bytes,
            merges,
            special_names,
            special_ids,
            special_flags,
            charsmap,
        })
    }

    /// A word of the header.
    pub fn head(&self, head: Head) -> u32 {
        self.words[head as usize]
    }

    /// Whether a flag is set.
    pub fn flag(&self, flag: u32) -> bool {
        self.head(Head::Flags) & flag != 0
    }
}
