//! A compiled tokenizer and what is done with it: many texts at once, on all threads.

use super::begun::{Begun, TaskResult};
use super::blob::{Blob, Flags, Head};
use super::bytes::ByteLevel;
use super::class::{CharClasses, LETTER};
use super::gather::{Shared, gather};
use super::lines::Written;
use super::normalize::Place;
use super::open::Refusal;
use super::special::{LATE, Search, Specials};
use super::symbols::Symbols;
use super::units::{TASK_BYTES, Unit, cut, tasks};
use super::utf8::{first_byte, first_invalid_of_all};
use super::worker::{Worker, reserve};
use alloc::boxed::Box;
use alloc::vec::Vec;

pub(super) enum Family {
    Symbols(Box<Symbols>),
    Bytes(Box<ByteLevel>),
}

/// Runs a function for every task and thread.
pub type Parallel<'a> = &'a dyn Fn(usize, &(dyn Fn(usize, usize) + Sync));

/// A tokenizer in memory.
pub struct Tokenizer {
    pub(super) family: Family,
    /// Names that are found in the text, and those that are found in what the first leave.
    pub(super) names: [Specials; 2],
    pub(super) classes: CharClasses,
    pub(super) workers: Vec<Worker>,
    /// Ids of each task of the last call, and how many each of its units has.
    pub(super) results: Vec<TaskResult>,
    /// A text that is not there as a whole yet.
    pub(super) begun: Option<Box<Begun>>,
    /// Ids of the last call.
    pub ids: Vec<u32>,
    /// Number of ids of each text of the last call.
    pub counts: Vec<u32>,
    /// Ids of the lines of the last call, in decimal.
    pub written: Vec<u8>,
    pub(super) line_results: Vec<Written>,
    /// How many lines these are.
    pub lines: usize,
}

/// What is done with names of special tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SpecialMode {
    /// They are text.
    Text,
    /// They are tokens.
    Parse,
    /// They are refused.
    Refuse,
}

/// How to encode.
#[derive(Clone, Copy)]
pub struct Request {
    /// Names of special tokens.
    pub special: SpecialMode,
    /// Bytes that are not UTF-8 become U+FFFD, one for each.
    pub replace: bool,
    /// More text follows: stop before what it could change.
    pub streaming: bool,
    /// Where the (only) text of a stream stands.
    pub place: Place,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; for a stream, up to which byte.
    Done(usize),
    /// A byte that is not UTF-8.
    Invalid(usize),
    /// A special token where none may be.
    Special(usize, u32),
}

/// Where a text stands behind a cut, which is made behind a letter.
pub(super) const BEHIND_CUT: Place = Place {
    after_word: true,
    ..Place::INSIDE
};

/// The names that are found in the text itself.
fn names(blob: &Blob) -> [Specials; 2] {
    let tokens = (&blob.special_ids[..], &blob.special_flags[..]);
    let normal = blob.flag(Flags::NORMAL_NAMES);
    [
        Specials::new(&blob.special_names, tokens, |flags| flags & LATE == 0),
        Specials::new(&blob.special_names, tokens, |flags| {
            flags & LATE != 0 && !normal
        }),
    ]
}

impl Tokenizer {
    /// Builds the tables for so many threads.
    pub fn new(description: &[u8], threads: usize) -> Result<Tokenizer, Refusal> {
        let blob = Blob::new(description)?;
        let names = names(&blob);
        let family = match blob.head(Head::Family) {
            0 => Family::Symbols(Box::new(Symbols::new(blob)?)),
            1 => Family::Bytes(Box::new(ByteLevel::new(blob)?)),
            _ => return Err(Refusal::Text("the description has an unknown family")),
        };
        Ok(Tokenizer {
            family,
            names,
            classes: CharClasses::new(),
            workers: (0..threads.max(1)).map(|_| Worker::default()).collect(),
            results: Vec::new(),
            begun: None,
            ids: Vec::new(),
            counts: Vec::new(),
            written: Vec::new(),
            line_results: Vec::new(),
            lines: 0,
        })
    }

    /// Encodes one part of a stream, a long one on all threads; its place is moved on.
    pub fn encode_stream(
        &mut self,
        text: &[u8],
        last: bool,
        request: &mut Request,
        parallel: Parallel,
    ) -> Outcome {
        self.ids.clear();
        self.counts.clear();
        let whole = core::iter::once((0, text.len()));
        if let Some(refused) = self.refuse(text, whole, *request, parallel) {
            return refused;
        }
        let inside = self.encode_inside(text, request, parallel);
        self.counts.clear();
        let mut ids = core::mem::take(&mut self.ids);
        let mut workers = core::mem::take(&mut self.workers);
        let unit = Unit {
            start: inside,
            end: text.len(),
            first: false,
            last,
        };
        let at = self.encode_unit(text, unit, request, &mut workers[0], &mut ids);
        self.workers = workers;
        self.counts.push(ids.len() as u32);
        self.ids = ids;
        Outcome::Done(inside + at)
    }

    /// Encodes what a cut parts from the end of a stream's text; gives its length.
    fn encode_inside(&mut self, text: &[u8], request: &mut Request, parallel: Parallel) -> usize {
        if self.workers.len() == 1 || text.len() < 4 * TASK_BYTES {
            return 0;
        }
        let whole = Request {
            streaming: false,
            ..*request
        };
        let mut units = self.units(text, &[text.len() as u32], whole);
        units.pop();
        let Some(inside) = units.last().map(|unit| unit.end) else {
            return 0;
        };
        self.encode_tasks(text, &units, whole, parallel);
        request.place = BEHIND_CUT;
        inside
    }

    /// Encodes texts that stand one after another in `text` and end at `ends`, with `parallel`, which
    /// runs a function for every task and thread.
    pub fn encode_batch(
        &mut self,
        text: &[u8],
        ends: &[u32],
        request: Request,
        parallel: Parallel,
    ) -> Outcome {
        self.ids.clear();
        self.counts.clear();
        let starts = core::iter::once(0).chain(ends.iter().map(|&end| end as usize));
        let texts = starts.zip(ends.iter().map(|&end| end as usize));
        if let Some(refused) = self.refuse(text, texts, request, parallel) {
            return refused;
        }
        let threads = self.workers.len();
        if threads == 1 || text.len() < 2 * TASK_BYTES {
            self.encode_alone(text, ends, request);
        } else {
            let units = self.units(text, ends, request);
            self.encode_tasks(text, &units, request, parallel);
        }
        Outcome::Done(text.len())
    }

    /// Bytes that are not well-formed, and special tokens in texts where none may be.
    pub(super) fn refuse(
        &self,
        bytes: &[u8],
        mut texts: impl Iterator<Item = (usize, usize)>,
        request: Request,
        parallel: Parallel,
    ) -> Option<Outcome> {
        if !request.replace
            && let Some(at) = first_invalid_of_all(bytes, parallel)
        {
            return Some(Outcome::Invalid(at));
        }
        if request.special != SpecialMode::Refuse {
            return None;
        }
        texts.find_map(|(start, end)| {
            let find = |names: &Specials| {
                let mut search = Search::new(true, request.place.after_word);
                names.find(&bytes[start..end], &mut search, &self.classes)
            };
            let found = self.names.iter().find_map(find)?;
            Some(Outcome::Special(start + found.start, found.id))
        })
    }

    fn encode_alone(&mut self, text: &[u8], ends: &[u32], request: Request) {
        let mut ids = core::mem::take(&mut self.ids);
        let mut workers = core::mem::take(&mut self.workers);
        reserve(&mut ids, text.len() / 3 + 64);
        let mut start = 0;
        for &end in ends {
            let before = ids.len();
            let unit = Unit {
                start,
                end: end as usize,
                first: true,
                last: true,
            };
            self.encode_unit(text, unit, &mut request.clone(), &mut workers[0], &mut ids);
            self.counts.push((ids.len() - before) as u32);
            start = end as usize;
        }
        self.workers = workers;
        self.ids = ids;
    }

    fn encode_tasks(&mut self, text: &[u8], units: &[Unit], request: Request, parallel: Parallel) {
        let tasks = tasks(units);
        let mut results = core::mem::take(&mut self.results);
        results.resize_with(tasks.len().max(results.len()), Default::default);
        let mut workers = core::mem::take(&mut self.workers);
        let shared = (Shared(results.as_mut_ptr()), Shared(workers.as_mut_ptr()));
        let this = &*self;
        parallel(tasks.len(), &|task, thread| {
            let (results, workers) = (&shared.0, &shared.1);
            // Every task is run once, and every thread has its own worker.
            let (ids, counts) = unsafe { &mut *results.0.add(task) };
            let worker = unsafe { &mut *workers.0.add(thread) };
            ids.clear();
            counts.clear();
            for unit in &units[tasks[task].0..tasks[task].1] {
                let before = ids.len();
                this.encode_unit(text, *unit, &mut request.clone(), worker, ids);
                counts.push((ids.len() - before) as u32);
            }
        });
        self.workers = workers;
        let done = &results[..tasks.len()];
        gather(&mut self.ids, done, |result| &result.0, parallel);
        self.count(done, units);
        self.results = results;
    }

    /// Counts the ids of each text.
    fn count(&mut self, results: &[(Vec<u32>, Vec<u32>)], units: &[Unit]) {
        let mut unit = units.iter();
        for &count in results.iter().flat_map(|(_, counts)| counts) {
            match unit.next() {
                Some(unit) if !unit.first => *self.counts.last_mut().unwrap_or(&mut 0) += count,
                _ => self.counts.push(count),
            }
        }
    }

    /// Whether there are places where text may be cut.
    pub(super) fn divisible(&self, request: Request) -> bool {
        let parse = request.special == SpecialMode::Parse;
        !request.replace
            && self.names.iter().all(|n| !n.any(parse) || n.simple)
            && match &self.family {
                Family::Symbols(symbols) => symbols.has_cuts(),
                Family::Bytes(_) => true,
            }
    }

    /// The first place behind `from` where a text that is divisible may be cut.
    ///
    /// # Safety
    /// As of [`cut`].
    pub(super) unsafe fn next_cut(
        &self,
        text: &[u8],
        from: usize,
        request: Request,
    ) -> Option<usize> {
        let parse = request.special == SpecialMode::Parse;
        // In every split pattern a piece ends with the last of a word's letters.
        let may = |left: u32, right: u32| {
            let byte = first_byte(right);
            let uncut = |names: &Specials| !names.any(parse) || names.may_cut_before(byte);
            self.names.iter().all(uncut)
                && match &self.family {
                    Family::Symbols(symbols) => symbols.may_cut(left, right),
                    Family::Bytes(_) => self.classes.of(right) != LETTER,
                }
        };
        unsafe { cut(text, from, &self.classes, may) }
    }

    /// The texts, long ones cut where no token reaches across.
    fn units(&self, text: &[u8], ends: &[u32], request: Request) -> Vec<Unit> {
        let mut units = Vec::with_capacity(ends.len());
        let divisible = self.divisible(request);
        let mut start = 0;
        for &end in ends {
            let end = end as usize;
            let mut first = true;
            while divisible && end - start > 2 * TASK_BYTES {
                let from = start + TASK_BYTES;
                // Texts are divisible only where malformed bytes are refused before.
                let found = unsafe { self.next_cut(&text[..end], from, request) };
                let Some(cut) = found else {
                    break;
                };
                units.push(Unit {
                    start,
                    end: cut,
                    first,
                    last: false,
                });
                start = cut;
                first = false;
            }
            units.push(Unit {
                start,
                end,
                first,
                last: true,
            });
            start = end;
        }
        units
    }
}
