//! From raw text to distinct words with counts, in blocks and on all threads.

use super::byte_table::ByteTable;
use super::reservoir::Reservoir;
use super::words::split_words;
use crate::context::Context;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;

/// U+2585: sentences that contain it are left out, since it stands for unknown characters.
const RESERVED: &[u8] = "\u{2585}".as_bytes();
/// Lines that one chunk of work takes together, in bytes.
const CHUNK: usize = 1 << 16;

/// Appends the normalized form of a line to `out`.
pub type Normalize = Box<dyn Fn(&[u8], &mut Vec<u8>) + Send + Sync>;
/// Calls the function for every piece that merges may not cross.
pub type Cut = Box<dyn Fn(&[u8], &mut dyn FnMut(&[u8])) + Send + Sync>;

/// How text becomes words.
pub enum Cutting {
    /// Line by line, as SentencePiece does.
    Sentences(Sentences),
    /// Block by block, by a pre-tokenizer.
    Pretokens(Cut),
}

/// How SentencePiece's trainer reads lines.
pub struct Sentences {
    /// Normalization without the protection of user-defined symbols.
    pub normalize: Normalize,
    /// Strings that become a cut, longest match first.
    pub meta_pieces: MetaPieces,
    /// Longer lines (in bytes) are left out.
    pub max_length: usize,
    /// `None`: a sentence is one word.
    pub split: Option<WordSplit>,
    /// A sample of this many lines instead of all; 0 for all.
    pub sample: usize,
    /// Draw the sample, or take the first lines.
    pub shuffle: bool,
}

/// Where words are cut.
#[derive(Clone, Copy)]
pub struct WordSplit {
    /// A space closes a word instead of opening it.
    pub suffix: bool,
    /// Runs of spaces stay together.
    pub runs: bool,
}

/// What was read so far.
pub struct Corpus {
    cutting: Cutting,
    reservoir: Option<Reservoir>,
    lines: usize,
    too_long: usize,
    tables: Vec<UnsafeCell<ByteTable>>,
}

// Each worker touches the table of its own number alone.
unsafe impl Sync for Corpus {}

impl Corpus {
    /// Nothing read yet.
    pub fn new(cutting: Cutting, threads: usize) -> Corpus {
        let reservoir = match &cutting {
            Cutting::Sentences(s) if s.sample > 0 && s.shuffle => Some(Reservoir::new(s.sample)),
            _ => None,
        };
        let tables = (0..threads.max(1))
            .map(|_| UnsafeCell::new(ByteTable::new()))
            .collect();
        Corpus {
            cutting,
            reservoir,
            lines: 0,
            too_long: 0,
            tables,
        }
    }

    /// Lines left out because they are too long.
    pub fn too_long(&self) -> usize {
        self.too_long
    }

    /// Lines taken, or pre-tokenized blocks.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Reads a block of UTF-8 text: whole lines, or whole documents for a pre-tokenizer.
    pub fn feed(&mut self, context: &Context, text: &[u8]) -> Result<(), &'static str> {
        if core::str::from_utf8(text).is_err() {
            return Err("training text is not UTF-8");
        }
        match &self.cutting {
            Cutting::Sentences(_) => self.feed_lines(context, text),
            Cutting::Pretokens(cut) => {
                let table = self.tables[0].get_mut();
                cut(text, &mut |piece| {
                    table.add(piece, 1);
                });
                self.lines += 1;
            }
        }
        Ok(())
    }

    /// The distinct words of everything read.
    pub fn finish(mut self, context: &Context) -> ByteTable {
        if let Some(mut reservoir) = self.reservoir.take() {
            let lines = reservoir.take();
            let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            self.count_lines(context, &lines);
        }
        let mut tables = self.tables.into_iter().map(UnsafeCell::into_inner);
        let mut words = tables.next().unwrap_or_default();
        for table in tables {
            words.add_all(&table);
        }
        words
    }

    fn feed_lines(&mut self, context: &Context, text: &[u8]) {
        let Cutting::Sentences(sentences) = &self.cutting else {
            return;
        };
        let mut taken = Vec::new();
        for line in text.split(|&byte| byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            if line.len() > sentences.max_length {
                self.too_long += 1;
                continue;
            }
            if contains_reserved(line) {
                continue;
            }
            if let Some(reservoir) = &mut self.reservoir {
                reservoir.add(line);
            } else if sentences.sample == 0 || self.lines < sentences.sample {
                taken.push(line);
            } else {
                break;
            }
            self.lines += 1;
        }
        self.count_lines(context, &taken);
    }

    fn count_lines(&self, context: &Context, lines: &[&[u8]]) {
        let Cutting::Sentences(sentences) = &self.cutting else {
            return;
        };
        let mut chunks = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (i, line) in lines.iter().enumerate() {
            bytes += line.len();
            if bytes >= CHUNK || i + 1 == lines.len() {
                chunks.push(start..i + 1);
                (start, bytes) = (i + 1, 0);
            }
        }
        context.parallel(chunks.len(), &|chunk, worker| {
            let table = unsafe { &mut *self.tables[worker].get() };
            let mut normalized = Vec::new();
            for line in &lines[chunks[chunk].clone()] {
                normalized.clear();
                (sentences.normalize)(line, &mut normalized);
                let marked = sentences.meta_pieces.mark(&normalized);
                let sentence = marked.as_deref().unwrap_or(&normalized);
                match sentences.split {
                    Some(split) => split_words(sentence, split.suffix, split.runs, |word| {
                        table.add(word, 1);
                    }),
                    None if sentence.is_empty() => {}
                    None => {
                        table.add(sentence, 1);
                    }
                }
            }
        });
    }
}

/// Strings that training text is cut at: names of control symbols, bytes and user-defined symbols.
pub struct MetaPieces {
    pieces: Vec<Vec<u8>>,
    /// Whether a piece starts with this byte.
    first: [bool; 256],
}

impl MetaPieces {
    /// Takes the strings in any order.
    pub fn new(pieces: Vec<Vec<u8>>) -> MetaPieces {
        let mut first = [false; 256];
        for piece in &pieces {
            if let Some(&byte) = piece.first() {
                first[usize::from(byte)] = true;
            }
        }
        MetaPieces { pieces, first }
    }

    /// Puts a TAB in place of every meta piece, the longest where several start, or gives nothing
    /// where there is none.
    fn mark(&self, sentence: &[u8]) -> Option<Vec<u8>> {
        let mut marked = Vec::new();
        let (mut at, mut copied) = (0, 0);
        while at < sentence.len() {
            let length = if self.first[usize::from(sentence[at])] {
                let starting = self.pieces.iter().filter(|p| sentence[at..].starts_with(p));
                starting.map(Vec::len).max()
            } else {
                None
            };
            if let Some(length) = length {
                marked.extend_from_slice(&sentence[copied..at]);
                marked.push(b'\t');
                copied = at + length;
            }
            at += length.unwrap_or(1);
        }
        if copied == 0 {
            return None;
        }
        marked.extend_from_slice(&sentence[copied..]);
        Some(marked)
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
