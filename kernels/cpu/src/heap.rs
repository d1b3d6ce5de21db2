//! The allocator of the WebAssembly build: two-level segregated fit over memory that only grows.
//!
//! Every block has a header; free blocks also hold the links of the list of their size class.
//! Neighbours that are free are merged at once, so two free blocks never touch. Taking and giving
//! back need a fixed number of steps (Masmano et al. 2004, "TLSF: a new dynamic memory allocator for
//! real-time systems"), except that a request which no larger class can serve searches its own.

use core::ptr::null_mut;

/// Sizes and addresses of payloads are multiples of this.
const GRAIN: usize = 16;
const HEADER: usize = 16;
const SMALLEST: usize = 16;
/// Size classes: each power of two is cut into `1 << STEP_BITS` steps; below `STEPS * GRAIN` linear.
const STEP_BITS: u32 = 4;
const STEPS: usize = 1 << STEP_BITS;
const LEVELS: usize = 36;
const USED: usize = 1;

#[repr(C)]
struct Block {
    /// Bytes of payload; bit 0 says that it is in use.
    size_and_use: usize,
    /// The block that ends where this one starts, or null.
    before: *mut Block,
    /// Links in the list of free blocks; payload while in use.
    next_free: *mut Block,
    previous_free: *mut Block,
}

/// Where a heap gets its memory: zeroed ranges at ascending addresses.
pub trait Source {
    /// At least `bytes` more, as (start, end), both multiples of 16; `None` when there is no more.
    fn grow(&mut self, bytes: usize) -> Option<(usize, usize)>;
}

/// A heap over one source. It is not synchronized.
pub struct Heap<S: Source> {
    source: S,
    levels: u64,
    steps: [u32; LEVELS],
    lists: [[*mut Block; STEPS]; LEVELS],
    /// The used, empty block at the end of the last range, which merging stops at.
    sentinel: *mut Block,
    /// No payload at or above this address has ever been handed out, so it is zero there.
    untouched: usize,
}

impl Block {
    unsafe fn size(block: *mut Block) -> usize {
        unsafe { (*block).size_and_use & !USED }
    }

    unsafe fn is_free(block: *mut Block) -> bool {
        unsafe { (*block).size_and_use & USED == 0 }
    }

    fn payload(block: *mut Block) -> usize {
        block as usize + HEADER
    }

    unsafe fn after(block: *mut Block) -> *mut Block {
        unsafe { (Block::payload(block) + Block::size(block)) as *mut Block }
    }

    fn of_payload(payload: usize) -> *mut Block {
        (payload - HEADER) as *mut Block
    }
}

/// The class that holds free blocks of this size.
fn class(size: usize) -> (usize, usize) {
    if size < STEPS * GRAIN {
        return (0, size / GRAIN);
    }
    let log = usize::BITS - 1 - size.leading_zeros();
    let level = (log - STEP_BITS - GRAIN.trailing_zeros() + 1) as usize;
    (level, (size >> (log - STEP_BITS)) & (STEPS - 1))
}

/// The first class all of whose blocks are at least this large.
fn class_at_least(size: usize) -> (usize, usize) {
    if size < STEPS * GRAIN {
        return class(size);
    }
    let log = usize::BITS - 1 - size.leading_zeros();
    class(size.saturating_add((1 << (log - STEP_BITS)) - 1))
}

impl<S: Source> Heap<S> {
    /// An empty heap; it grows when first used.
    pub const fn new(source: S) -> Heap<S> {
        Heap {
            source,
            levels: 0,
            steps: [0; LEVELS],
            lists: [[null_mut(); STEPS]; LEVELS],
            sentinel: null_mut(),
            untouched: 0,
        }
    }

    /// `size` bytes at a multiple of `align` (a power of two), zeroed on demand; null when there is
    /// no memory left.
    ///
    /// # Safety
    /// No other thread may be inside this heap.
    pub unsafe fn allocate(&mut self, size: usize, align: usize, zeroed: bool) -> *mut u8 {
        let Some(need) = size.max(SMALLEST).checked_next_multiple_of(GRAIN) else {
            return null_mut();
        };
        let spare = if align > GRAIN {
            align + HEADER + SMALLEST
        } else {
            0
        };
        let Some(wanted) = need
            .checked_add(spare)
            .filter(|&w| w <= isize::MAX as usize)
        else {
            return null_mut();
        };
        unsafe {
            let Some(mut block) = self.take(wanted) else {
                return null_mut();
            };
            if align > GRAIN {
                block = self.split_front(block, align);
            }
            self.split_back(block, need);
            (*block).size_and_use |= USED;
            let payload = Block::payload(block);
            let end = payload + Block::size(block);
            if zeroed {
                let dirty = end.min(self.untouched).max(payload + SMALLEST) - payload;
                core::ptr::write_bytes(payload as *mut u8, 0, dirty);
            }
            self.untouched = self.untouched.max(end);
            payload as *mut u8
        }
    }

    /// Gives back what `allocate` gave.
    ///
    /// # Safety
    /// `payload` must come from `allocate` of this heap, once; no other thread may be inside it.
    pub unsafe fn free(&mut self, payload: *mut u8) {
        unsafe {
            let block = Block::of_payload(payload as usize);
            (*block).size_and_use &= !USED;
            self.merge_and_insert(block);
        }
    }

    /// Merges a free block that is in no list with its free neighbours and lists it.
    unsafe fn merge_and_insert(&mut self, mut block: *mut Block) {
        unsafe {
            let after = Block::after(block);
            if Block::is_free(after) {
                self.remove(after);
                self.absorb(block, after);
            }
            let before = (*block).before;
            if !before.is_null() && Block::is_free(before) {
                self.remove(before);
                self.absorb(before, block);
                block = before;
            }
            self.insert(block);
        }
    }

    /// Makes one block of two neighbours and wipes the second's header, which becomes payload.
    unsafe fn absorb(&mut self, block: *mut Block, after: *mut Block) {
        unsafe {
            (*block).size_and_use += HEADER + Block::size(after);
            core::ptr::write_bytes(after.cast::<u8>(), 0, size_of::<Block>());
            (*Block::after(block)).before = block;
        }
    }

    unsafe fn insert(&mut self, block: *mut Block) {
        unsafe {
            let (level, step) = class(Block::size(block));
            let head = self.lists[level][step];
            (*block).next_free = head;
            (*block).previous_free = null_mut();
            if !head.is_null() {
                (*head).previous_free = block;
            }
            self.lists[level][step] = block;
            self.levels |= 1 << level;
            self.steps[level] |= 1 << step;
        }
    }

    unsafe fn remove(&mut self, block: *mut Block) {
        unsafe {
            let (next, previous) = ((*block).next_free, (*block).previous_free);
            if !next.is_null() {
                (*next).previous_free = previous;
            }
            if !previous.is_null() {
                (*previous).next_free = next;
                return;
            }
            let (level, step) = class(Block::size(block));
            self.lists[level][step] = next;
            if next.is_null() {
                self.steps[level] &= !(1 << step);
                if self.steps[level] == 0 {
                    self.levels &= !(1 << level);
                }
            }
        }
    }

    /// A free block of at least `size` bytes, out of its list; grows the heap where there is none.
    unsafe fn take(&mut self, size: usize) -> Option<*mut Block> {
        unsafe {
            let block = match self.find(size) {
                Some(block) => block,
                None => {
                    self.grow(size)?;
                    self.find(size)?
                }
            };
            self.remove(block);
            Some(block)
        }
    }

    unsafe fn find(&self, size: usize) -> Option<*mut Block> {
        let (level, step) = class_at_least(size);
        let within = self.steps.get(level)? & (!0u32 << step);
        if within != 0 {
            return Some(self.lists[level][within.trailing_zeros() as usize]);
        }
        let above = self.levels & (!0u64).checked_shl(level as u32 + 1).unwrap_or(0);
        if above != 0 {
            let level = above.trailing_zeros() as usize;
            return Some(self.lists[level][self.steps[level].trailing_zeros() as usize]);
        }
        let (level, step) = class(size);
        let mut block = self.lists[level][step];
        unsafe {
            while !block.is_null() && Block::size(block) < size {
                block = (*block).next_free;
            }
        }
        (!block.is_null()).then_some(block)
    }

    unsafe fn grow(&mut self, size: usize) -> Option<()> {
        let (start, end) = self.source.grow(size.checked_add(3 * HEADER)?)?;
        unsafe {
            let connected = !self.sentinel.is_null() && Block::payload(self.sentinel) == start;
            let block = if connected {
                self.sentinel
            } else {
                start as *mut Block
            };
            if !connected {
                (*block).before = null_mut();
            }
            (*block).size_and_use = end - HEADER - Block::payload(block);
            self.sentinel = Block::after(block);
            (*self.sentinel).size_and_use = USED;
            (*self.sentinel).before = block;
            self.merge_and_insert(block);
        }
        Some(())
    }

    /// Cuts off the front so that the payload starts at a multiple of `align`; the front is listed.
    unsafe fn split_front(&mut self, block: *mut Block, align: usize) -> *mut Block {
        unsafe {
            let payload = Block::payload(block);
            let mut aligned = payload.next_multiple_of(align);
            if aligned == payload {
                return block;
            }
            if aligned - payload < HEADER + SMALLEST {
                aligned += align;
            }
            let end = payload + Block::size(block);
            let rest = Block::of_payload(aligned);
            (*rest).size_and_use = end - aligned;
            (*rest).before = block;
            (*Block::after(rest)).before = rest;
            (*block).size_and_use = rest as usize - payload;
            self.insert(block);
            rest
        }
    }

    /// Cuts off what is more than `need` where it is worth a block; the rest is listed.
    unsafe fn split_back(&mut self, block: *mut Block, need: usize) {
        unsafe {
            let size = Block::size(block);
            if size - need < HEADER + SMALLEST {
                return;
            }
            let rest = (Block::payload(block) + need) as *mut Block;
            (*rest).size_and_use = size - need - HEADER;
            (*rest).before = block;
            (*block).size_and_use = need;
            (*Block::after(rest)).before = rest;
            self.insert(rest);
        }
    }
}

#[cfg(test)]
#[path = "heap_tests.rs"]
mod tests;
