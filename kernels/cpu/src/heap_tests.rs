use super::*;

/// A range of real memory that is handed out page by page, with gaps where asked for.
struct Pages {
    memory: Vec<u128>,
    next: usize,
    gap: usize,
}

impl Pages {
    fn new(bytes: usize, gap: usize) -> Pages {
        let memory = vec![0u128; bytes / 16];
        Pages {
            memory,
            next: 0,
            gap,
        }
    }
}

impl Source for Pages {
    fn grow(&mut self, bytes: usize) -> Option<(usize, usize)> {
        let start = self.next + self.gap;
        let end = start + bytes.next_multiple_of(4096);
        if end > self.memory.len() * 16 {
            return None;
        }
        self.next = end;
        let base = self.memory.as_ptr() as usize;
        Some((base + start, base + end))
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % limit
    }
}

/// Walks the range that ends at the sentinel backwards: links agree, no two free blocks touch.
unsafe fn check(heap: &Heap<Pages>) {
    unsafe {
        let mut block = heap.sentinel;
        while !block.is_null() && !(*block).before.is_null() {
            let before = (*block).before;
            assert_eq!(Block::after(before), block);
            assert!(!(Block::is_free(before) && Block::is_free(block)));
            block = before;
        }
    }
}

struct Held {
    address: *mut u8,
    size: usize,
    mark: u8,
}

fn churn(memory: usize, gap: usize, largest: usize) {
    let mut heap = Heap::new(Pages::new(memory, gap));
    let mut random = Random(7);
    let mut held: Vec<Held> = Vec::new();
    let mut refused = 0;
    for round in 0..20_000 {
        if random.below(5) < 3 {
            let (size, align) = (random.below(largest), 1 << random.below(9));
            let zeroed = random.below(2) == 0;
            let address = unsafe { heap.allocate(size, align, zeroed) };
            if address.is_null() {
                refused += 1;
                continue;
            }
            assert_eq!(address as usize % align, 0);
            let bytes = unsafe { core::slice::from_raw_parts_mut(address, size) };
            assert!(
                !zeroed || bytes.iter().all(|&byte| byte == 0),
                "dirty in round {round}"
            );
            let mark = random.below(255) as u8 + 1;
            bytes.fill(mark);
            held.push(Held {
                address,
                size,
                mark,
            });
        } else if !held.is_empty() {
            let one = held.swap_remove(random.below(held.len()));
            let bytes = unsafe { core::slice::from_raw_parts(one.address, one.size) };
            assert!(
                bytes.iter().all(|&byte| byte == one.mark),
                "overwritten in round {round}"
            );
            unsafe { heap.free(one.address) };
        }
        if round % 64 == 0 {
            unsafe { check(&heap) };
        }
    }
    assert!(refused > 0, "the test must reach the end of its memory");
    for one in held {
        unsafe { heap.free(one.address) };
    }
    unsafe { check(&heap) };
    if gap == 0 {
        let only = unsafe { (*heap.sentinel).before };
        assert!(unsafe { (*only).before.is_null() && Block::is_free(only) });
    }
}

#[test]
fn blocks_never_overlap_and_zeroed_ones_are_zero_over_connected_memory() {
    churn(1 << 22, 0, 20_000);
}

#[test]
fn blocks_never_overlap_over_memory_with_gaps() {
    churn(1 << 22, 4096, 20_000);
}

#[test]
fn small_blocks_fill_the_memory_and_merge_again() {
    churn(1 << 20, 0, 1_200);
}

#[test]
fn a_freed_block_of_exactly_the_size_wanted_is_found_again() {
    let mut heap = Heap::new(Pages::new(1 << 20, 0));
    unsafe {
        let size = (1 << 20) - 4096 - 64;
        let first = heap.allocate(size, 16, false);
        assert!(!first.is_null());
        assert!(heap.allocate(8192, 16, false).is_null());
        heap.free(first);
        assert_eq!(heap.allocate(size, 16, false), first);
    }
}

#[test]
fn absurd_sizes_are_refused() {
    let mut heap = Heap::new(Pages::new(1 << 16, 0));
    for size in [1 << 20, isize::MAX as usize, usize::MAX - 15, usize::MAX] {
        assert!(unsafe { heap.allocate(size, 64, true) }.is_null());
    }
}

#[test]
fn classes_are_ordered_and_rounding_up_never_finds_a_smaller_block() {
    let mut last = (0, 0);
    for size in (16..200_000).step_by(16) {
        assert!(class(size) >= last);
        last = class(size);
        let (level, step) = class_at_least(size);
        assert!((level, step) >= class(size));
        let smaller = size - 16;
        assert!(
            smaller < 16 || class(smaller) < (level, step),
            "{smaller} in class of {size}"
        );
    }
}
