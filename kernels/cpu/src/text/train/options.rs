//! The description of a training run as it comes from outside: a header of words, then arrays.
//!
//! `lib/tokenizer/train/description.ts` writes it. All numbers are u32, little-endian; every array
//! begins at a multiple of four bytes. Nothing is believed: all offsets are checked.

use super::corpus::{Cutting, Sample};
use super::meta_pieces::MetaPieces;
use super::pretokens::Pretokens;
use super::sentences::{Sentences, WordSplit};
use super::validity::{Validity, characters};
use crate::text::blob::Reader;
use crate::text::charsmap::Charsmap;
use crate::text::hash::Texts;
use crate::text::normalize::{Normalizer, Prefix};
use crate::text::trie::Trie;
use crate::text::utf8::first_invalid;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// First word of a description.
const MAGIC: u32 = 0x3142_5254;

/// Words of the header, in order.
#[derive(Clone, Copy)]
enum Head {
    Magic,
    /// 0: as `spm_train --model_type=bpe`, 1: byte-level.
    Kind,
    /// Bits of [`flags`].
    Flags,
    /// Longest piece in characters.
    LongestPiece,
    /// Longest sentence in bytes.
    LongestSentence,
    /// Bits of the share of characters to cover, an f32.
    Coverage,
    /// Lines of a sample, its lower and upper half; 0 for all.
    SampleLow,
    SampleHigh,
    /// Bytes of the characters that the alphabet must have.
    Required,
    /// Number of meta pieces.
    MetaPieces,
    /// Bytes of normalization rules.
    Charsmap,
}

const HEAD_WORDS: usize = 11;

#[rustfmt::skip]
mod flags {
    pub const SPLIT_BY_WHITESPACE: u32 = 1;
    pub const SPLIT_BY_UNICODE_SCRIPT: u32 = 2;
    pub const SPLIT_BY_NUMBER: u32 = 4;
    pub const SPLIT_DIGITS: u32 = 8;
    pub const WHITESPACE_AS_SUFFIX: u32 = 16;
    pub const WHITESPACE_ONLY: u32 = 32;
    pub const DUMMY_PREFIX: u32 = 64;
    pub const REMOVE_EXTRA: u32 = 128;
    pub const SHUFFLE: u32 = 256;
}

/// What shapes the result.
pub struct Options {
    /// How text becomes words.
    pub cutting: Cutting,
    /// Which lines count.
    pub sample: Sample,
    /// What a piece may be; `None` for byte-level training.
    pub pieces: Option<PieceOptions>,
}

/// What shapes SentencePiece's pieces.
pub struct PieceOptions {
    /// What a piece may be.
    pub validity: Validity,
    /// Share of all characters that the alphabet must cover.
    pub coverage: f32,
    /// Characters that it must have.
    pub required: Vec<u32>,
}

/// The header of a description.
struct Header(Vec<u32>);

impl Header {
    fn word(&self, head: Head) -> u32 {
        self.0[head as usize]
    }

    fn size(&self, head: Head) -> usize {
        self.word(head) as usize
    }

    fn flag(&self, flag: u32) -> bool {
        self.word(Head::Flags) & flag != 0
    }

    fn sample(&self) -> Result<Sample, &'static str> {
        let [low, high] = [Head::SampleLow, Head::SampleHigh].map(|head| self.word(head));
        let lines = u64::from(high) << 32 | u64::from(low);
        Ok(Sample {
            lines: usize::try_from(lines).map_err(|_| "the sample is too large")?,
            shuffle: self.flag(flags::SHUFFLE),
        })
    }

    fn validity(&self) -> Validity {
        Validity {
            max_length: self.size(Head::LongestPiece),
            split_by_whitespace: self.flag(flags::SPLIT_BY_WHITESPACE),
            split_by_unicode_script: self.flag(flags::SPLIT_BY_UNICODE_SCRIPT),
            split_by_number: self.flag(flags::SPLIT_BY_NUMBER),
            split_digits: self.flag(flags::SPLIT_DIGITS),
            whitespace_as_suffix: self.flag(flags::WHITESPACE_AS_SUFFIX),
            allow_whitespace_only: self.flag(flags::WHITESPACE_ONLY),
        }
    }

    fn sentences(&self, meta_pieces: &Texts, charsmap: &[u8]) -> Result<Sentences, &'static str> {
        let dummy = self.flag(flags::DUMMY_PREFIX);
        let suffix = self.flag(flags::WHITESPACE_AS_SUFFIX);
        let prefix = if dummy && !suffix {
            Prefix::Always
        } else {
            Prefix::None
        };
        let split = WordSplit {
            suffix,
            runs: self.flag(flags::WHITESPACE_ONLY),
        };
        Ok(Sentences {
            normalizer: Normalizer {
                charsmap: match charsmap {
                    [] => None,
                    rules => Some(Charsmap::new(rules)?),
                },
                protected: Trie::default(),
                marks: true,
                remove_extra: self.flag(flags::REMOVE_EXTRA),
                prefix,
                suffix: dummy && suffix,
            },
            meta_pieces: MetaPieces::new(meta_pieces),
            max_length: self.size(Head::LongestSentence),
            split: self.flag(flags::SPLIT_BY_WHITESPACE).then_some(split),
        })
    }
}

impl Options {
    /// Reads a description.
    pub fn new(description: &[u8]) -> Result<Options, &'static str> {
        let mut reader = Reader::new(description);
        let header = Header(reader.words(HEAD_WORDS)?);
        if header.word(Head::Magic) != MAGIC {
            return Err("the description of the training has another version");
        }
        let sample = header.sample()?;
        let required = reader.take(header.size(Head::Required))?;
        if first_invalid(required).is_some() {
            return Err("the required characters are not UTF-8");
        }
        let meta_pieces = reader.texts(header.size(Head::MetaPieces))?;
        let charsmap = reader.take(header.size(Head::Charsmap))?;
        let (cutting, pieces) = if header.word(Head::Kind) == 1 {
            (Cutting::Pretokens(Pretokens::default()), None)
        } else {
            let sentences = header.sentences(&meta_pieces, charsmap)?;
            let pieces = PieceOptions {
                validity: header.validity(),
                coverage: f32::from_bits(header.word(Head::Coverage)),
                required: characters(required).collect(),
            };
            (Cutting::Sentences(Box::new(sentences)), Some(pieces))
        };
        Ok(Options {
            cutting,
            sample,
            pieces,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn a_description_is_refused_rather_than_believed() {
        let refused = |words: &[u32]| Options::new(&description(words)).err();
        let coverage = 1f32.to_bits();
        let plain = [MAGIC, 0, 1, 16, 4192, coverage, 0, 0, 0, 0, 0];
        assert_eq!(refused(&plain), None);
        assert_eq!(refused(&[MAGIC, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert!(refused(&plain[..10]).is_some());
        for (place, value) in [
            (0, 1),
            (8, 1),
            (9, 1),
            (9, u32::MAX),
            (10, 4),
            (10, u32::MAX),
        ] {
            let mut words = plain;
            words[place] = value;
            assert!(refused(&words).is_some(), "word {place} is {value}");
        }
    }
}
