//! The functions of the border: numbers and bytes only. `lib/backend/mpi_link.ts` declares them too.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::library::Library;
use super::link::{Link, Parcel, Phase, Settings, State};
use super::{progress, watch};

/// MPI can be opened once in a process.
static LINK: OnceLock<Arc<Link>> = OnceLock::new();

/// How long an end may take to be told to the others.
const TELLING: Duration = Duration::from_secs(2);
/// How long MPI's thread may take to leave the call that it is in.
const PARKING: Duration = Duration::from_millis(200);

const FAILED: i32 = 1;

fn link() -> Option<&'static Arc<Link>> {
    LINK.get()
}

unsafe fn bytes_at<'a>(address: *const u8, length: u32) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    unsafe { core::slice::from_raw_parts(address, length as usize) }
}

unsafe fn text_at(address: *const u8, length: u32) -> String {
    String::from_utf8_lossy(unsafe { bytes_at(address, length) }).into_owned()
}

/// Writes what fits of a text and returns the bytes that all of it needs.
unsafe fn write_text(text: &str, target: *mut u8, capacity: u32) -> u32 {
    let count = text.len().min(capacity as usize);
    unsafe { core::ptr::copy_nonoverlapping(text.as_ptr(), target, count) };
    text.len() as u32
}

/// Loads the first of some MPI libraries and writes its name and version, a line each, or why none
/// can be loaded; returns 0 where one was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mpi_link_find(
    names: *const u8,
    names_length: u32,
    text: *mut u8,
    capacity: u32,
    length: *mut u32,
) -> i32 {
    let found = Library::find(&unsafe { text_at(names, names_length) });
    let (status, said) = match found {
        Ok(library) => (0, format!("{}\n{}", library.name, library.version())),
        Err(reason) => (FAILED, reason),
    };
    unsafe { *length = write_text(&said, text, capacity) };
    status
}

/// Opens MPI and brings the ranks together; writes why not where it returns another number than 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mpi_link_open(
    names: *const u8,
    names_length: u32,
    heartbeat_ms: u32,
    silence_ms: u32,
    opening_ms: u32,
    text: *mut u8,
    capacity: u32,
    length: *mut u32,
) -> i32 {
    let milliseconds = |count: u32| Duration::from_millis(u64::from(count));
    let settings = Settings {
        libraries: unsafe { text_at(names, names_length) },
        heartbeat: milliseconds(heartbeat_ms),
        silence: milliseconds(silence_ms),
        opening: milliseconds(opening_ms),
    };
    let mut reason = String::from("it was opened before in this process");
    let link = Arc::new(Link::new(settings));
    if LINK.set(link.clone()).is_ok() {
        let shared = link.clone();
        let thread = std::thread::Builder::new().name(String::from("llamero-mpi"));
        let started = thread.spawn(move || progress::run(shared));
        link.wait(milliseconds(opening_ms), |state| {
            state.phase != Phase::Opening
        });
        reason = match (&started, &link.lock().phase) {
            (Err(error), _) => format!("no thread for it: {error}"),
            (_, Phase::Failed(reason)) => reason.clone(),
            (_, Phase::Opening) => format!("the ranks did not meet within {opening_ms} ms"),
            _ => return 0,
        };
    }
    unsafe { *length = write_text(&reason, text, capacity) };
    FAILED
}

fn state_or<T>(otherwise: T, look: impl FnOnce(&mut State) -> T) -> T {
    link().map_or(otherwise, |link| look(&mut link.lock()))
}

/// This rank.
#[unsafe(no_mangle)]
pub extern "C" fn mpi_link_rank() -> u32 {
    state_or(0, |state| state.rank as u32)
}

/// How many ranks there are.
#[unsafe(no_mangle)]
pub extern "C" fn mpi_link_size() -> u32 {
    state_or(1, |state| state.size as u32)
}

/// Takes two runs of bytes along as one, for one rank.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mpi_link_write(
    to: u32,
    head: *const u8,
    head_length: u32,
    body: *const u8,
    body_length: f64,
) {
    let Some(link) = link() else { return };
    let body_length = body_length as usize;
    let mut bytes = Vec::with_capacity(head_length as usize + body_length);
    bytes.extend_from_slice(unsafe { bytes_at(head, head_length) });
    if body_length > 0 {
        bytes.extend_from_slice(unsafe { core::slice::from_raw_parts(body, body_length) });
    }
    let mut state = link.lock();
    state.unsent += bytes.len();
    state.outgoing.push_back(Parcel {
        to: to as usize,
        bytes,
    });
    drop(state);
    link.work.notify_all();
}

/// Fills the target with what has come from one rank; returns how many bytes that was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mpi_link_read(from: u32, target: *mut u8, capacity: f64) -> f64 {
    let Some(link) = link() else { return 0.0 };
    let capacity = capacity as usize;
    let mut filled = 0;
    while filled < capacity {
        // Copied outside the lock: the thread of MPI goes on meanwhile.
        let Some(mut piece) = link.lock().incoming[from as usize].pop_front() else {
            break;
        };
        let count = (piece.bytes.len() - piece.read).min(capacity - filled);
        unsafe {
            let source = piece.bytes.as_ptr().add(piece.read);
            core::ptr::copy_nonoverlapping(source, target.add(filled), count);
        }
        filled += count;
        piece.read += count;
        if piece.read < piece.bytes.len() {
            link.lock().incoming[from as usize].push_front(piece);
        }
    }
    filled as f64
}

/// Begins a look at what has come: `mpi_link_sleep` ends at what comes from now on.
#[unsafe(no_mangle)]
pub extern "C" fn mpi_link_look() {
    state_or((), |state| state.arrived = false);
}

/// Sleeps until something came since the last look, at most so many milliseconds.
#[unsafe(no_mangle)]
pub extern "C" fn mpi_link_sleep(at_most_ms: u32) {
    let Some(link) = link() else { return };
    link.lock().waiting = true;
    link.work.notify_all();
    link.wait(Duration::from_millis(u64::from(at_most_ms)), |state| {
        state.arrived
    });
    link.lock().waiting = false;
}

/// Bytes that have not left yet.
#[unsafe(no_mangle)]
pub extern "C" fn mpi_link_unsent() -> f64 {
    state_or(0.0, |state| state.unsent as f64)
}

/// 1 where a rank sends nothing more and all that it sent was read.
#[unsafe(no_mangle)]
pub extern "C" fn mpi_link_ended(rank: u32) -> u32 {
    let rank = rank as usize;
    state_or(0, |state| {
        u32::from(state.finished[rank] && state.incoming[rank].is_empty())
    })
}

/// Writes why the work has ended and which rank is at fault; returns the bytes of the reason, 0
/// where the work goes on. From now on ending the process is the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mpi_link_verdict(text: *mut u8, capacity: u32, rank: *mut u32) -> u32 {
    state_or(0, |state| {
        let Some(verdict) = &state.verdict else {
            return 0;
        };
        state.noticed.get_or_insert_with(Instant::now);
        unsafe { *rank = verdict.rank };
        unsafe { write_text(&watch::ended(state.size, &verdict.reason), text, capacity) }
    })
}

/// Ends the work of all ranks, and returns when they were told and MPI makes no calls any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mpi_link_abort(rank: u32, reason: *const u8, length: u32) {
    let Some(link) = link() else { return };
    link.lock().noticed.get_or_insert_with(Instant::now);
    link.find(rank as usize, unsafe { text_at(reason, length) });
    link.wait(TELLING, |state| state.verdict.is_some());
    link.work.notify_all();
    link.wait(PARKING, |state| state.parked);
}

/// Ends this rank's part: sends what is left, waits for the others to end theirs, ends MPI.
/// Returns 0 where that was done within so many milliseconds.
#[unsafe(no_mangle)]
pub extern "C" fn mpi_link_close(at_most_ms: u32) -> i32 {
    let Some(link) = link() else { return 0 };
    link.lock().closing = true;
    link.work.notify_all();
    let done = |state: &State| state.phase == Phase::Closed || state.verdict.is_some();
    link.wait(Duration::from_millis(u64::from(at_most_ms)), done);
    i32::from(link.lock().phase != Phase::Closed)
}
