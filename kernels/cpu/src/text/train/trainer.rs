//! One training run from options to pieces.

use super::alphabet::Alphabet;
use super::byte_table::ByteTable;
use super::corpus::{Corpus, Lines};
use super::options::{Options, PieceOptions};
use super::pair_index::PairIndex;
use super::pair_trainer::{BARRIER, PairTrainer, Rule};
use super::symbols::Symbols;
use super::validity::characters;
use crate::context::Context;
use alloc::boxed::Box;
use alloc::vec::Vec;

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
    /// What became of the lines.
    pub lines: Lines,
    /// Distinct words.
    pub words: usize,
    /// Characters, or bytes, that pieces are built from.
    pub alphabet: usize,
    /// Occurrences of all characters.
    pub characters: u64,
    /// A required character that the text does not have.
    pub absent: Option<u32>,
}

/// A run: fed, prepared, then stepped.
pub struct Trainer {
    /// What pieces may be, until it is handed on to the engine; `None` for byte-level training.
    pieces: Option<PieceOptions>,
    corpus: Option<Corpus>,
    engine: Option<PairTrainer>,
    alphabet: Vec<(u32, u64)>,
    frequency: u64,
    exhausted: bool,
    /// Results of [`Trainer::serialize`].
    pub bytes: Vec<u8>,
    /// End of each piece in `bytes`.
    pub ends: Vec<u32>,
}

impl Trainer {
    /// A run that has read nothing yet.
    pub fn new(options: Options, threads: usize) -> Trainer {
        Trainer {
            pieces: options.pieces,
            corpus: Some(Corpus::new(options.cutting, options.sample, threads)),
            engine: None,
            alphabet: Vec::new(),
            frequency: 0,
            exhausted: false,
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// What reads the text, until training begins.
    pub fn corpus(&mut self) -> Result<&mut Corpus, &'static str> {
        let begun = "training has begun: no more text can be read";
        self.corpus.as_mut().ok_or(begun)
    }

    /// Chooses the alphabet and counts the first pairs.
    pub fn prepare(&mut self, context: &Context) -> Result<Summary, &'static str> {
        let corpus = self.corpus.take().ok_or("training has already begun")?;
        let (lines, words) = corpus.finish(context);
        let mut summary = Summary {
            lines,
            words: words.len(),
            alphabet: 256,
            characters: 0,
            absent: None,
        };
        let mut engine = match self.pieces.take() {
            None => byte_engine(&words),
            Some(options) => {
                let alphabet = Alphabet::choose(&words, &options.required, options.coverage);
                summary.alphabet = alphabet.characters.len();
                summary.characters = alphabet.total;
                let absent = alphabet.characters.iter().find(|&&(_, count)| count == 0);
                summary.absent = absent.map(|&(character, _)| character);
                self.alphabet = alphabet.characters;
                piece_engine(&words, &self.alphabet, options)
            }
        };
        drop(words);
        engine.start();
        self.engine = Some(engine);
        Ok(summary)
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

    /// Puts the pieces one after another: the learned ones in order, then the alphabet by frequency
    /// (none for byte-level training).
    pub fn serialize(&mut self) -> Result<(), &'static str> {
        let engine = self.engine.as_ref().ok_or("training was not prepared")?;
        self.bytes.clear();
        self.ends.clear();
        for &symbol in engine.learned() {
            self.bytes.extend_from_slice(engine.symbols().bytes(symbol));
            self.ends.push(self.bytes.len() as u32);
        }
        for &(c, _) in &self.alphabet {
            push_character(c, &mut self.bytes);
            self.ends.push(self.bytes.len() as u32);
        }
        Ok(())
    }
}

/// The words in the order of the reference, which decides between pairs that are otherwise equal: by
/// (count descending, bytes ascending).
fn in_order(words: &ByteTable) -> Vec<u32> {
    let mut order: Vec<u32> = (0..words.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| {
        let (a, b) = (a as usize, b as usize);
        let by_count = words.count(b).cmp(&words.count(a));
        by_count.then_with(|| words.key(a).cmp(words.key(b)))
    });
    order
}

fn byte_engine(words: &ByteTable) -> PairTrainer {
    let mut symbols = Symbols::new();
    for byte in 0..=255u8 {
        symbols.add(&[byte]);
    }
    let mut engine = PairTrainer::new(Rule::Bytes, symbols);
    let bytes = (0..words.len()).map(|word| words.key(word).len()).sum();
    engine.reserve(words.len(), bytes);
    for word in in_order(words) {
        let bytes = words.key(word as usize).iter();
        engine.add_word(
            bytes.map(|&byte| u32::from(byte)),
            words.count(word as usize),
        );
    }
    engine
}

fn piece_engine(words: &ByteTable, alphabet: &[(u32, u64)], options: PieceOptions) -> PairTrainer {
    let mut symbols = Symbols::new();
    let mut index = PairIndex::new();
    for &(c, _) in alphabet {
        let mut bytes = Vec::new();
        push_character(c, &mut bytes);
        let symbol = symbols.add(&bytes);
        index.get_or_insert(0, c, symbol);
    }
    let validity = options.validity;
    let allows = move |left: &[u8], right: &[u8]| validity.allows(left, right);
    let mut engine = PairTrainer::new(Rule::Pieces(Box::new(allows)), symbols);
    let counted = |word| characters(words.key(word)).count();
    engine.reserve(words.len(), (0..words.len()).map(counted).sum());
    for word in in_order(words) {
        let symbol = |c| index.get(0, c).unwrap_or(BARRIER);
        let word = word as usize;
        engine.add_word(characters(words.key(word)).map(symbol), words.count(word));
    }
    engine
}

fn push_character(c: u32, bytes: &mut Vec<u8>) {
    let c = char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER);
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}
