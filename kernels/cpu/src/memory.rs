//! Blocks of zeroed, 64-byte aligned memory, large ones straight from the operating system.

use alloc::alloc::{Layout, alloc_zeroed, dealloc};

/// Alignment of every block: a cache line, and the widest vector.
const ALIGNMENT: usize = 64;
/// From this size on a block is a mapping of its own, in huge pages where the system has them.
#[cfg(unix)]
const MAPPED_FROM: usize = 1 << 21;

/// From this size on huge pages are worth a call to the operating system.
#[cfg(unix)]
const LARGE: usize = 1 << 22;

/// Asks for huge pages in memory that is about to be written for the first time: the system hands
/// small ones out in a fault each, which costs more than the writing.
pub fn prefer_huge_pages<T>(start: *mut T, count: usize) {
    #[cfg(unix)]
    if size_of::<T>() * count >= LARGE {
        let start: *mut u8 = start.cast();
        let skipped = start.align_offset(MAPPED_FROM);
        let whole = (size_of::<T>() * count - skipped) / MAPPED_FROM * MAPPED_FROM;
        crate::os::mapping::advise_huge_pages(start.wrapping_add(skipped), whole);
    }
    #[cfg(not(unix))]
    let _ = (start, count);
}

/// Owned memory; given back when dropped.
pub struct Block {
    address: *mut u8,
    source: Source,
}

enum Source {
    Heap(Layout),
    #[cfg(unix)]
    Mapping {
        base: *mut u8,
        length: usize,
    },
}

impl Block {
    /// At least `bytes` zeroed bytes, or `None` when there is no memory for them.
    pub fn zeroed(bytes: usize) -> Option<Block> {
        #[cfg(unix)]
        if bytes >= MAPPED_FROM {
            return Block::mapped(bytes);
        }
        let layout = Layout::from_size_align(bytes.max(1), ALIGNMENT).ok()?;
        let address = unsafe { alloc_zeroed(layout) };
        if address.is_null() {
            return None;
        }
        let source = Source::Heap(layout);
        Some(Block { address, source })
    }

    /// A mapping that starts at a multiple of the huge page's size, so that all of it can be huge.
    #[cfg(unix)]
    fn mapped(bytes: usize) -> Option<Block> {
        use crate::os::mapping;
        let length = bytes
            .checked_next_multiple_of(MAPPED_FROM)?
            .checked_add(MAPPED_FROM)?;
        let base = mapping::map_zeroed(length);
        if base.is_null() {
            return None;
        }
        let address = base.wrapping_add(base.align_offset(MAPPED_FROM));
        mapping::advise_huge_pages(address, length - MAPPED_FROM);
        Some(Block {
            address,
            source: Source::Mapping { base, length },
        })
    }

    /// Address of the first byte.
    pub fn address(&self) -> *mut u8 {
        self.address
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        match self.source {
            Source::Heap(layout) => unsafe { dealloc(self.address, layout) },
            #[cfg(unix)]
            Source::Mapping { base, length } => unsafe {
                crate::os::mapping::unmap(base, length);
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_zeroed_aligned_and_writable_at_every_size() {
        for bytes in [0, 1, 63, 64, 4097, (1 << 21) - 1, 1 << 21, (1 << 22) + 5] {
            let block = Block::zeroed(bytes).unwrap();
            assert_eq!(block.address() as usize % ALIGNMENT, 0);
            let memory = unsafe { core::slice::from_raw_parts_mut(block.address(), bytes) };
            assert!(memory.iter().all(|&byte| byte == 0));
            memory.fill(255);
        }
    }

    #[test]
    fn a_block_that_no_machine_has_is_refused() {
        assert!(Block::zeroed(1 << 60).is_none());
        assert!(Block::zeroed(usize::MAX).is_none());
    }
}
