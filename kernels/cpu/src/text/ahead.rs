//! Pieces that are found before any of them is encoded.
//!
//! The tables of a vocabulary are larger than the caches near the processor, so that a piece looked
//! up as soon as it is found waits for memory, and all that follows waits with it. Here many pieces
//! are found first, and the places where they may stand are asked for; when the last is found, most
//! of what is known of the first has arrived.

use super::cache::{Cache, Key, LONGEST};
use super::hash::{NONE, PieceTable};

/// How many pieces are found ahead: one at a time where memory cannot be asked for, since to find more
/// gains nothing there.
pub const AHEAD: usize = if cfg!(target_arch = "x86_64") { 64 } else { 1 };

/// Pieces of a text, one behind another.
pub struct Ahead {
    count: usize,
    /// Where each begins, and where the last ends.
    starts: [usize; AHEAD + 1],
    keys: [Key; AHEAD],
    hashes: [u64; AHEAD],
    /// The token that each is, [`NONE`] if that is not known yet.
    tokens: [u32; AHEAD],
}

/// A piece found ahead.
#[derive(Clone, Copy)]
pub struct Found {
    /// First byte.
    pub start: usize,
    /// First byte behind it.
    pub end: usize,
    /// The token that it is, [`NONE`] if that is not known yet.
    pub token: u32,
    /// Its bytes, if it is short.
    pub key: Key,
}

impl Ahead {
    /// No pieces, where a text goes on at `at`.
    pub fn new(at: usize) -> Ahead {
        Ahead {
            count: 0,
            starts: [at; AHEAD + 1],
            keys: [Key::LONG; AHEAD],
            hashes: [0; AHEAD],
            tokens: [NONE; AHEAD],
        }
    }

    /// Starts again behind the last piece.
    pub fn restart(&mut self) {
        self.starts[0] = self.end();
        self.count = 0;
    }

    /// Whether there is no room for another piece.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.count == AHEAD
    }

    /// Where the last piece ends.
    #[inline(always)]
    pub fn end(&self) -> usize {
        self.starts[self.count]
    }

    /// Takes the next piece in, and asks for its place in the table of tokens.
    ///
    /// # Safety
    /// There is room, the last piece ends before `end`, and that is at most the length of the text.
    #[inline(always)]
    pub unsafe fn push(&mut self, text: &[u8], end: usize, whole: &PieceTable) {
        unsafe {
            let i = self.count;
            let start = *self.starts.get_unchecked(i);
            let len = end - start;
            let key = if len <= LONGEST {
                Key::new(text, start, len)
            } else {
                Key::LONG
            };
            let hash = key.hash();
            whole.ask(hash);
            *self.starts.get_unchecked_mut(i + 1) = end;
            *self.keys.get_unchecked_mut(i) = key;
            *self.hashes.get_unchecked_mut(i) = hash;
            self.count = i + 1;
        }
    }

    /// Looks all pieces up; of those that are not found at once asks for their places among the words
    /// that were met before.
    #[inline(always)]
    pub fn look_up(&mut self, whole: &PieceTable, met: &Cache) {
        for i in 0..self.count {
            let (key, hash) = (self.keys[i], self.hashes[i]);
            let token = whole.at_first_place(key, hash);
            self.tokens[i] = token;
            met.ask_unless(hash, token != NONE);
        }
    }

    /// The pieces.
    #[inline(always)]
    pub fn pieces(&self) -> impl Iterator<Item = Found> + '_ {
        (0..self.count).map(|i| Found {
            start: self.starts[i],
            end: self.starts[i + 1],
            token: self.tokens[i],
            key: self.keys[i],
        })
    }
}

/// Asks for the memory around an address, without waiting for it; in WebAssembly nothing can.
///
/// # Safety
/// The address must be one that may be read.
#[inline(always)]
pub unsafe fn ask<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch(address.cast(), _MM_HINT_T0)
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
