//! The context behind the first argument of every kernel: thread pool, scratch and error text.

use alloc::vec::Vec;
use core::cell::UnsafeCell;

/// An address as it crosses the ABI: natively a double, which JavaScript passes unboxed and which
/// holds every user-space address exactly; in WebAssembly a 32-bit integer.
#[cfg(not(target_arch = "wasm32"))]
pub type Address = f64;
/// An address as it crosses the ABI.
#[cfg(target_arch = "wasm32")]
pub type Address = usize;

/// What a kernel returns: nothing, or one sentence about the argument that it refuses.
pub type Status = Result<(), &'static str>;

/// State of one opened library: nothing is shared between two of them.
pub struct Context {
    error: UnsafeCell<&'static str>,
    scratch: UnsafeCell<Vec<u64>>,
}

unsafe impl Sync for Context {}

/// The pointer that an address stands for.
pub fn pointer<T>(address: Address) -> *mut T {
    address as usize as *mut T
}

/// Runs a kernel body in its context and turns its status into a number, keeping the text.
///
/// # Safety
/// `address` must come from `rt_open` of this library and not have been closed.
pub unsafe fn enter(
    address: Address,
    required: &[Address],
    body: impl FnOnce(&Context) -> Status,
) -> i32 {
    let context = unsafe { &*pointer::<Context>(address) };
    if required.iter().any(|&a| a as usize == 0) {
        unsafe { *context.error.get() = "a required tensor has address 0" };
        return 1;
    }
    match body(context) {
        Ok(()) => 0,
        Err(text) => {
            unsafe { *context.error.get() = text };
            1
        }
    }
}

impl Context {
    /// A context with as many threads as asked for.
    pub fn new(_threads: usize) -> Context {
        Context {
            error: UnsafeCell::new(""),
            scratch: UnsafeCell::new(Vec::new()),
        }
    }

    /// How many threads, the caller's included, can work at once.
    pub fn threads(&self) -> usize {
        1
    }

    /// Runs `work(chunk, worker)` once for every chunk on the threads of the pool and returns when all
    /// are done. Chunks are claimed by a counter, so what a chunk covers must depend on shapes alone.
    /// `worker < threads()` numbers the running thread, for its part of the scratch.
    pub fn parallel(&self, chunks: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        for chunk in 0..chunks {
            work(chunk, 0);
        }
    }

    /// At least `bytes` bytes of working memory, 64-byte aligned, valid until the next call of
    /// `scratch` in this context; kernels reserve it before they start threads.
    pub fn scratch(&self, bytes: usize) -> *mut u8 {
        let scratch = unsafe { &mut *self.scratch.get() };
        scratch.resize(bytes / 8 + 16, 0);
        let address = scratch.as_mut_ptr() as usize;
        ((address + 63) & !63) as *mut u8
    }
}
