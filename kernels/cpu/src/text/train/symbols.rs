//! The symbols that merging works on: characters or bytes, and what was merged from them.

use alloc::vec::Vec;
use core::cmp::Ordering;

/// Every symbol's bytes and its length in initial symbols.
pub struct Symbols {
    bytes: Vec<u8>,
    /// End of a symbol's bytes; they start where the symbol before it ends.
    ends: Vec<usize>,
    lengths: Vec<u32>,
}

impl Symbols {
    /// None yet.
    pub fn new() -> Symbols {
        Symbols {
            bytes: Vec::new(),
            ends: Vec::new(),
            lengths: Vec::new(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Adds an initial symbol.
    pub fn add(&mut self, bytes: &[u8]) -> u32 {
        self.bytes.extend_from_slice(bytes);
        self.finish(1)
    }

    /// Adds the concatenation of two symbols.
    pub fn join(&mut self, left: u32, right: u32) -> u32 {
        for part in [left, right] {
            let (start, end) = self.range(part);
            self.bytes.extend_from_within(start..end);
        }
        self.finish(self.length(left) + self.length(right))
    }

    /// A symbol's bytes.
    pub fn bytes(&self, symbol: u32) -> &[u8] {
        let (start, end) = self.range(symbol);
        &self.bytes[start..end]
    }

    /// How many initial symbols it covers.
    pub fn length(&self, symbol: u32) -> u32 {
        self.lengths[symbol as usize]
    }

    /// The first eight bytes of a concatenation, in the order of byte strings.
    pub fn prefix(&self, left: u32, right: u32) -> u64 {
        let mut prefix = [0; 8];
        let bytes = self.bytes(left).iter().chain(self.bytes(right));
        for (place, &byte) in prefix.iter_mut().zip(bytes) {
            *place = byte;
        }
        u64::from_be_bytes(prefix)
    }

    /// Compares two concatenations as byte strings.
    pub fn compare(&self, a: (u32, u32), b: (u32, u32)) -> Ordering {
        let a = self.bytes(a.0).iter().chain(self.bytes(a.1));
        let b = self.bytes(b.0).iter().chain(self.bytes(b.1));
        a.cmp(b)
    }

    fn finish(&mut self, length: u32) -> u32 {
        self.ends.push(self.bytes.len());
        self.lengths.push(length);
        self.ends.len() as u32 - 1
    }

    fn range(&self, symbol: u32) -> (usize, usize) {
        let symbol = symbol as usize;
        let start = if symbol == 0 {
            0
        } else {
            self.ends[symbol - 1]
        };
        (start, self.ends[symbol])
    }
}
