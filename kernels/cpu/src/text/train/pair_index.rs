//! A map from a pair of symbols to its number.

use super::byte_table::mix;
use alloc::vec::Vec;

const FREE: u64 = u64::MAX;

/// Open addressing over 64-bit keys (left symbol, right symbol).
pub struct PairIndex {
    keys: Vec<u64>,
    values: Vec<u32>,
    used: usize,
}

impl PairIndex {
    /// An empty map.
    pub fn new() -> PairIndex {
        PairIndex {
            keys: alloc::vec![FREE; 1024],
            values: alloc::vec![0; 1024],
            used: 0,
        }
    }

    /// The number of a pair, entered as `new` if it was absent.
    pub fn get_or_insert(&mut self, left: u32, right: u32, new: u32) -> u32 {
        let key = key(left, right);
        let slot = self.slot(key);
        if self.keys[slot] == key {
            return self.values[slot];
        }
        self.keys[slot] = key;
        self.values[slot] = new;
        self.used += 1;
        if self.used * 2 > self.keys.len() {
            self.grow();
        }
        new
    }

    /// The number of a pair, if it is there.
    pub fn get(&self, left: u32, right: u32) -> Option<u32> {
        let key = key(left, right);
        let slot = self.slot(key);
        (self.keys[slot] == key).then(|| self.values[slot])
    }

    fn slot(&self, key: u64) -> usize {
        let mask = self.keys.len() - 1;
        let mut slot = mix(key) as usize & mask;
        while self.keys[slot] != FREE && self.keys[slot] != key {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        let length = self.keys.len() * 2;
        let keys = core::mem::replace(&mut self.keys, alloc::vec![FREE; length]);
        let values = core::mem::replace(&mut self.values, alloc::vec![0; length]);
        for (key, value) in keys.into_iter().zip(values) {
            if key != FREE {
                let slot = self.slot(key);
                self.keys[slot] = key;
                self.values[slot] = value;
            }
        }
    }
}

fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}
