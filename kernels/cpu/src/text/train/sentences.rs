//! How SentencePiece's trainer reads a line.

use super::byte_table::ByteTable;
use super::meta_pieces::MetaPieces;
use super::words::split_words;
use crate::text::normalize::{Normalizer, Place, Stretch};
use alloc::vec::Vec;

/// U+2585: sentences that contain it are left out, since it stands for unknown characters.
const RESERVED: &[u8] = "\u{2585}".as_bytes();

/// From lines to words.
pub struct Sentences {
    /// Normalization without the protection of user-defined symbols.
    pub normalizer: Normalizer,
    /// Strings that become a cut.
    pub meta_pieces: MetaPieces,
    /// Longer lines (in bytes) are left out.
    pub max_length: usize,
    /// `None`: a sentence is one word.
    pub split: Option<WordSplit>,
}

/// Where words are cut.
#[derive(Clone, Copy)]
pub struct WordSplit {
    /// A space closes a word instead of opening it.
    pub suffix: bool,
    /// Runs of spaces stay together.
    pub runs: bool,
}

/// What becomes of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is trained on.
    Taken,
    /// It has no characters.
    Empty,
    /// It is longer than allowed.
    TooLong,
    /// It has U+2585.
    Reserved,
}

/// Buffers that one thread uses again for every line.
#[derive(Default)]
pub struct LineBuffers {
    normal: Vec<u8>,
    sentence: Vec<u8>,
}

impl Sentences {
    /// Whether a line is trained on.
    pub fn judge(&self, line: &[u8]) -> Fate {
        if line.is_empty() {
            Fate::Empty
        } else if line.len() > self.max_length {
            Fate::TooLong
        } else if contains_reserved(line) {
            Fate::Reserved
        } else {
            Fate::Taken
        }
    }

    /// Counts the words of a line.
    pub fn count(&self, line: &[u8], buffers: &mut LineBuffers, table: &mut ByteTable) {
        let LineBuffers { normal, sentence } = buffers;
        normal.clear();
        sentence.clear();
        let stretch = Stretch {
            text: line,
            place: Place::default(),
            last: true,
            valid: true,
        };
        self.normalizer.run(stretch, normal, None);
        self.meta_pieces.mark(normal, sentence);
        match self.split {
            Some(split) => split_words(sentence, split.suffix, split.runs, |word| {
                table.add(word, 1);
            }),
            None if sentence.is_empty() => {}
            None => {
                table.add(sentence, 1);
            }
        }
    }
}

fn contains_reserved(line: &[u8]) -> bool {
    let mut rest = line;
    while let Some(at) = rest.iter().position(|&byte| byte == RESERVED[0]) {
        if rest[at..].starts_with(RESERVED) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}
