//! What the WebAssembly build needs in place of the standard library: allocator and panic handler.

use alloc::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_atomic_notify, memory_atomic_wait32, memory_grow, memory_size};
use core::cell::UnsafeCell;
use core::fmt::Write;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use crate::context::{Address, Context, pointer};
use crate::heap::{Heap, Source};

const PAGE: usize = 65536;
/// The last page is never used: its end would not fit an address.
const MAX_PAGES: usize = 65535;
/// Pages to grow by at least: growing is a system call.
const STEP: usize = 16;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    /// Ends the call with an error in JavaScript.
    fn panic(text: *const u8, bytes: usize) -> !;
    /// The time; on its way through JavaScript a thread learns what other threads have done.
    fn now() -> f64;
}

/// Pages that some thread has grown the memory to.
static GROWN_TO: AtomicUsize = AtomicUsize::new(0);

/// Waits until this thread knows of all memory that others have grown. A thread is told at its next
/// turn in the engine only, and until then copies and fills beyond what it knows of would be refused,
/// though loads and stores are not.
pub fn learn_of_memory() {
    while memory_size::<0>() < GROWN_TO.load(Ordering::Acquire) {
        unsafe { now() };
    }
}

struct LinearMemory;

impl Source for LinearMemory {
    fn grow(&mut self, bytes: usize) -> Option<(usize, usize)> {
        let wanted = bytes.div_ceil(PAGE);
        let room = MAX_PAGES - memory_size::<0>();
        if wanted > room {
            return None;
        }
        let generous = wanted.max(STEP).min(room);
        for pages in [generous, wanted] {
            let start = memory_grow::<0>(pages);
            if start != usize::MAX {
                GROWN_TO.fetch_max(start + pages, Ordering::Release);
                return Some((start * PAGE, (start + pages) * PAGE));
            }
        }
        None
    }
}

struct Allocator {
    lock: AtomicI32,
    heap: UnsafeCell<Heap<LinearMemory>>,
}

unsafe impl Sync for Allocator {}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator {
    lock: AtomicI32::new(0),
    heap: UnsafeCell::new(Heap::new(LinearMemory)),
};

impl Allocator {
    /// Runs a body while no other thread is inside the heap. 1 is locked, 2 locked and waited for.
    fn locked<R>(&self, body: impl FnOnce(&mut Heap<LinearMemory>) -> R) -> R {
        if self
            .lock
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            while self.lock.swap(2, Ordering::Acquire) != 0 {
                unsafe { memory_atomic_wait32(self.lock.as_ptr(), 2, -1) };
            }
        }
        learn_of_memory();
        let result = body(unsafe { &mut *self.heap.get() });
        if self.lock.swap(0, Ordering::Release) == 2 {
            unsafe { memory_atomic_notify(self.lock.as_ptr(), 1) };
        }
        result
    }
}

unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.locked(|heap| unsafe { heap.allocate(layout.size(), layout.align(), false) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.locked(|heap| unsafe { heap.allocate(layout.size(), layout.align(), true) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, _layout: Layout) {
        self.locked(|heap| unsafe { heap.free(memory) });
    }
}

/// Text of bounded length, so that a panic about memory needs none.
struct Text {
    bytes: [u8; 256],
    length: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self.bytes.len() - self.length;
        let part = &text.as_bytes()[..text.len().min(room)];
        self.bytes[self.length..self.length + part.len()].copy_from_slice(part);
        self.length += part.len();
        Ok(())
    }
}

#[panic_handler]
fn on_panic(info: &core::panic::PanicInfo) -> ! {
    let mut text = Text {
        bytes: [0; 256],
        length: 0,
    };
    let _ = write!(text, "{}", info.message());
    unsafe { panic(text.bytes.as_ptr(), text.length) }
}

/// Starts all threads of a context that are not running.
#[unsafe(no_mangle)]
unsafe extern "C" fn workers_start(context: Address) {
    unsafe { &*pointer::<Context>(context) }.pool().start();
}

/// Sends the threads of a context home for good. The context itself stays until its memory goes:
/// the threads look at it once more when they wake.
#[unsafe(no_mangle)]
unsafe extern "C" fn workers_stop(context: Address) {
    unsafe { &*pointer::<Context>(context) }.pool().stop();
}
