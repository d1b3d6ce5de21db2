//! A table of distinct byte strings with a count each.

use alloc::vec::Vec;

/// Distinct byte strings in order of their first coming, each with a count.
pub struct ByteTable {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Index of an entry plus one; 0 is free. The length is a power of two.
    slots: Vec<u32>,
}

struct Entry {
    start: usize,
    length: u32,
    hash: u32,
    count: u64,
}

impl ByteTable {
    /// An empty table.
    pub fn new() -> ByteTable {
        ByteTable {
            bytes: Vec::new(),
            entries: Vec::new(),
            slots: alloc::vec![0; 1024],
        }
    }

    /// How many distinct strings it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The string with this index.
    pub fn key(&self, index: usize) -> &[u8] {
        let entry = &self.entries[index];
        &self.bytes[entry.start..entry.start + entry.length as usize]
    }

    /// The count of the string with this index.
    pub fn count(&self, index: usize) -> u64 {
        self.entries[index].count
    }

    /// The index of a string, if it is there.
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        let slot = self.slot(key, fold(hash(key)));
        match self.slots[slot] {
            0 => None,
            index => Some(index as usize - 1),
        }
    }

    /// Adds to the count of a string, which is entered if it is new; gives its index.
    pub fn add(&mut self, key: &[u8], count: u64) -> usize {
        let hash = fold(hash(key));
        let slot = self.slot(key, hash);
        if self.slots[slot] != 0 {
            let index = self.slots[slot] as usize - 1;
            self.entries[index].count += count;
            return index;
        }
        let index = self.entries.len();
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.entries.push(Entry {
            start,
            length: key.len() as u32,
            hash,
            count,
        });
        self.slots[slot] = index as u32 + 1;
        if self.entries.len() * 2 > self.slots.len() {
            self.grow();
        }
        index
    }

    /// Adds all counts of another table.
    pub fn add_all(&mut self, other: &ByteTable) {
        for index in 0..other.len() {
            self.add(other.key(index), other.count(index));
        }
    }

    fn slot(&self, key: &[u8], hash: u32) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let index = self.slots[slot];
            if index == 0 {
                return slot;
            }
            let entry = &self.entries[index as usize - 1];
            if entry.hash == hash && self.key(index as usize - 1) == key {
                return slot;
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let length = self.slots.len() * 2;
        self.slots = alloc::vec![0; length];
        for (index, entry) in self.entries.iter().enumerate() {
            let mut slot = entry.hash as usize & (length - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (length - 1);
            }
            self.slots[slot] = index as u32 + 1;
        }
    }
}

impl Default for ByteTable {
    fn default() -> ByteTable {
        ByteTable::new()
    }
}

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

fn hash(key: &[u8]) -> u64 {
    let mut state = key.len() as u64;
    let mut words = key.chunks_exact(8);
    for word in &mut words {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        state = mix(state ^ u64::from_le_bytes(bytes));
    }
    let mut bytes = [0; 8];
    bytes[..words.remainder().len()].copy_from_slice(words.remainder());
    mix(state ^ u64::from_le_bytes(bytes))
}

/// One round of multiplying and folding; used for pair keys too.
pub fn mix(x: u64) -> u64 {
    let product = u128::from(x ^ MULTIPLIER) * u128::from(MULTIPLIER ^ 0xa5a5_a5a5_0000_0001);
    (product as u64) ^ (product >> 64) as u64
}

fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_distinct_strings() {
        let mut table = ByteTable::new();
        for i in 0..10_000u32 {
            table.add(&(i % 3000).to_le_bytes(), 1);
        }
        assert_eq!(table.len(), 3000);
        let total: u64 = (0..table.len()).map(|i| table.count(i)).sum();
        assert_eq!(total, 10_000);
        assert_eq!(table.count(table.find(&0u32.to_le_bytes()).unwrap()), 4);
        assert_eq!(table.count(table.find(&2999u32.to_le_bytes()).unwrap()), 3);
        assert!(table.find(&3000u32.to_le_bytes()).is_none());
    }

    #[test]
    fn keeps_the_empty_string_and_trailing_zeros_apart() {
        let mut table = ByteTable::new();
        assert_ne!(table.add(b"", 1), table.add(b"\0", 1));
        assert_ne!(table.add(b"a", 1), table.add(b"a\0", 1));
    }
}
