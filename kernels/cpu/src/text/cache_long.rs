//! Encodings of pieces of 16 to 32 bytes that were met before: words of scripts whose letters have two
//! or three bytes. Of the pieces of one hash the table keeps the last.

use alloc::vec;
use alloc::vec::Vec;

/// Longest piece that is kept.
pub const LONGEST: usize = 32;
/// Most ids that are kept.
const MOST: usize = 7;

const SLOTS: usize = 1 << 14;
const SHIFT: u32 = 64 - SLOTS.trailing_zeros();

const K1: u64 = 0x9e37_79b9_7f4a_7c15;
const K2: u64 = 0xd6e8_feb8_6659_fd93;
const K3: u64 = 0xa076_1d64_78bd_642f;

/// A piece: its first sixteen bytes and its last sixteen, which may overlap, and its length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LongKey {
    words: [u64; 4],
    len: u32,
}

impl LongKey {
    /// The key of a piece of 16 to [`LONGEST`] bytes; others have none.
    #[inline(always)]
    pub fn new(piece: &[u8]) -> Option<LongKey> {
        if piece.len() > LONGEST {
            return None;
        }
        let first = u128::from_le_bytes(*piece.first_chunk()?);
        let last = u128::from_le_bytes(*piece.last_chunk()?);
        let halves = |both: u128| [both as u64, (both >> 64) as u64];
        let ([a, b], [c, d]) = (halves(first), halves(last));
        Some(LongKey {
            words: [a, b, c, d],
            len: piece.len() as u32,
        })
    }

    #[inline(always)]
    fn hash(self) -> usize {
        let [a, b, c, d] = self.words;
        let left = (a ^ d.rotate_left(32)).wrapping_mul(K1);
        let right = (b ^ c.rotate_left(17) ^ self.len as u64).wrapping_mul(K3);
        let mixed = left ^ right.rotate_left(29);
        ((mixed ^ mixed >> 31).wrapping_mul(K2) >> SHIFT) as usize
    }
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Slot {
    words: [u64; 4],
    ids: [u32; MOST],
    /// Length of the piece, 0 in an empty slot, and number of ids.
    len: u16,
    count: u16,
}

const EMPTY: Slot = Slot {
    words: [0; 4],
    ids: [0; MOST],
    len: 0,
    count: 0,
};

/// The table; it takes memory when the first piece is kept.
#[derive(Default)]
pub struct LongCache {
    slots: Vec<Slot>,
}

impl LongCache {
    /// Appends the ids of a piece, if they are known.
    #[inline(always)]
    pub fn get(&self, key: LongKey, out: &mut Vec<u32>) -> bool {
        let Some(slot) = self.slots.get(key.hash()) else {
            return false;
        };
        if slot.words != key.words || slot.len as u32 != key.len {
            return false;
        }
        out.reserve(MOST);
        // All are written, whatever their number is: that costs less than a choice.
        unsafe {
            let to: *mut [u32; MOST] = out.as_mut_ptr().add(out.len()).cast();
            to.write_unaligned(slot.ids);
            out.set_len(out.len() + slot.count as usize);
        }
        true
    }

    /// Keeps the ids of a piece, unless there are too many.
    #[inline]
    pub fn put(&mut self, key: LongKey, ids: &[u32]) {
        if ids.len() > MOST {
            return;
        }
        if self.slots.is_empty() {
            self.slots = vec![EMPTY; SLOTS];
        }
        let mut kept = [0; MOST];
        kept[..ids.len()].copy_from_slice(ids);
        self.slots[key.hash()] = Slot {
            words: key.words,
            ids: kept,
            len: key.len as u16,
            count: ids.len() as u16,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_pieces_are_kept_for_these_pieces_alone() {
        let mut cache = LongCache::default();
        let text = [b'x'; 64];
        let mut ids = Vec::new();
        for len in 16..=LONGEST {
            let key = LongKey::new(&text[..len]).unwrap();
            assert!(!cache.get(key, &mut ids), "{len}");
            let kept: Vec<u32> = (0..len as u32 % 8).map(|i| 100 * len as u32 + i).collect();
            cache.put(key, &kept);
            assert!(cache.get(key, &mut ids), "{len}");
            assert_eq!(ids, kept);
            ids.clear();
            let mut other = text;
            other[len / 2] = b'y';
            let key = LongKey::new(&other[..len]).unwrap();
            assert!(!cache.get(key, &mut ids), "{len}");
        }
        assert!(LongKey::new(&text[..15]).is_none());
        assert!(LongKey::new(&text[..LONGEST + 1]).is_none());
        let key = LongKey::new(&text[16..36]).unwrap();
        cache.put(key, &[0; MOST + 1]);
        assert!(cache.get(key, &mut ids));
        assert_eq!(ids.len(), 20 % 8);
    }
}
