//! One training run from options to pieces.

use super::alphabet::Alphabet;
use super::corpus::{Corpus, Cut, Cutting, MetaPieces, Normalize, Sentences, WordSplit};
use super::pair_index::PairIndex;
use super::pair_trainer::{BARRIER, PairTrainer, Rule};
use super::symbols::Symbols;
use super::validity::{Validity, characters};
use crate::context::Context;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What shapes the result.
pub enum Options {
    /// As `spm_train --model_type=bpe`.
    Pieces {
        validity: Validity,
        coverage: f32,
        required: Vec<u32>,
        meta_pieces: Vec<Vec<u8>>,
        max_sentence_length: usize,
        sample: usize,
        shuffle: bool,
        normalize: Normalize,
    },
    /// Byte-level, words cut by a pre-tokenizer.
    Bytes { cut: Cut },
}

/// How far training has come.
pub struct Progress {
    /// Pieces learned.
    pub learned: usize,
    /// Occurrences of the last one.
    pub frequency: u64,
    /// No pair is left to merge.
    pub exhausted: bool,
    /// From which piece on SentencePiece's own choice is not determined.
    pub ambiguous_from: Option<usize>,
}

/// What was read, known once all text is in.
pub struct Summary {
    pub lines: usize,
    pub too_long: usize,
    pub words: usize,
    pub alphabet: usize,
    pub characters: u64,
}

/// A run: fed, prepared, then stepped.
pub struct Trainer {
    rule: Option<(Option<Validity>, f32, Vec<u32>)>,
    corpus: Option<Corpus>,
    engine: Option<PairTrainer>,
    alphabet: Vec<(u32, u64)>,
    frequency: u64,
    exhausted: bool,
}

impl Trainer {
    /// A run that has read nothing yet.
    pub fn new(options: Options, threads: usize) -> Trainer {
        let (rule, cutting) = match options {
            Options::Bytes { cut } => ((None, 0.0, Vec::new()), Cutting::Pretokens(cut)),
            Options::Pieces {
                validity,
                coverage,
                required,
                meta_pieces,
                max_sentence_length,
                sample,
                shuffle,
                normalize,
            } => {
                let split = validity.split_by_whitespace.then_some(WordSplit {
                    suffix: validity.whitespace_as_suffix,
                    runs: validity.allow_whitespace_only,
                });
                let sentences = Sentences {
                    normalize,
                    meta_pieces: MetaPieces::new(meta_pieces),
                    max_length: max_sentence_length,
                    split,
                    sample,
                    shuffle,
                };
                (
                    (Some(validity), coverage, required),
                    Cutting::Sentences(sentences),
                )
            }
        };
        Trainer {
            rule: Some(rule),
            corpus: Some(Corpus::new(cutting, threads)),
            engine: None,
            alphabet: Vec::new(),
            frequency: 0,
            exhausted: false,
        }
    }

    /// Reads a block of text.
    pub fn feed(&mut self, context: &Context, text: &[u8]) -> Result<(), &'static str> {
        match &mut self.corpus {
            Some(corpus) => corpus.feed(context, text),
            None => Err("training has begun: no more text can be read"),
        }
    }

    /// Chooses the alphabet and counts the first pairs.
    pub fn prepare(&mut self, context: &Context) -> Result<Summary, &'static str> {
        let (Some(corpus), Some(rule)) = (self.corpus.take(), self.rule.take()) else {
            return Err("training has already begun");
        };
        let (lines, too_long) = (corpus.lines(), corpus.too_long());
        let words = corpus.finish(context);
        let mut symbols = Symbols::new();
        let mut index = PairIndex::new();
        let mut total = 0;
        let (validity, coverage, required) = rule;
        if validity.is_some() {
            let alphabet = Alphabet::choose(&words, &required, coverage);
            for &(c, _) in &alphabet.characters {
                let mut buffer = [0; 4];
                let c = char::from_u32(c).ok_or("a required character is not one")?;
                let symbol = symbols.add(c.encode_utf8(&mut buffer).as_bytes());
                index.get_or_insert(0, u32::from(c), symbol);
            }
            total = alphabet.total;
            self.alphabet = alphabet.characters;
        } else {
            for byte in 0..=255u8 {
                symbols.add(&[byte]);
            }
        }
        let rule = match validity {
            Some(v) => Rule::Pieces(Box::new(move |left, right| v.allows(left, right))),
            None => Rule::Bytes,
        };
        let pieces = validity.is_some();
        let mut engine = PairTrainer::new(rule, symbols);
        for word in 0..words.len() {
            let (key, count) = (words.key(word), words.count(word));
            if pieces {
                let symbol = |c| index.get(0, c).unwrap_or(BARRIER);
                engine.add_word(characters(key).map(symbol), count);
            } else {
                engine.add_word(key.iter().map(|&byte| u32::from(byte)), count);
            }
        }
        let distinct = words.len();
        drop(words);
        engine.start();
        self.engine = Some(engine);
        let alphabet = if pieces { self.alphabet.len() } else { 256 };
        Ok(Summary {
            lines,
            too_long,
            words: distinct,
            alphabet,
            characters: total,
        })
    }

    /// Learns until there are `target` pieces, at most `budget` of them now.
    pub fn step(&mut self, target: usize, budget: usize) -> Result<Progress, &'static str> {
        let engine = self.engine.as_mut().ok_or("training was not prepared")?;
        for _ in 0..budget {
            if engine.learned().len() >= target || self.exhausted {
                break;
            }
            match engine.step() {
                Some(frequency) => self.frequency = frequency,
                None => self.exhausted = true,
            }
        }
        Ok(Progress {
            learned: engine.learned().len(),
            frequency: self.frequency,
            exhausted: self.exhausted,
            ambiguous_from: engine.ambiguous_from(),
        })
    }

    /// Learned pieces in order, then the alphabet by frequency (none for byte-level training).
    pub fn pieces(&self, mut piece: impl FnMut(&[u8])) {
        let Some(engine) = &self.engine else { return };
        for &symbol in engine.learned() {
            piece(engine.symbols().bytes(symbol));
        }
        for &(c, _) in &self.alphabet {
            let mut buffer = [0; 4];
            piece(
                char::from_u32(c)
                    .unwrap_or('\u{fffd}')
                    .encode_utf8(&mut buffer)
                    .as_bytes(),
            );
        }
    }
}
