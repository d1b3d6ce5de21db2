//! Encodings of short pieces that were met before, in a table that forgets.

use super::hash::hash_short;
use alloc::vec;
use alloc::vec::Vec;

/// Longest piece that is kept.
pub const LONGEST: usize = 15;
/// Ids that stand in a slot; more stand in one list of all.
const MOST: usize = 3;
/// When the list is this long, everything is forgotten.
const LONGEST_LIST: usize = 1 << 15;

#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Slot {
    low: u64,
    /// The upper bytes; the topmost is the length, so that no key is zero.
    high: u64,
    /// The ids, or the place of the first in the list.
    ids: [u32; MOST],
    count: u32,
}

const EMPTY: Slot = Slot {
    low: 0,
    high: 0,
    ids: [0; MOST],
    count: 0,
};

/// A piece as two numbers.
#[derive(Clone, Copy)]
pub struct Key {
    low: u64,
    high: u64,
}

static MASKS: [u128; LONGEST + 1] = masks();

const fn masks() -> [u128; LONGEST + 1] {
    let mut table = [0; LONGEST + 1];
    let mut i = 1;
    while i <= LONGEST {
        table[i] = (1 << (8 * i)) - 1;
        i += 1;
    }
    table
}

impl Key {
    /// The key of `text[at .. at + len]`.
    ///
    /// # Safety
    /// `at + len <= text.len()` and `0 < len <= LONGEST`.
    #[inline(always)]
    pub unsafe fn new(text: &[u8], at: usize, len: usize) -> Key {
        let word = unsafe {
            let start = text.as_ptr().add(at);
            if at + 16 <= text.len() {
                u128::from_le(start.cast::<u128>().read_unaligned())
            } else {
                let mut copy = [0u8; 16];
                core::ptr::copy_nonoverlapping(start, copy.as_mut_ptr(), len);
                u128::from_le_bytes(copy)
            }
        };
        let kept = word & MASKS[len];
        Key {
            low: kept as u64,
            high: (kept >> 64) as u64 | (len as u64) << 56,
        }
    }

    #[inline(always)]
    fn hash(self) -> u64 {
        hash_short(self.low ^ self.high.rotate_left(21), self.high as u32)
    }
}

/// The table.
pub struct Cache {
    slots: Vec<Slot>,
    shift: u32,
    list: Vec<u32>,
}

impl Cache {
    /// A table of so many slots.
    pub fn new(slots: usize) -> Cache {
        let slots = slots.next_power_of_two().max(2);
        Cache {
            slots: vec![EMPTY; slots],
            shift: 64 - slots.trailing_zeros(),
            list: Vec::new(),
        }
    }

    #[inline(always)]
    fn place(&self, key: Key) -> usize {
        (key.hash() >> self.shift) as usize
    }

    /// Appends the ids of a piece, if they are known.
    #[inline(always)]
    pub fn get(&self, key: Key, out: &mut Vec<u32>) -> bool {
        let slot = unsafe { self.slots.get_unchecked(self.place(key)) };
        if slot.low != key.low || slot.high != key.high {
            return false;
        }
        let count = slot.count as usize;
        if count > MOST {
            let start = slot.ids[0] as usize;
            out.extend_from_slice(&self.list[start..start + count]);
            return true;
        }
        out.reserve(MOST);
        // All are written, whatever their number is: that costs less than a choice.
        unsafe {
            let end = out.as_mut_ptr().add(out.len()).cast::<[u32; MOST]>();
            end.write_unaligned(slot.ids);
            out.set_len(out.len() + count);
        }
        true
    }

    /// Keeps the ids of a piece.
    #[inline]
    pub fn put(&mut self, key: Key, ids: &[u32]) {
        let mut kept = [0; MOST];
        if ids.len() <= MOST {
            kept[..ids.len()].copy_from_slice(ids);
        } else {
            if self.list.len() + ids.len() > LONGEST_LIST {
                self.list.clear();
                self.slots.fill(EMPTY);
            }
            kept[0] = self.list.len() as u32;
            self.list.extend_from_slice(ids);
        }
        let count = ids.len() as u32;
        let place = self.place(key);
        self.slots[place] = Slot {
            low: key.low,
            high: key.high,
            ids: kept,
            count,
        };
    }
}
