//! Tokenizers whose bytes merge, inside the pieces of a split pattern (tiktoken, Llama 3).

use super::ahead::Ahead;
use super::blob::{Blob, Flags};
use super::byte_characters::push_bytes;
use super::byte_cuts::ByteCuts;
use super::bytes_missing::MissingBytes;
use super::cache::{Key, LONGEST};
use super::cache_long::LongKey;
use super::few::{self, BytePairs};
use super::hash::{NONE, PieceTable};
use super::open::{Refusal, merges, piece_table, whole_table};
use super::split::{Pattern, Splitter};
use super::vocabulary::{Draft, Vocabulary};
use super::words::{WINDOW, word};
use super::worker::Worker;
use alloc::vec::Vec;

/// A byte-level tokenizer.
pub struct ByteLevel {
    /// Its tokens; a token's number is its id.
    vocabulary: Vocabulary,
    /// Pieces that are ids without any merging.
    pub(super) whole: PieceTable,
    /// The split pattern.
    pub splitter: Splitter,
    pub(super) byte_tokens: [u32; 256],
    pairs: BytePairs,
    cuts: ByteCuts,
    pub(super) missing: MissingBytes,
}

impl ByteLevel {
    /// Builds the tables.
    pub fn new(blob: Blob) -> Result<ByteLevel, Refusal> {
        let count = blob.pieces.len() as u32;
        let used: Vec<u32> = (0..count)
            .filter(|&t| !blob.pieces.get(t).is_empty())
            .collect();
        let by_text = piece_table(&blob.pieces, used.iter().copied())?;
        let mut byte_tokens = [NONE; 256];
        for byte in 0..=255u8 {
            let token = by_text.find(&blob.pieces, &[byte], 0, 1);
            // tiktoken has no rule for a byte that is no token.
            if token == NONE && !blob.flag(Flags::HUGGING_FACE) {
                return Err(Refusal::MissingByte(byte as u32));
            }
            byte_tokens[byte as usize] = token;
        }
        let characters = blob.flag(Flags::CHARACTERS);
        let rewrite = |half: &[u8], out: &mut Vec<u8>| {
            if characters {
                push_bytes(half, out)
            } else {
                out.extend_from_slice(half)
            }
        };
        let merges = merges(&blob, &blob.pieces, &by_text, blob.ranks.clone(), rewrite)?;
        let whole_first = blob.flag(Flags::WHOLE_FIRST);
        let pattern = Pattern {
            gpt2: blob.flag(Flags::SPLIT_GPT2),
            numbers_alone: blob.flag(Flags::NUMBERS_ALONE),
        };
        let missing = MissingBytes::new(&blob, &byte_tokens);
        let cuts = ByteCuts::new(&blob.pieces, &used);
        let mut base = byte_tokens.to_vec();
        base.retain(|&token| token != NONE);
        let mut vocabulary = Vocabulary::new(Draft {
            texts: blob.pieces,
            by_text,
            used,
            base,
            merges,
        })?;
        let whole = if whole_first && vocabulary.regular {
            core::mem::replace(&mut vocabulary.by_text, PieceTable::new(0, 0))
        } else {
            whole_table(&vocabulary, |t| {
                whole_first || vocabulary.stable[t as usize]
            })?
        };
        Ok(ByteLevel {
            pairs: BytePairs::new(&vocabulary, byte_tokens),
            vocabulary,
            whole,
            splitter: Splitter::new(pattern),
            byte_tokens,
            cuts,
            missing,
        })
    }

    /// Appends the ids of `text`; returns where it stopped: the end, or, unless `last`, the start of
    /// what more text could change.
    ///
    /// # Safety
    /// `text` must be well-formed UTF-8.
    pub unsafe fn encode(
        &self,
        text: &[u8],
        last: bool,
        worker: &mut Worker,
        out: &mut Vec<u32>,
    ) -> usize {
        unsafe {
            if cfg!(target_arch = "x86_64") {
                self.encode_ahead(text, last, worker, out)
            } else {
                self.encode_directly(text, last, worker, out)
            }
        }
    }

    /// The same where memory can be asked for.
    unsafe fn encode_ahead(
        &self,
        text: &[u8],
        last: bool,
        worker: &mut Worker,
        out: &mut Vec<u32>,
    ) -> usize {
        let mut ahead = Ahead::new(0);
        loop {
            let more = unsafe { self.find_pieces(text, last, &mut ahead) };
            ahead.look_up(&self.whole, &worker.cache);
            for piece in ahead.pieces() {
                if piece.token != NONE {
                    out.push(piece.token);
                } else if !worker.cache.get(piece.key, out) {
                    self.encode_new(text, (piece.start, piece.end, piece.key), worker, out);
                }
            }
            if !more {
                return ahead.end();
            }
            ahead.restart();
        }
    }

    /// Finds the next pieces; false if there are no more, or if more text could change the next one.
    #[inline(always)]
    unsafe fn find_pieces(&self, text: &[u8], last: bool, ahead: &mut Ahead) -> bool {
        let mut open = false;
        let beginnings = self.splitter.beginnings();
        while !ahead.is_full() {
            let at = ahead.end();
            if at >= text.len() {
                return false;
            }
            let mut end = at;
            if at + WINDOW <= text.len() {
                end += unsafe { word(text, at, beginnings) };
            }
            if end == at {
                end = unsafe { self.splitter.next(text, at, &mut open) };
                if open && !last {
                    return false;
                }
            }
            unsafe { ahead.push(text, end, &self.whole) };
        }
        true
    }

    /// Encodes a piece that was not met before.
    #[inline(never)]
    pub(super) fn encode_new(
        &self,
        text: &[u8],
        (start, end, key): (usize, usize, Key),
        worker: &mut Worker,
        out: &mut Vec<u32>,
    ) {
        let before = out.len();
        let long = LongKey::new(&text[start..end]);
        if long.is_some_and(|long| worker.long.get(long, out)) {
            return;
        }
        self.encode_piece(text, (start, end), worker, out);
        if end - start <= LONGEST {
            worker.cache.put(key, &out[before..]);
        } else if let Some(long) = long {
            worker.long.put(long, &out[before..]);
        }
    }

    #[inline(always)]
    fn encode_piece(
        &self,
        text: &[u8],
        (at, end): (usize, usize),
        worker: &mut Worker,
        out: &mut Vec<u32>,
    ) {
        let id = self.whole.find(&self.vocabulary.texts, text, at, end - at);
        if id != NONE {
            out.push(id);
            return;
        }
        if self.missing.any {
            self.encode_known(&text[at..end], worker, out);
        } else if text[at..end].iter().all(|&byte| byte < 0xe0) {
            self.merge(&text[at..end], worker, out);
        } else {
            self.encode_chunks(text, (at, end), worker, out);
        }
    }

    /// Appends the tokens of a piece, each part that no token leaves for itself.
    #[inline(never)]
    fn encode_chunks(
        &self,
        text: &[u8],
        piece: (usize, usize),
        worker: &mut Worker,
        out: &mut Vec<u32>,
    ) {
        let chunk = |at, end| {
            if (at, end) == piece {
                self.merge(&text[at..end], worker, out);
            } else {
                self.merge_chunk(text, (at, end), worker, out);
            }
        };
        unsafe { self.cuts.chunks(text, piece, chunk) };
    }

    /// Appends the tokens of a part of a piece that no token leaves.
    #[inline(always)]
    fn merge_chunk(
        &self,
        text: &[u8],
        (at, end): (usize, usize),
        worker: &mut Worker,
        out: &mut Vec<u32>,
    ) {
        let chunk = &text[at..end];
        if chunk.len() > LONGEST {
            return self.merge(chunk, worker, out);
        }
        let key = unsafe { Key::new(text, at, chunk.len()) };
        if worker.merged.get(key, out) {
            return;
        }
        let before = out.len();
        self.merge(chunk, worker, out);
        worker.merged.put(key, &out[before..]);
    }

    /// Appends the tokens that bytes merge into, all of which are tokens themselves.
    pub(super) fn merge(&self, piece: &[u8], worker: &mut Worker, out: &mut Vec<u32>) {
        if self.vocabulary.regular && few::is_best_for(piece) {
            self.pairs.merge(&self.vocabulary, piece, out);
            return;
        }
        let base = |at: usize| (self.byte_tokens[piece[at] as usize], 1);
        worker.merge(&self.vocabulary, piece, base);
        out.extend_from_slice(&worker.tokens);
    }
}
