//! Encodings of short pieces that were met before, in a table that forgets.

use super::hash::hash_short;
use alloc::vec;
use alloc::vec::Vec;

/// Longest piece that is kept.
pub const LONGEST: usize = 15;
/// Most ids that are kept of a piece.
pub const MOST: usize = 3;

const SLOTS: usize = 1 << 14;

#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Slot {
    low: u64,
    /// The upper bytes; the topmost is the length.
    high: u64,
    ids: [u32; MOST],
    count: u32,
}

/// A piece as two numbers.
#[derive(Clone, Copy)]
pub struct Key {
    low: u64,
    high: u64,
}

impl Key {
    /// The key of `text[at .. at + len]`.
    ///
    /// # Safety
    /// `at + len <= text.len()` and `0 < len <= LONGEST`.
    #[inline(always)]
    pub unsafe fn new(text: &[u8], at: usize, len: usize) -> Key {
        let tag = (len as u64) << 56;
        unsafe {
            let start = text.as_ptr().add(at);
            let word = if at + 16 <= text.len() {
                u128::from_le(start.cast::<u128>().read_unaligned())
            } else {
                let mut copy = [0u8; 16];
                core::ptr::copy_nonoverlapping(start, copy.as_mut_ptr(), len);
                u128::from_le_bytes(copy)
            };
            let kept = word & ((1u128 << (8 * len)) - 1);
            Key {
                low: kept as u64,
                high: (kept >> 64) as u64 | tag,
            }
        }
    }

    #[inline(always)]
    fn slot(self) -> usize {
        let high = (self.high ^ self.high >> 32) as u32;
        (hash_short(self.low ^ self.high.rotate_left(17), high) >> 50) as usize % SLOTS
    }
}

/// The table.
pub struct Cache {
    slots: Vec<Slot>,
}

impl Default for Cache {
    fn default() -> Self {
        Cache {
            slots: vec![
                Slot {
                    low: 0,
                    high: 0,
                    ids: [0; MOST],
                    count: 0
                };
                SLOTS
            ],
        }
    }
}

impl Cache {
    /// Appends the ids of a piece, if they are known.
    #[inline(always)]
    pub fn get(&self, key: Key, out: &mut Vec<u32>) -> bool {
        let slot = unsafe { self.slots.get_unchecked(key.slot()) };
        if slot.low != key.low || slot.high != key.high {
            return false;
        }
        out.extend_from_slice(&slot.ids[..(slot.count as usize).min(MOST)]);
        true
    }

    /// Keeps the ids of a piece, if they are few.
    #[inline]
    pub fn put(&mut self, key: Key, ids: &[u32]) {
        if ids.len() > MOST {
            return;
        }
        let slot = &mut self.slots[key.slot()];
        slot.low = key.low;
        slot.high = key.high;
        slot.ids[..ids.len()].copy_from_slice(ids);
        slot.count = ids.len() as u32;
    }
}
