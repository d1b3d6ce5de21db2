//! The context behind the first argument of every kernel: thread pool, memory, scratch, error text.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use core::cell::UnsafeCell;

#[cfg(not(target_arch = "wasm32"))]
use crate::map_file::MappedFile;
use crate::memory::Block;
use crate::pool::Pool;

/// An address as it crosses the ABI: natively a double, which JavaScript passes unboxed and which
/// holds every user-space address exactly; in WebAssembly a 32-bit integer.
#[cfg(not(target_arch = "wasm32"))]
pub type Address = f64;
/// An address as it crosses the ABI.
#[cfg(target_arch = "wasm32")]
pub type Address = usize;

/// What a kernel returns: nothing, or one sentence about the argument that it refuses.
pub type Status = Result<(), &'static str>;

/// State of one opened library: nothing is shared between two of them. One JavaScript thread at a
/// time uses a context; the threads of its pool see only the closure of `parallel`.
pub struct Context {
    pool: Pool,
    error: UnsafeCell<Cow<'static, str>>,
    scratch: UnsafeCell<Scratch>,
    blocks: UnsafeCell<BTreeMap<usize, Block>>,
    #[cfg(not(target_arch = "wasm32"))]
    files: UnsafeCell<BTreeMap<usize, MappedFile>>,
}

struct Scratch {
    block: Option<Block>,
    bytes: usize,
}

unsafe impl Sync for Context {}

/// The pointer that an address stands for.
pub fn pointer<T>(address: Address) -> *mut T {
    address as usize as *mut T
}

/// The address of a pointer.
pub fn as_address<T>(pointer: *mut T) -> Address {
    pointer as usize as Address
}

/// Runs a body that must not unwind across the border; a panic gives `failed`.
#[cfg(not(target_arch = "wasm32"))]
pub fn guard<R>(failed: R, body: impl FnOnce() -> R) -> R {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(failed)
}

/// Runs a body; in WebAssembly a panic ends in JavaScript as an error, without passing through here.
#[cfg(target_arch = "wasm32")]
pub fn guard<R>(_failed: R, body: impl FnOnce() -> R) -> R {
    body()
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
        context.set_error("a required tensor has address 0");
        return 1;
    }
    let refusal = match contained(|| body(context)) {
        Ok(Ok(())) => return 0,
        Ok(Err(text)) => Cow::Borrowed(text),
        Err(text) => Cow::Owned(text),
    };
    context.set_error(refusal);
    1
}

/// Runs a body; what it panics with is its error.
#[cfg(not(target_arch = "wasm32"))]
fn contained<R>(body: impl FnOnce() -> R) -> Result<R, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or(payload.downcast_ref::<String>().map(String::as_str));
        format!("it panicked: {}", text.unwrap_or("without a reason"))
    })
}

/// Runs a body; in WebAssembly a panic ends in JavaScript as an error, without passing through here.
#[cfg(target_arch = "wasm32")]
fn contained<R>(body: impl FnOnce() -> R) -> Result<R, alloc::string::String> {
    Ok(body())
}

/// What to reserve for a request: room to grow into while that is cheap.
fn scratch_bytes(wanted: usize) -> usize {
    const GENEROUS: usize = 1 << 24;
    if wanted < GENEROUS {
        wanted.next_power_of_two().max(1 << 16)
    } else {
        wanted
    }
}

impl Context {
    /// A context with as many threads as asked for.
    pub fn new(threads: usize) -> Context {
        Context {
            pool: Pool::new(threads),
            error: UnsafeCell::new(Cow::Borrowed("")),
            scratch: UnsafeCell::new(Scratch {
                block: None,
                bytes: 0,
            }),
            blocks: UnsafeCell::new(BTreeMap::new()),
            #[cfg(not(target_arch = "wasm32"))]
            files: UnsafeCell::new(BTreeMap::new()),
        }
    }

    /// How many threads, the caller's included, can work at once.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The threads.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Runs `work(chunk, worker)` once for every chunk on the threads of the pool and returns when all
    /// are done. Chunks are claimed by a counter, so what a chunk covers must depend on shapes alone.
    /// `worker < threads()` numbers the running thread, for its part of the scratch.
    pub fn parallel(&self, chunks: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        self.pool.run(chunks, work);
    }

    /// The same for about as many parts as threads. Only where no cut changes a bit of the result.
    pub fn share_out(&self, parts: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        self.pool.share_out(parts, work);
    }

    /// At least `bytes` bytes of working memory, 64-byte aligned, valid until the next call of
    /// `scratch` in this context; kernels reserve it before they start threads. Its content is
    /// whatever the last kernel left. Where there is no memory the kernel ends here with a panic,
    /// which the caller sees as a failed status.
    pub fn scratch(&self, bytes: usize) -> *mut u8 {
        let scratch = unsafe { &mut *self.scratch.get() };
        if scratch.bytes < bytes || scratch.block.is_none() {
            scratch.block = None;
            scratch.bytes = scratch_bytes(bytes);
            scratch.block = Block::zeroed(scratch.bytes);
        }
        match &scratch.block {
            Some(block) => block.address(),
            None => panic!("no memory left for {bytes} bytes of scratch"),
        }
    }

    /// Reserves zeroed memory that lives until `free` or the end of the context.
    pub fn alloc(&self, bytes: usize) -> Option<*mut u8> {
        let block = Block::zeroed(bytes)?;
        let address = block.address();
        unsafe { &mut *self.blocks.get() }.insert(address as usize, block);
        Some(address)
    }

    /// Gives back what `alloc` gave; false where it did not.
    pub fn free(&self, address: usize) -> bool {
        unsafe { &mut *self.blocks.get() }
            .remove(&address)
            .is_some()
    }

    /// Keeps a mapped file until `drop_file` or the end of the context.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn keep_file(&self, file: MappedFile) {
        unsafe { &mut *self.files.get() }.insert(file.address() as usize, file);
    }

    /// Unmaps a file; false where the address is not one of a mapped file.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn drop_file(&self, address: usize) -> bool {
        unsafe { &mut *self.files.get() }.remove(&address).is_some()
    }

    /// Whether a range of addresses lies in one mapped file.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn has_mapped(&self, range: core::ops::Range<usize>) -> bool {
        let files = unsafe { &*self.files.get() };
        let before = files.range(..=range.start).next_back();
        before.is_some_and(|(address, file)| range.end <= address + file.bytes())
    }

    /// Keeps why the last call failed.
    pub fn set_error(&self, text: impl Into<Cow<'static, str>>) {
        unsafe { *self.error.get() = text.into() };
    }

    /// Why the last call failed.
    pub fn error(&self) -> &str {
        unsafe { &*self.error.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_and_text(body: impl FnOnce(&Context) -> Status) -> (i32, String) {
        let mut context = Context::new(2);
        let status = unsafe { enter(as_address(&raw mut context), &[64.0], body) };
        (status, context.error().to_owned())
    }

    #[test]
    fn a_refusal_is_a_status_with_its_text() {
        assert_eq!(status_and_text(|_| Ok(())), (0, String::new()));
        assert_eq!(
            status_and_text(|_| Err("rows is 0")),
            (1, "rows is 0".to_owned())
        );
    }

    #[test]
    fn a_panic_is_a_status_with_its_text_on_whatever_thread_it_happens() {
        let text = "it panicked: over the edge".to_owned();
        assert_eq!(status_and_text(|_| panic!("over the edge")), (1, text));
        let (status, text) = status_and_text(|context| {
            context.parallel(8, &|chunk, _| assert_ne!(chunk, 6));
            Ok(())
        });
        assert_eq!((status, text.contains("it panicked")), (1, true));
    }

    #[test]
    fn a_required_tensor_at_address_0_is_refused_before_the_kernel_runs() {
        let mut context = Context::new(1);
        let required = [64.0, 0.0];
        let status = unsafe {
            enter(as_address(&raw mut context), &required, |_| {
                unreachable!("the kernel must not run")
            })
        };
        assert_eq!(status, 1);
        assert!(context.error().contains("address 0"));
    }

    #[test]
    fn scratch_is_aligned_grows_and_stays_where_it_is_while_it_suffices() {
        let context = Context::new(1);
        let first = context.scratch(1000);
        assert_eq!(first as usize % 64, 0);
        assert_eq!(context.scratch(10), first);
        let large = context.scratch(1 << 25);
        unsafe { large.add((1 << 25) - 1).write(1) };
        assert_eq!(context.scratch(1000), large);
    }

    #[test]
    fn memory_is_given_back_once() {
        let context = Context::new(1);
        let address = context.alloc(100).unwrap() as usize;
        assert!(!context.free(address + 64));
        assert!(context.free(address));
        assert!(!context.free(address));
    }
}
