//! Encodings of short pieces that were met before, in a table that forgets: of the pieces of one hash
//! it keeps the last two, side by side.

use super::ahead::ask;
use super::hash::hash_short;
use super::window::Window;
use alloc::vec;
use alloc::vec::Vec;

/// Longest piece that is kept.
pub const LONGEST: usize = 15;
/// Ids that stand in a slot; more stand in one list of all.
const MOST: usize = 3;
/// Numbers that are written for a piece whose ids stand in a slot, at most that many of them ids.
pub const SLOT_IDS: usize = MOST + 1;
/// When the list is this long, everything is forgotten.
const LONGEST_LIST: usize = 1 << 17;

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

/// Slots of one hash.
const PLACES: usize = 2;

const EMPTY: Slot = Slot {
    low: 0,
    high: 0,
    ids: [0; MOST],
    count: 0,
};

const K3: u64 = 0xa076_1d64_78bd_642f;

/// A piece as two numbers.
#[derive(Clone, Copy)]
pub struct Key {
    low: u64,
    high: u64,
}

/// What is kept of sixteen bytes for each length.
pub static MASKS: [u128; LONGEST + 1] = masks();

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

    /// What stands for a piece that is too long; it is that of no piece.
    pub const LONG: Key = Key {
        low: 0,
        high: u64::MAX,
    };

    /// Its hash, which is [`hash_short`] where the piece is short enough for that.
    #[inline(always)]
    pub fn hash(self) -> u64 {
        let beyond = (self.high << 8 >> 40).wrapping_mul(K3);
        hash_short(self.low ^ beyond, self.high as u32)
    }

    /// The piece as in a table of pieces: its first eight bytes, the next four, and its length.
    #[inline(always)]
    pub fn parts(self) -> (u64, u32, u32) {
        (self.low, self.high as u32, (self.high >> 56) as u32)
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
        let slots = slots.next_power_of_two().max(4);
        Cache {
            slots: vec![EMPTY; slots],
            shift: 64 - slots.trailing_zeros() + PLACES.trailing_zeros(),
            list: Vec::new(),
        }
    }

    /// The first slot of a hash.
    #[inline(always)]
    fn place(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize * PLACES
    }

    /// Asks for the memory that a piece of this hash would stand in, unless that is not wanted.
    #[inline(always)]
    pub fn ask_unless(&self, hash: u64, unwanted: bool) {
        // Asking for what is near costs less than a branch that cannot be predicted.
        let place = if unwanted { 0 } else { self.place(hash) };
        unsafe { ask(self.slots.as_ptr().add(place)) };
    }

    /// Appends the ids of a piece, if they are known.
    #[inline(always)]
    pub fn get(&self, key: Key, out: &mut Vec<u32>) -> bool {
        let place = self.place(key.hash());
        let second = unsafe { self.slots.get_unchecked(place + 1) };
        // Which of the two it is cannot be predicted, so that is no branch.
        let place = place + (second.low == key.low && second.high == key.high) as usize;
        let slot = unsafe { self.slots.get_unchecked(place) };
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

    /// Writes the ids of a piece of `len` bytes in a window to `to` and gives their number; 0 if they
    /// are not known, or so many that they stand in the list.
    ///
    /// # Safety
    /// The hash is the piece's, and there is room for [`SLOT_IDS`] numbers.
    #[inline(always)]
    pub unsafe fn copy(&self, (piece, len): (Window, usize), hash: u64, to: *mut u32) -> usize {
        unsafe {
            let place = self.slots.as_ptr().add(self.place(hash));
            for slot in [place, place.add(1)] {
                let (low, high) = Window::load(slot.cast()).differences(piece);
                if low | (high ^ (len as u64) << 56) == 0 {
                    let ids = Window::load((&raw const (*slot).ids).cast());
                    ids.store(to.cast());
                    let count = (ids.halves().1 >> 32) as usize;
                    return if count > MOST { 0 } else { count };
                }
            }
            0
        }
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
        let place = self.place(key.hash());
        self.slots[place + 1] = self.slots[place];
        self.slots[place] = Slot {
            low: key.low,
            high: key.high,
            ids: kept,
            count,
        };
    }
}
