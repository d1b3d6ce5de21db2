//! Characters and pairs of characters, looked up without hashing where they are common.

use super::hash::{NONE, hash_pair};
use alloc::vec;
use alloc::vec::Vec;

const PAGE: usize = 256;

/// A token for each character that has one.
pub struct CharTable {
    pages: Vec<u16>,
    tokens: Vec<u32>,
}

impl Default for CharTable {
    fn default() -> Self {
        // Page 0 of the tokens is the one of all characters without any.
        CharTable {
            pages: vec![0; 0x110000 / PAGE],
            tokens: vec![NONE; PAGE],
        }
    }
}

impl CharTable {
    /// The token of a code point, or [`NONE`].
    #[inline(always)]
    pub fn get(&self, code: u32) -> u32 {
        let Some(&page) = self.pages.get(code as usize / PAGE) else {
            return NONE;
        };
        unsafe {
            *self
                .tokens
                .get_unchecked(page as usize * PAGE + code as usize % PAGE)
        }
    }

    /// Gives a code point its token.
    pub fn set(&mut self, code: u32, token: u32) {
        let index = code as usize / PAGE;
        if index >= self.pages.len() {
            return;
        }
        if self.pages[index] == 0 {
            self.pages[index] = (self.tokens.len() / PAGE) as u16;
            self.tokens.resize(self.tokens.len() + PAGE, NONE);
        }
        self.tokens[self.pages[index] as usize * PAGE + code as usize % PAGE] = token;
    }
}

/// Pairs of neighbouring characters that stand somewhere inside a piece. Between the characters of
/// any other pair no merge can ever reach across, so that text may be cut there.
pub struct Joins {
    ascii: [u64; 256],
    slots: Vec<u64>,
    shift: u32,
    count: usize,
}

impl Default for Joins {
    fn default() -> Self {
        Joins {
            ascii: [0; 256],
            slots: vec![0; 1 << 10],
            shift: 64 - 10,
            count: 0,
        }
    }
}

impl Joins {
    /// Whether two ASCII characters stand side by side in a piece.
    #[inline(always)]
    pub fn has_ascii(&self, left: u8, right: u8) -> bool {
        let word = unsafe {
            self.ascii
                .get_unchecked((left as usize & 127) << 1 | (right as usize & 127) >> 6)
        };
        word >> (right & 63) & 1 != 0
    }

    /// Whether two characters, by their tokens, stand side by side in a piece.
    #[inline(always)]
    pub fn has(&self, left: u32, right: u32) -> bool {
        let key = key(left, right);
        let mask = self.slots.len() - 1;
        let mut slot = (hash_pair(left, right) >> self.shift) as usize;
        loop {
            let found = unsafe { *self.slots.get_unchecked(slot & mask) };
            if found == key {
                return true;
            }
            if found == 0 {
                return false;
            }
            slot += 1;
        }
    }

    /// Adds a pair of ASCII characters.
    pub fn add_ascii(&mut self, left: u8, right: u8) {
        self.ascii[(left as usize) << 1 | (right as usize) >> 6] |= 1 << (right & 63);
    }

    /// Adds a pair of characters by their tokens.
    pub fn add(&mut self, left: u32, right: u32) {
        if self.has(left, right) {
            return;
        }
        if self.count * 3 >= self.slots.len() {
            let doubled = vec![0; self.slots.len() * 2];
            let old = core::mem::replace(&mut self.slots, doubled);
            self.shift -= 1;
            for found in old.into_iter().filter(|&k| k != 0) {
                self.put(((found - 1) >> 32) as u32, (found - 1) as u32);
            }
        }
        self.put(left, right);
        self.count += 1;
    }

    fn put(&mut self, left: u32, right: u32) {
        let mask = self.slots.len() - 1;
        let mut slot = (hash_pair(left, right) >> self.shift) as usize;
        while self.slots[slot & mask] != 0 {
            slot += 1;
        }
        self.slots[slot & mask] = key(left, right);
    }
}

#[inline(always)]
fn key(left: u32, right: u32) -> u64 {
    ((left as u64) << 32 | right as u64) + 1
}
