//! Byte-level vocabularies in which not every byte is a token, as those trained without an alphabet
//! (huggingface/tokenizers, models/bpe/model.rs, `merge_word`).

use super::blob::{Blob, Flags, Head};
use super::bytes::ByteLevel;
use super::hash::NONE;
use super::worker::Worker;
use alloc::vec::Vec;
use core::iter::repeat_n;

/// What becomes of bytes that are no tokens.
pub struct MissingBytes {
    /// Whether there are any.
    pub any: bool,
    /// The token that they become; without one they are dropped before anything merges.
    unknown: u32,
    /// Whether neighbours become one.
    fuse: bool,
}

impl MissingBytes {
    /// The rule of a vocabulary with these tokens for bytes.
    pub fn new(blob: &Blob, byte_tokens: &[u32; 256]) -> MissingBytes {
        MissingBytes {
            any: byte_tokens.contains(&NONE),
            unknown: blob.head(Head::Unknown),
            fuse: blob.flag(Flags::FUSE_UNKNOWN),
        }
    }
}

impl ByteLevel {
    /// Encodes a piece in which bytes may be missing.
    pub(super) fn encode_known(&self, piece: &[u8], worker: &mut Worker, out: &mut Vec<u32>) {
        let known = |byte: u8| self.byte_tokens[byte as usize] != NONE;
        let MissingBytes { unknown, fuse, .. } = self.missing;
        if unknown == NONE {
            let rest: Vec<u8> = piece.iter().copied().filter(|&byte| known(byte)).collect();
            return self.merge(&rest, worker, out);
        }
        for run in piece.chunk_by(|&a, &b| known(a) == known(b)) {
            if known(run[0]) {
                self.merge(run, worker, out);
            } else {
                out.extend(repeat_n(unknown, if fuse { 1 } else { run.len() }));
            }
        }
    }
}
