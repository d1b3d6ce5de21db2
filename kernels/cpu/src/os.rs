//! The few functions of the operating system that std does not offer: anonymous and file mappings.

/// Maps and unmaps memory on Linux and macOS.
#[cfg(unix)]
pub mod mapping {
    use core::ffi::{c_int, c_void};
    use core::ptr::null_mut;
    use std::os::fd::RawFd;

    unsafe extern "C" {
        fn mmap(
            address: *mut c_void,
            length: usize,
            protection: c_int,
            flags: c_int,
            file: c_int,
            offset: i64,
        ) -> *mut c_void;
        fn munmap(address: *mut c_void, length: usize) -> c_int;
        fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
    }

    const PROT_READ: c_int = 1;
    const PROT_WRITE: c_int = 2;
    const MAP_PRIVATE: c_int = 2;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const MAP_ANONYMOUS: c_int = 0x20;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const MAP_ANONYMOUS: c_int = 0x1000;
    const MADV_WILLNEED: c_int = 3;
    const MADV_DONTNEED: c_int = 4;
    /// No page is larger, but for huge ones, of which files have none.
    const PAGE: usize = 1 << 16;
    #[cfg(target_os = "linux")]
    const MADV_HUGEPAGE: c_int = 14;

    fn map(length: usize, protection: c_int, flags: c_int, file: RawFd) -> *mut u8 {
        let address = unsafe { mmap(null_mut(), length, protection, flags, file, 0) };
        if address as isize == -1 {
            null_mut()
        } else {
            address.cast()
        }
    }

    /// Zeroed pages, or null.
    pub fn map_zeroed(length: usize) -> *mut u8 {
        let protection = PROT_READ | PROT_WRITE;
        map(length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1)
    }

    /// Asks for huge pages: fewer misses of the address cache in weights that are read in a row.
    pub fn advise_huge_pages(address: *mut u8, length: usize) {
        #[cfg(target_os = "linux")]
        unsafe {
            madvise(address.cast(), length, MADV_HUGEPAGE);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (address, length);
    }

    /// The file's bytes, read-only, or null; its pages are read ahead while others are in use.
    pub fn map_file(file: &std::fs::File, length: usize) -> *mut u8 {
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(file);
        let address = map(length, PROT_READ, MAP_PRIVATE, descriptor);
        if !address.is_null() {
            unsafe { madvise(address.cast(), length, MADV_WILLNEED) };
        }
        address
    }

    /// Takes the whole pages of a part of a mapped file out of the process's memory.
    ///
    /// # Safety
    /// The range must lie in a mapping that `map_file` made.
    pub unsafe fn forget(address: *mut u8, length: usize) {
        let first = (address as usize).next_multiple_of(PAGE);
        let end = (address as usize + length) / PAGE * PAGE;
        if first < end {
            unsafe { madvise(first as *mut c_void, end - first, MADV_DONTNEED) };
        }
    }

    /// # Safety
    /// `address` and `length` must be those of one mapping that nothing uses any more.
    pub unsafe fn unmap(address: *mut u8, length: usize) {
        unsafe { munmap(address.cast(), length) };
    }
}

/// Maps and unmaps files on Windows.
#[cfg(windows)]
pub mod mapping {
    use core::ffi::c_void;
    use core::ptr::{null, null_mut};
    use std::os::windows::io::AsRawHandle;

    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn CreateFileMappingW(
            file: *mut c_void,
            security: *const c_void,
            protection: u32,
            size_high: u32,
            size_low: u32,
            name: *const u16,
        ) -> *mut c_void;
        fn MapViewOfFile(
            mapping: *mut c_void,
            access: u32,
            offset_high: u32,
            offset_low: u32,
            bytes: usize,
        ) -> *mut c_void;
        fn UnmapViewOfFile(address: *const c_void) -> i32;
        fn VirtualUnlock(address: *mut c_void, bytes: usize) -> i32;
        fn CloseHandle(handle: *mut c_void) -> i32;
        fn GetModuleHandleExW(flags: u32, address: *const c_void, module: *mut *mut c_void) -> i32;
    }

    const PAGE_READONLY: u32 = 2;
    const FILE_MAP_READ: u32 = 4;
    const PIN_BY_ADDRESS: u32 = 1 | 4;

    /// The file's bytes, read-only, or null.
    pub fn map_file(file: &std::fs::File, _length: usize) -> *mut u8 {
        let handle = file.as_raw_handle().cast();
        unsafe {
            let mapping = CreateFileMappingW(handle, null(), PAGE_READONLY, 0, 0, null());
            if mapping.is_null() {
                return null_mut();
            }
            let address = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
            CloseHandle(mapping);
            address.cast()
        }
    }

    /// Takes a part of a mapped file out of the process's memory: unlocking what is not locked does.
    ///
    /// # Safety
    /// The range must lie in a mapping that `map_file` made.
    pub unsafe fn forget(address: *mut u8, length: usize) {
        unsafe { VirtualUnlock(address.cast(), length) };
    }

    /// # Safety
    /// `address` must be that of a mapping that nothing uses any more.
    pub unsafe fn unmap(address: *mut u8, _length: usize) {
        unsafe { UnmapViewOfFile(address.cast()) };
    }

    /// Keeps the library loaded, so that a thread that still sleeps at exit wakes in mapped code.
    pub fn pin_library() {
        let mut module = null_mut();
        unsafe { GetModuleHandleExW(PIN_BY_ADDRESS, pin_library as *const c_void, &mut module) };
    }
}
