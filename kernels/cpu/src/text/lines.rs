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

/// Appends a number in decimal.
fn push_decimal(out: &mut Vec<u8>, mut number: u32) {
    let mut digits = [0; ID_BYTES];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
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
        let mut results = Vec::new();
        results.resize_with(starts.len() - 1, Written::default);
        let mut workers = core::mem::take(&mut self.workers);
        let shared = (Shared(results.as_mut_ptr()), Shared(workers.as_mut_ptr()));
        let this = &*self;
        parallel(starts.len() - 1, &|task, thread| {
            let (results, workers) = (&shared.0, &shared.1);
            // Every task is run once, and every thread has its own worker.
            let result = unsafe { &mut *results.0.add(task) };
            let worker = unsafe { &mut *workers.0.add(thread) };
            let (start, end) = (starts[task], starts[task + 1]);
            this.write_lines(text, (start, end), (request, ends), worker, result);
        });
        self.workers = workers;
        self.lines = results.iter().map(|result| result.lines).sum();
        gather(&mut self.written, &results, |result| &result.text, parallel);
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
        out.text.reserve((end - start) * 2);
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
            out.text.reserve(ids.len() * ID_BYTES + 1);
            for (i, &id) in ids.iter().enumerate() {
                if i > 0 {
                    out.text.push(b' ');
                }
                push_decimal(&mut out.text, id);
            }
            out.text.push(b'\n');
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
