//! The runtime functions of the ABI beside the kernels: contexts, memory, copies, files, queues.
//!
//! One context belongs to one JavaScript thread at a time. Calls compute at once, so events are
//! always reached and the only queue is number 0.

use alloc::boxed::Box;

use crate::context::{Address, Context, as_address, pointer};
use crate::memory::prefer_huge_pages;

/// What `open` says when it fails; there is no context yet that could keep it.
const OPEN_FAILED: &str = "there is no memory left for a context";

unsafe fn context<'a>(address: Address) -> &'a Context {
    unsafe { &*pointer::<Context>(address) }
}

/// Writes what fits of a text and returns the bytes that all of it needs.
unsafe fn write_text(text: &str, target: *mut u8, capacity: u32) -> u32 {
    let bytes = text.len().min(capacity as usize);
    if bytes > 0 {
        unsafe { core::ptr::copy_nonoverlapping(text.as_ptr(), target, bytes) };
    }
    text.len() as u32
}

/// Keeps the reason in the context and returns the failing status.
unsafe fn fail(address: Address, reason: impl Into<alloc::borrow::Cow<'static, str>>) -> i32 {
    unsafe { context(address) }.set_error(reason);
    1
}

pub unsafe fn abi_hash() -> f64 {
    crate::abi_generated::ABI_HASH
}

pub unsafe fn open(threads: u32) -> Address {
    #[cfg(not(target_arch = "wasm32"))]
    prepare();
    as_address(Box::into_raw(Box::new(Context::new(threads as usize))))
}

/// What a process does once: panics become errors of their calls, so nothing is printed for them.
#[cfg(not(target_arch = "wasm32"))]
fn prepare() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|_| {}));
        #[cfg(windows)]
        crate::os::mapping::pin_library();
    });
}

pub unsafe fn close(address: Address) -> i32 {
    drop(unsafe { Box::from_raw(pointer::<Context>(address)) });
    0
}

pub unsafe fn info(address: Address, text: *mut u8, capacity: u32) -> u32 {
    let described = crate::features::describe(unsafe { context(address) }.threads());
    unsafe { write_text(&described, text, capacity) }
}

pub unsafe fn last_error(address: Address, text: *mut u8, capacity: u32) -> u32 {
    if address as usize == 0 {
        return unsafe { write_text(OPEN_FAILED, text, capacity) };
    }
    unsafe { write_text(context(address).error(), text, capacity) }
}

pub unsafe fn alloc(address: Address, bytes: usize) -> Address {
    match unsafe { context(address) }.alloc(bytes) {
        Some(memory) => as_address(memory),
        None => {
            unsafe { fail(address, alloc::format!("no memory left for {bytes} bytes")) };
            0 as Address
        }
    }
}

pub unsafe fn free(address: Address, memory: Address) -> i32 {
    if unsafe { context(address) }.free(memory as usize) {
        return 0;
    }
    unsafe { fail(address, "the address is not one that alloc gave") }
}

pub unsafe fn upload(address: Address, target: Address, source: *mut u8, bytes: usize) -> i32 {
    if bytes > 0 && target as usize == 0 {
        return unsafe { fail(address, "the target has address 0") };
    }
    unsafe { move_bytes(context(address), pointer(target), source, bytes) };
    0
}

pub unsafe fn download(address: Address, target: *mut u8, source: Address, bytes: usize) -> i32 {
    if bytes > 0 && source as usize == 0 {
        return unsafe { fail(address, "the source has address 0") };
    }
    // Arrays that large are new, most of the time.
    prefer_huge_pages(target, bytes);
    unsafe { move_bytes(context(address), target, pointer(source), bytes) };
    0
}

/// Bytes that one thread moves at a time; fewer are moved by the caller.
const PART: usize = 1 << 21;

/// Moves bytes, many of them on all threads: what takes long is the first touch of a new array's
/// pages, which the system hands to each thread that asks.
unsafe fn move_bytes(context: &Context, target: *mut u8, source: *mut u8, bytes: usize) {
    if bytes < PART || (target as usize).abs_diff(source as usize) < bytes {
        return unsafe { core::ptr::copy(source, target, bytes) };
    }
    let (target, source) = (target as usize, source as usize);
    context.share_out(bytes.div_ceil(PART), &|part, _| {
        let at = part * PART;
        let (from, to) = ((source + at) as *const u8, (target + at) as *mut u8);
        unsafe { core::ptr::copy_nonoverlapping(from, to, PART.min(bytes - at)) };
    });
}

pub unsafe fn copy(address: Address, target: Address, source: Address, bytes: usize) -> i32 {
    if bytes > 0 && (target as usize == 0 || source as usize == 0) {
        return unsafe { fail(address, "the source or the target has address 0") };
    }
    unsafe { move_bytes(context(address), pointer(target), pointer(source), bytes) };
    0
}

pub unsafe fn fill(address: Address, target: Address, value: u32, bytes: usize) -> i32 {
    if bytes > 0 && target as usize == 0 {
        return unsafe { fail(address, "the target has address 0") };
    }
    unsafe { core::ptr::write_bytes(pointer::<u8>(target), value as u8, bytes) };
    0
}

#[cfg(not(target_arch = "wasm32"))]
pub unsafe fn map_file(address: Address, path: *mut u8, path_bytes: u32, out: *mut u8) -> i32 {
    let path = unsafe { core::slice::from_raw_parts(path, path_bytes as usize) };
    let Ok(path) = core::str::from_utf8(path) else {
        return unsafe { fail(address, "the path is not UTF-8") };
    };
    match crate::map_file::MappedFile::open(path.as_ref()) {
        Ok(file) => {
            let found = [as_address(file.address()), file.bytes() as f64];
            unsafe { core::ptr::copy_nonoverlapping(found.as_ptr().cast(), out, 16) };
            unsafe { context(address) }.keep_file(file);
            0
        }
        Err(reason) => unsafe { fail(address, reason_text(&reason)) },
    }
}

/// The reason in words, without the number that the standard library appends.
#[cfg(not(target_arch = "wasm32"))]
fn reason_text(reason: &std::io::Error) -> alloc::string::String {
    let text = alloc::format!("{reason}");
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].into()
}

#[cfg(not(target_arch = "wasm32"))]
pub unsafe fn unmap_file(address: Address, memory: Address) -> i32 {
    if unsafe { context(address) }.drop_file(memory as usize) {
        return 0;
    }
    unsafe { fail(address, "the address is not one that map_file gave") }
}

#[cfg(not(target_arch = "wasm32"))]
pub unsafe fn forget_pages(address: Address, memory: Address, bytes: usize) -> i32 {
    let first = memory as usize;
    match unsafe { context(address) }.has_mapped(first..first.saturating_add(bytes)) {
        true => {
            unsafe { crate::os::mapping::forget(pointer(memory), bytes) };
            0
        }
        false => unsafe { fail(address, "the range is not inside of a mapped file") },
    }
}

#[cfg(target_arch = "wasm32")]
pub unsafe fn forget_pages(address: Address, _memory: Address, _bytes: usize) -> i32 {
    unsafe { fail(address, "WebAssembly cannot map files") }
}

#[cfg(target_arch = "wasm32")]
pub unsafe fn map_file(address: Address, _path: *mut u8, _bytes: u32, _out: *mut u8) -> i32 {
    unsafe { fail(address, "WebAssembly cannot map files") }
}

#[cfg(target_arch = "wasm32")]
pub unsafe fn unmap_file(address: Address, _memory: Address) -> i32 {
    unsafe { fail(address, "WebAssembly cannot map files") }
}

pub unsafe fn queue(address: Address, index: u32) -> i32 {
    if index == 0 {
        return 0;
    }
    unsafe { fail(address, "this backend has one queue, number 0") }
}

pub unsafe fn event(_address: Address) -> f64 {
    0.0
}

pub unsafe fn wait(_address: Address, _event: f64) -> i32 {
    0
}
