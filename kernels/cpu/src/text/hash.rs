//! Hash tables over pieces of text.

use super::ahead::ask;
use super::cache::Key;
use super::window::Window;
use alloc::vec;
use alloc::vec::Vec;

/// No token.
pub const NONE: u32 = u32::MAX;

/// Pieces up to this length stand in their slot.
pub const INLINE: usize = 12;

/// More probes than this come from pieces chosen to collide.
pub(super) const LONGEST_PROBE: usize = 4096;

const K1: u64 = 0x9e37_79b9_7f4a_7c15;
const K2: u64 = 0xd6e8_feb8_6659_fd93;

static MASK_LOW: [u64; INLINE + 1] = masks_low();
static MASK_HIGH: [u32; INLINE + 1] = masks_high();

const fn masks_low() -> [u64; INLINE + 1] {
    let mut table = [u64::MAX; INLINE + 1];
    let mut i = 0;
    while i < 8 {
        table[i] = (1 << (8 * i)) - 1;
        i += 1;
    }
    table
}

const fn masks_high() -> [u32; INLINE + 1] {
    let mut table = [0; INLINE + 1];
    let mut i = 9;
    while i <= INLINE {
        table[i] = if i == INLINE {
            u32::MAX
        } else {
            (1 << (8 * (i - 8))) - 1
        };
        i += 1;
    }
    table
}

/// The bytes of a short piece as two numbers, zero beyond its length.
///
/// # Safety
/// `at + len <= text.len()` and `len <= INLINE`.
#[inline(always)]
pub unsafe fn short_key(text: &[u8], at: usize, len: usize) -> (u64, u32) {
    unsafe {
        let start = text.as_ptr().add(at);
        if at + INLINE <= text.len() {
            let low = u64::from_le(start.cast::<u64>().read_unaligned());
            let high = u32::from_le(start.add(8).cast::<u32>().read_unaligned());
            return (low & MASK_LOW[len], high & MASK_HIGH[len]);
        }
        let mut copy = [0u8; 16];
        core::ptr::copy_nonoverlapping(start, copy.as_mut_ptr(), len);
        let low = u64::from_le_bytes([
            copy[0], copy[1], copy[2], copy[3], copy[4], copy[5], copy[6], copy[7],
        ]);
        (
            low,
            u32::from_le_bytes([copy[8], copy[9], copy[10], copy[11]]),
        )
    }
}

/// Hash of a short key; the top bits are the good ones.
#[inline(always)]
pub fn hash_short(low: u64, high: u32) -> u64 {
    (low ^ (high as u64).wrapping_mul(K1).rotate_left(29)).wrapping_mul(K2)
}

/// Hash of two numbers; the top bits are the good ones.
#[inline(always)]
pub fn hash_pair(left: u32, right: u32) -> u64 {
    let mixed = ((left as u64) << 32 | right as u64).wrapping_mul(K1);
    (mixed ^ mixed >> 29).wrapping_mul(K2)
}

/// Hash of a piece of more than [`INLINE`] bytes; the last eight may overlap those before.
fn hash_long(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, word: &[u8; 8]| {
        (hash ^ u64::from_le_bytes(*word))
            .wrapping_mul(K2)
            .rotate_left(23)
    };
    let hash = bytes.as_chunks().0.iter().fold(bytes.len() as u64, mix);
    let hash = bytes.last_chunk().map_or(hash, |last| mix(hash, last));
    hash.wrapping_mul(K1)
}

/// A long piece in the table: its token, and four bits of its hash that tell most others apart.
#[inline(always)]
fn long_entry(hash: u64, token: u32) -> u32 {
    (hash >> 20) as u32 & TAG | token
}

/// Where an entry has bits of a hash.
const TAG: u32 = 0xf000_0000;

/// Size of a table for `count` entries at most half full, and the shift that makes a slot of a hash.
fn table_size(count: usize) -> (usize, u32) {
    let size = (count * 2).max(8).next_power_of_two();
    (size, 64 - size.trailing_zeros())
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Slot {
    low: u64,
    high: u32,
    /// Length in the top four bits, token below; 0 is empty.
    entry: u32,
}

/// Finds a token by its bytes.
pub struct PieceTable {
    short: Vec<Slot>,
    short_shift: u32,
    long: Vec<u32>,
    long_shift: u32,
    longest: usize,
}

impl PieceTable {
    /// A table with room for so many pieces of up to, and of more than, [`INLINE`] bytes.
    pub fn new(short: usize, long: usize) -> PieceTable {
        let (short_size, short_shift) = table_size(short);
        let (long_size, long_shift) = table_size(long);
        PieceTable {
            short: vec![
                Slot {
                    low: 0,
                    high: 0,
                    entry: 0
                };
                short_size
            ],
            short_shift,
            long: vec![NONE; long_size],
            long_shift,
            longest: 0,
        }
    }

    /// Length of the longest piece in bytes.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Adds a piece; gives the token that has these bytes already, if there is one.
    pub fn insert(&mut self, texts: &Texts, token: u32) -> Result<Option<u32>, &'static str> {
        let bytes = texts.get(token);
        self.longest = self.longest.max(bytes.len());
        if bytes.len() > INLINE {
            return self.insert_long(texts, token);
        }
        let (low, high) = unsafe { short_key(&texts.bytes, texts.start(token), bytes.len()) };
        let mask = self.short.len() - 1;
        let first = (hash_short(low, high) >> self.short_shift) as usize;
        for probe in 0..LONGEST_PROBE {
            let found = &mut self.short[(first + probe) & mask];
            if found.entry == 0 {
                *found = Slot {
                    low,
                    high,
                    entry: (bytes.len() as u32) << 28 | token,
                };
                return Ok(None);
            }
            if found.low == low && found.high == high && found.entry >> 28 == bytes.len() as u32 {
                return Ok(Some(found.entry & 0x0fff_ffff));
            }
        }
        Err("the pieces are chosen to collide")
    }

    fn insert_long(&mut self, texts: &Texts, token: u32) -> Result<Option<u32>, &'static str> {
        let bytes = texts.get(token);
        let mask = self.long.len() - 1;
        let hash = hash_long(bytes);
        let entry = long_entry(hash, token);
        let first = (hash >> self.long_shift) as usize;
        for probe in 0..LONGEST_PROBE {
            let slot = (first + probe) & mask;
            let found = self.long[slot];
            if found == NONE {
                self.long[slot] = entry;
                return Ok(None);
            }
            if (found ^ entry) & TAG == 0 && texts.get(found & !TAG) == bytes {
                return Ok(Some(found & !TAG));
            }
        }
        Err("the pieces are chosen to collide")
    }

    /// The token of `text[at .. at + len]`, or [`NONE`].
    #[inline(always)]
    pub fn find(&self, texts: &Texts, text: &[u8], at: usize, len: usize) -> u32 {
        if len > INLINE {
            return self.find_long(texts, &text[at..at + len]);
        }
        debug_assert!(at + len <= text.len());
        let (low, high) = unsafe { short_key(text, at, len) };
        let mask = self.short.len() - 1;
        let mut slot = (hash_short(low, high) >> self.short_shift) as usize;
        loop {
            let found = unsafe { self.short.get_unchecked(slot & mask) };
            if found.low == low && found.high == high && found.entry >> 28 == len as u32 {
                return found.entry & 0x0fff_ffff;
            }
            if found.entry == 0 {
                return NONE;
            }
            slot += 1;
        }
    }

    /// Asks for the memory that a piece of this hash would stand in.
    #[inline(always)]
    pub fn ask(&self, hash: u64) {
        unsafe { ask(self.short.as_ptr().add((hash >> self.short_shift) as usize)) };
    }

    /// Asks for the memory that `text[at .. at + len]` would stand in, if that is short.
    #[inline(always)]
    pub fn ask_for(&self, text: &[u8], at: usize, len: usize) {
        if len <= INLINE {
            debug_assert!(at + len <= text.len());
            let (low, high) = unsafe { short_key(text, at, len) };
            self.ask(hash_short(low, high));
        }
    }

    /// The token of a short piece if it stands in the first place of its hash, else [`NONE`].
    #[inline(always)]
    pub fn at_first_place(&self, key: Key, hash: u64) -> u32 {
        let (low, high, len) = key.parts();
        let slot = (hash >> self.short_shift) as usize;
        let found = unsafe { self.short.get_unchecked(slot) };
        let same = (found.low == low) & (found.high == high) & (found.entry >> 28 == len);
        if same {
            found.entry & 0x0fff_ffff
        } else {
            NONE
        }
    }

    /// The same for a piece of `len` bytes, at most [`INLINE`], in a window.
    #[inline(always)]
    pub fn at_first_place_of(&self, (piece, len): (Window, usize), hash: u64) -> u32 {
        const LENGTH: u64 = 0xf000_0000_ffff_ffff;
        debug_assert!(len <= INLINE);
        unsafe {
            let slot = (hash >> self.short_shift) as usize;
            let found = Window::load(self.short.as_ptr().add(slot).cast());
            let (low, high) = found.differences(piece);
            let entry = high ^ (len as u64) << 60;
            if low | (entry & LENGTH) == 0 {
                (entry >> 32) as u32
            } else {
                NONE
            }
        }
    }

    fn find_long(&self, texts: &Texts, bytes: &[u8]) -> u32 {
        if bytes.len() > self.longest {
            return NONE;
        }
        let mask = self.long.len() - 1;
        let hash = hash_long(bytes);
        let wanted = long_entry(hash, 0);
        let mut slot = (hash >> self.long_shift) as usize;
        loop {
            let found = self.long[slot & mask];
            if found == NONE {
                return NONE;
            }
            if found & TAG == wanted && texts.get(found & !TAG) == bytes {
                return found & !TAG;
            }
            slot += 1;
        }
    }
}

/// The bytes of all tokens.
#[derive(Default)]
pub struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Texts {
    /// Bytes of a token.
    #[inline(always)]
    pub fn get(&self, token: u32) -> &[u8] {
        &self.bytes[self.start(token)..self.ends[token as usize] as usize]
    }

    /// Where a token's bytes begin among those of all.
    #[inline(always)]
    fn start(&self, token: u32) -> usize {
        if token == 0 {
            0
        } else {
            self.ends[token as usize - 1] as usize
        }
    }

    /// Texts from their bytes and ends, which must not go back nor beyond the bytes.
    pub fn new(bytes: Vec<u8>, ends: Vec<u32>) -> Texts {
        debug_assert!(ends.last().is_none_or(|&end| end as usize <= bytes.len()));
        Texts { bytes, ends }
    }

    /// Adds the next token.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len() as u32);
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}
