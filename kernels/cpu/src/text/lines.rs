//! Lines of a text, each encoded for itself, and their ids in decimal: what a program prints.

use super::gather::{Shared, gather};
use super::tokenizer::{Outcome, Parallel, Request, Tokenizer};
use super::units::{TASK_BYTES, Unit};
use super::worker::Worker;
use alloc::vec::Vec;

/// Digits of the largest id, and what stands behind it.
const ID_BYTES: usize = 11;

/// Ids that stand before and behind those of every line.
#[derive(Clone, Copy)]
pub struct Ends {
    /// The first of each line.
    pub first: Option<u32>,
    /// The last of each line.
    pub last: Option<u32>,
}

/// Lines written by one task.
#[derive(Default)]
pub(super) struct Written {
    text: Vec<u8>,
    lines: usize,
}

/// Where the next line begins behind `from`.
fn next_line(text: &[u8], from: usize) -> usize {
    let found = text[from..].iter().position(|&byte| byte == b'\n');
    found.map_or(text.len(), |at| from + at + 1)
}

/// Whole lines of about [`TASK_BYTES`]: where each task begins, and where the last one ends.
fn tasks(text: &[u8]) -> Vec<usize> {
    let mut starts = Vec::from([0]);
    let mut at = 0;
    while at < text.len() {
        at = next_line(text, (at + TASK_BYTES).min(text.len()));
        starts.push(at);
    }
    starts
}

/// Numbers of two digits.
static PAIRS: [[u8; 2]; 100] = pairs();

const fn pairs() -> [[u8; 2]; 100] {
    let mut table = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        table[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    table
}

/// Digits of a number.
#[inline(always)]
fn digits(number: u32) -> usize {
    const POWERS: [u32; 9] = [
        10,
        100,
        1_000,
        10_000,
        100_000,
        1_000_000,
        10_000_000,
        100_000_000,
        1_000_000_000,
    ];
    // Ids are small, so that few of these are looked at.
    1 + POWERS.iter().take_while(|&&power| number >= power).count()
}

/// Writes a number in decimal and gives where it ends.
///
/// # Safety
/// There is room for it.
#[inline(always)]
unsafe fn write_decimal(to: *mut u8, mut number: u32) -> *mut u8 {
    unsafe {
        let end = to.add(digits(number));
        let mut at = end;
        while number >= 10 {
            at = at.sub(2);
            at.cast::<[u8; 2]>()
                .write_unaligned(PAIRS[(number % 100) as usize]);
            number /= 100;
        }
        if at > to {
            *to = b'0' + number as u8;
        }
        end
    }
}

/// Appends ids in decimal, with spaces between and a line end behind.
fn push_ids(out: &mut Vec<u8>, ids: &[u32]) {
    out.reserve(ids.len() * ID_BYTES + 1);
    unsafe {
        let start = out.as_mut_ptr();
        let mut to = start.add(out.len());
        for &id in ids {
            to = write_decimal(to, id);
            *to = b' ';
            to = to.add(1);
        }
        // The last space becomes the line end.
        to = to.sub(usize::from(!ids.is_empty()));
        *to = b'\n';
        out.set_len(to.offset_from_unsigned(start) + 1);
    }
}

impl Tokenizer {
    /// Encodes each line for itself; `self.written` are their ids with spaces between and a line end
    /// behind each, `self.lines` says how many there are. A line end at the very end begins no line.
    pub fn encode_lines(
        &mut self,
        text: &[u8],
        request: Request,
        ends: Ends,
        parallel: Parallel,
    ) -> Outcome {
        self.written.clear();
        self.lines = 0;
        if let Some(refused) = self.refuse(text, lines(text), request, parallel) {
            return refused;
        }
        let starts = tasks(text);
        let tasks = starts.len() - 1;
        let mut results = core::mem::take(&mut self.line_results);
        results.resize_with(tasks.max(results.len()), Written::default);
        let mut workers = core::mem::take(&mut self.workers);
        let shared = (Shared(results.as_mut_ptr()), Shared(workers.as_mut_ptr()));
        let this = &*self;
        parallel(tasks, &|task, thread| {
            let (results, workers) = (&shared.0, &shared.1);
            // Every task is run once, and every thread has its own worker.
            let result = unsafe { &mut *results.0.add(task) };
            let worker = unsafe { &mut *workers.0.add(thread) };
            let (start, end) = (starts[task], starts[task + 1]);
            this.write_lines(text, (start, end), (request, ends), worker, result);
        });
        self.workers = workers;
        let done = &results[..tasks];
        self.lines = done.iter().map(|result| result.lines).sum();
        gather(&mut self.written, done, |result| &result.text, parallel);
        self.line_results = results;
        Outcome::Done(text.len())
    }

    /// Writes the ids of the lines of a part of a text.
    fn write_lines(
        &self,
        text: &[u8],
        (start, end): (usize, usize),
        (request, ends): (Request, Ends),
        worker: &mut Worker,
        out: &mut Written,
    ) {
        let mut ids = Vec::new();
        out.text.clear();
        out.lines = 0;
        for (from, to) in lines(&text[start..end]) {
            let unit = Unit {
                start: start + from,
                end: start + to,
                first: true,
                last: true,
            };
            ids.clear();
            ids.extend(ends.first);
            self.encode_unit(text, unit, &mut request.clone(), worker, &mut ids);
            ids.extend(ends.last);
            push_ids(&mut out.text, &ids);
            out.lines += 1;
        }
    }
}

/// Where each line begins, and where it ends.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut at = 0;
    core::iter::from_fn(move || {
        if at == text.len() {
            return None;
        }
        let start = at;
        at = next_line(text, start);
        let ended = text[at - 1] == b'\n';
        Some((start, at - ended as usize))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_the_standard_library_writes_them() {
        let mut ids = Vec::from([u32::MAX, 0]);
        for power in 0..10 {
            let at = 10u32.pow(power);
            ids.extend([at - 1, at, at + 1, at * 4]);
        }
        for some in [&ids[..], &ids[..1], &[]] {
            let mut out = Vec::from(*b"before");
            push_ids(&mut out, some);
            let wanted: Vec<String> = some.iter().map(u32::to_string).collect();
            let wanted = format!("before{}\n", wanted.join(" "));
            assert_eq!(core::str::from_utf8(&out), Ok(&wanted[..]));
        }
    }
}
