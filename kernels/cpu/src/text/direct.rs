//! Pieces encoded one after another as they are found, where memory cannot be asked for ahead.
//!
//! In WebAssembly every access to memory is checked against the memory's size, which is read anew each
//! time: words that are tokens, which most pieces are, are found, looked up and written with few
//! accesses, sixteen bytes at a time and without the list of ids being looked at.

use super::bytes::ByteLevel;
use super::cache::{Cache, Key, LONGEST, SLOT_IDS};
use super::hash::{INLINE, NONE};
use super::window::Window;
use super::words::{Beginnings, WINDOW};
use super::worker::Worker;
use alloc::vec::Vec;

/// Bytes of text for whose ids room is made at a time; none gives more than one.
const STRETCH: usize = 256;

/// Where words whose ids are known end.
struct Stop {
    at: usize,
    /// Length of the word there, 0 if it is none; nothing if only the stretch ends.
    word: Option<usize>,
}

impl ByteLevel {
    /// The same as [`ByteLevel::encode`].
    ///
    /// # Safety
    /// `text` must be well-formed UTF-8.
    pub(super) unsafe fn encode_directly(
        &self,
        text: &[u8],
        last: bool,
        worker: &mut Worker,
        out: &mut Vec<u32>,
    ) -> usize {
        let beginnings = self.splitter.beginnings();
        let mut at = 0;
        loop {
            let stop = unsafe { self.known_words((text, at), beginnings, &worker.cache, out) };
            at = stop.at;
            if at >= text.len() {
                return at;
            }
            let Some(word) = stop.word else {
                continue;
            };
            let mut open = false;
            let mut end = at + word;
            if word == 0 {
                end = unsafe { self.splitter.next(text, at, &mut open) };
                if open && !last {
                    return at;
                }
            }
            let key = if end - at <= LONGEST {
                unsafe { Key::new(text, at, end - at) }
            } else {
                Key::LONG
            };
            let token = if word == 0 {
                self.whole.at_first_place(key, key.hash())
            } else {
                NONE
            };
            if token != NONE {
                out.push(token);
            } else if !worker.cache.get(key, out) {
                self.encode_new(text, (at, end, key), worker, out);
            }
            at = end;
        }
    }

    /// Appends the ids of words of ASCII letters for as long as they are tokens or were met before.
    #[inline(always)]
    unsafe fn known_words(
        &self,
        (text, mut at): (&[u8], usize),
        beginnings: &Beginnings,
        met: &Cache,
        out: &mut Vec<u32>,
    ) -> Stop {
        unsafe {
            out.reserve(STRETCH + WINDOW + SLOT_IDS);
            let first = out.as_mut_ptr().add(out.len());
            let mut next = first;
            let windows = text.len().saturating_sub(WINDOW - 1);
            let stretch = windows.min(at + STRETCH);
            let mut word = (at >= windows).then_some(0);
            while at < stretch {
                let window = Window::load(text.as_ptr().add(at));
                let len = window.word(beginnings);
                if len == 0 || len > INLINE {
                    word = Some(len);
                    break;
                }
                let piece = window.first(len);
                let hash = piece.hash();
                let token = self.whole.at_first_place_of((piece, len), hash);
                if token != NONE {
                    *next = token;
                    next = next.add(1);
                } else {
                    let count = met.copy((piece, len), hash, next);
                    if count == 0 {
                        word = Some(len);
                        break;
                    }
                    next = next.add(count);
                }
                at += len;
            }
            out.set_len(out.len() + next.offset_from_unsigned(first));
            Stop { at, word }
        }
    }
}
