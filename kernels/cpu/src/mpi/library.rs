//! The MPI library: loaded by name, called without its headers.
//!
//! Open MPI's handles are the addresses of data symbols, which its own plug-ins must find too, so it
//! is loaded into the global scope. MPICH's (and its descendants': Intel MPI, MVAPICH, Cray) are
//! integers that its ABI fixes. Handles are passed as whole words, of which a callee that takes an
//! integer reads the lower half, as the calling conventions of all 64-bit Unix systems have it.

use core::ffi::{CStr, c_char, c_int, c_void};
use std::ffi::CString;

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

const RTLD_NOW: c_int = 2;
#[cfg(target_os = "macos")]
const RTLD_GLOBAL: c_int = 8;
#[cfg(not(target_os = "macos"))]
const RTLD_GLOBAL: c_int = 0x100;

const THREAD_FUNNELED: c_int = 1;
const ANY_TAG: c_int = -1;
const TEXT_BYTES: usize = 8192;

type Handle = usize;
/// A request: a pointer in one family, an integer in the other.
pub type Request = u64;

/// Room for either family's status.
#[repr(C, align(8))]
#[derive(Clone, Copy, Default)]
struct Status {
    words: [c_int; 16],
}

macro_rules! functions {
    ($($field:ident = $symbol:literal: fn($($parameter:ty),*);)*) => {
        struct Functions { $($field: unsafe extern "C" fn($($parameter),*) -> c_int,)* }

        impl Functions {
            unsafe fn find(library: *mut c_void) -> Result<Functions, String> {
                $(let $field = {
                    let address = unsafe { dlsym(library, $symbol.as_ptr()) };
                    if address.is_null() {
                        return Err(format!("it has no {}", $symbol.to_string_lossy()));
                    }
                    unsafe {
                        core::mem::transmute::<
                            *mut c_void,
                            unsafe extern "C" fn($($parameter),*) -> c_int,
                        >(address)
                    }
                };)*
                Ok(Functions { $($field,)* })
            }
        }
    };
}

functions! {
    init_thread = c"MPI_Init_thread": fn(*mut c_int, *mut c_void, c_int, *mut c_int);
    finalize = c"MPI_Finalize": fn();
    library_version = c"MPI_Get_library_version": fn(*mut u8, *mut c_int);
    error_string = c"MPI_Error_string": fn(c_int, *mut u8, *mut c_int);
    set_errhandler = c"MPI_Comm_set_errhandler": fn(Handle, Handle);
    comm_rank = c"MPI_Comm_rank": fn(Handle, *mut c_int);
    comm_size = c"MPI_Comm_size": fn(Handle, *mut c_int);
    isend = c"MPI_Isend": fn(*const u8, c_int, Handle, c_int, c_int, Handle, *mut Request);
    irecv = c"MPI_Irecv": fn(*mut u8, c_int, Handle, c_int, c_int, Handle, *mut Request);
    iprobe = c"MPI_Iprobe": fn(c_int, c_int, Handle, *mut c_int, *mut Status);
    get_count = c"MPI_Get_count": fn(*const Status, Handle, *mut c_int);
    test = c"MPI_Test": fn(*mut Request, *mut c_int, *mut Status);
    bcast = c"MPI_Bcast": fn(*mut u8, c_int, Handle, c_int, Handle);
    allgather = c"MPI_Allgather": fn(*const u8, c_int, Handle, *mut u8, c_int, Handle, Handle);
}

/// What tells the two families apart.
struct Family {
    world: Handle,
    byte: Handle,
    errors_return: Handle,
    any_source: c_int,
    /// Where a status has its source and, behind it, its tag, in words.
    source_word: usize,
}

impl Family {
    unsafe fn of(library: *mut c_void) -> Family {
        let symbol = |name: &CStr| unsafe { dlsym(library, name.as_ptr()) } as Handle;
        let world = symbol(c"ompi_mpi_comm_world");
        if world == 0 {
            return Family {
                world: 0x4400_0000,
                byte: 0x4c00_010d,
                errors_return: 0x5400_0001,
                any_source: -2,
                source_word: 2,
            };
        }
        Family {
            world,
            byte: symbol(c"ompi_mpi_byte"),
            errors_return: symbol(c"ompi_mpi_errors_return"),
            any_source: -1,
            source_word: 0,
        }
    }
}

/// A message that has arrived and was not received yet.
pub struct Probed {
    pub source: usize,
    pub tag: c_int,
    pub bytes: usize,
}

/// A loaded MPI library.
pub struct Library {
    functions: Functions,
    family: Family,
    /// Its name as it was loaded.
    pub name: String,
}

fn load(name: &str) -> Result<Library, String> {
    let file = CString::new(name).map_err(|_| String::from("a name with a zero in it"))?;
    let library = unsafe { dlopen(file.as_ptr(), RTLD_NOW | RTLD_GLOBAL) };
    if library.is_null() {
        let reason = unsafe { dlerror() };
        return Err(if reason.is_null() {
            String::from("it cannot be loaded")
        } else {
            unsafe { CStr::from_ptr(reason) }
                .to_string_lossy()
                .into_owned()
        });
    }
    let functions =
        unsafe { Functions::find(library) }.map_err(|reason| format!("{name}: {reason}"))?;
    let family = unsafe { Family::of(library) };
    Ok(Library {
        functions,
        family,
        name: name.to_owned(),
    })
}

impl Library {
    /// Loads the first of these that can be, or says why none can.
    pub fn find(names: &str) -> Result<Library, String> {
        let mut reasons = Vec::new();
        for name in names.lines() {
            match load(name) {
                Ok(library) => return Ok(library),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(reasons.join("; "))
    }

    /// The first line of what it says of itself; may be asked before `init`.
    pub fn version(&self) -> String {
        let mut text = [0u8; TEXT_BYTES];
        let mut length: c_int = 0;
        let status = unsafe { (self.functions.library_version)(text.as_mut_ptr(), &mut length) };
        if status != 0 {
            return String::from("of an unknown version");
        }
        let all = String::from_utf8_lossy(&text[..(length as usize).min(TEXT_BYTES)]).into_owned();
        let line = all
            .trim_end_matches('\0')
            .lines()
            .next()
            .unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn check(&self, what: &str, status: c_int) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        let mut text = [0u8; TEXT_BYTES];
        let mut length: c_int = 0;
        unsafe { (self.functions.error_string)(status, text.as_mut_ptr(), &mut length) };
        let said = String::from_utf8_lossy(&text[..(length as usize).min(TEXT_BYTES)]).into_owned();
        Err(format!(
            "{what} failed: {}",
            said.trim_end_matches('\0').trim()
        ))
    }

    /// Starts MPI on this thread, the only one that may call it from now on: (rank, size).
    pub fn init(&self) -> Result<(usize, usize), String> {
        let (mut provided, mut rank, mut size) = (0, 0, 0);
        let Functions {
            init_thread,
            set_errhandler,
            comm_rank,
            comm_size,
            ..
        } = self.functions;
        let world = self.family.world;
        unsafe {
            let null = core::ptr::null_mut();
            let status = init_thread(null, null.cast(), THREAD_FUNNELED, &mut provided);
            self.check("MPI_Init_thread", status)?;
            // Faults come back as statuses: who ends the process, and with which words, is ours.
            let status = set_errhandler(world, self.family.errors_return);
            self.check("MPI_Comm_set_errhandler", status)?;
            self.check("MPI_Comm_rank", comm_rank(world, &mut rank))?;
            self.check("MPI_Comm_size", comm_size(world, &mut size))?;
        }
        if provided < THREAD_FUNNELED {
            return Err(String::from("it allows no threads at all beside its own"));
        }
        Ok((rank as usize, size as usize))
    }

    /// Ends MPI; waits for the other ranks to do so too.
    pub fn finalize(&self) -> Result<(), String> {
        self.check("MPI_Finalize", unsafe { (self.functions.finalize)() })
    }

    /// Copies the root's bytes to every rank; waits.
    pub fn broadcast(&self, bytes: &mut [u8], root: usize) -> Result<(), String> {
        let Family { world, byte, .. } = self.family;
        let count = bytes.len() as c_int;
        let pointer = bytes.as_mut_ptr();
        let status = unsafe { (self.functions.bcast)(pointer, count, byte, root as c_int, world) };
        self.check("MPI_Bcast", status)
    }

    /// Every rank's eight bytes, by rank; waits.
    pub fn all_gather(&self, own: [u8; 8], size: usize) -> Result<Vec<[u8; 8]>, String> {
        let Family { world, byte, .. } = self.family;
        let mut all = vec![[0u8; 8]; size];
        let target = all.as_mut_ptr().cast();
        let status =
            unsafe { (self.functions.allgather)(own.as_ptr(), 8, byte, target, 8, byte, world) };
        self.check("MPI_Allgather", status).map(|()| all)
    }

    /// Starts to send bytes, which must stay where they are until the request is done.
    pub unsafe fn send(&self, bytes: &[u8], to: usize, tag: c_int) -> Result<Request, String> {
        let Family { world, byte, .. } = self.family;
        let mut request: Request = 0;
        let count = bytes.len() as c_int;
        let (pointer, to) = (bytes.as_ptr(), to as c_int);
        let status =
            unsafe { (self.functions.isend)(pointer, count, byte, to, tag, world, &mut request) };
        self.check("MPI_Isend", status).map(|()| request)
    }

    /// What has arrived first, from any rank.
    pub fn probe(&self) -> Result<Option<Probed>, String> {
        let Family {
            world,
            byte,
            any_source,
            source_word,
            ..
        } = self.family;
        let (mut found, mut count) = (0, 0);
        let mut status = Status::default();
        let code =
            unsafe { (self.functions.iprobe)(any_source, ANY_TAG, world, &mut found, &mut status) };
        self.check("MPI_Iprobe", code)?;
        if found == 0 {
            return Ok(None);
        }
        let code = unsafe { (self.functions.get_count)(&status, byte, &mut count) };
        self.check("MPI_Get_count", code)?;
        let source = status.words[source_word] as usize;
        Ok(Some(Probed {
            source,
            tag: status.words[source_word + 1],
            bytes: count as usize,
        }))
    }

    /// Starts to receive what was probed; the target must stay where it is until that is done.
    pub unsafe fn receive(&self, target: *mut u8, probed: &Probed) -> Result<Request, String> {
        let Family { world, byte, .. } = self.family;
        let mut request: Request = 0;
        let (count, source) = (probed.bytes as c_int, probed.source as c_int);
        let status = unsafe {
            (self.functions.irecv)(target, count, byte, source, probed.tag, world, &mut request)
        };
        self.check("MPI_Irecv", status).map(|()| request)
    }

    /// Whether a request is done.
    pub fn test(&self, request: &mut Request) -> Result<bool, String> {
        let mut done = 0;
        let mut status = Status::default();
        let code = unsafe { (self.functions.test)(request, &mut done, &mut status) };
        self.check("MPI_Test", code).map(|()| done != 0)
    }
}
