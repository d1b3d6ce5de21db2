//! From raw text to distinct words with counts, in blocks and on all threads.

use super::byte_table::ByteTable;
use super::pretokens::{Pretokens, chunks};
use super::reservoir::Reservoir;
use super::sentences::{Fate, LineBuffers, Sentences};
use super::utf8_stream::Utf8Stream;
use crate::context::Context;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ops::Range;

/// Lines that one chunk of work takes together, in bytes.
const CHUNK: usize = 1 << 16;
/// Text without any certain end of a piece is not kept longer than this.
const LONGEST_UNCUT: usize = 1 << 20;

/// How text becomes words.
pub enum Cutting {
    /// Line by line, as SentencePiece does.
    Sentences(Box<Sentences>),
    /// Document by document, by a split pattern.
    Pretokens(Pretokens),
}

/// A sample of the lines instead of all of them.
#[derive(Clone, Copy)]
pub struct Sample {
    /// How many lines; 0 for all.
    pub lines: usize,
    /// Draw them, or take the first ones.
    pub shuffle: bool,
}

/// How many lines came, and what became of them.
#[derive(Clone, Copy, Default)]
pub struct Lines {
    /// Lines that could be trained on.
    pub seen: usize,
    /// Lines left out because they are too long.
    pub too_long: usize,
    /// Lines left out because they have U+2585.
    pub reserved: usize,
}

/// What was read so far.
pub struct Corpus {
    cutting: Cutting,
    sample: Sample,
    reservoir: Option<Reservoir>,
    lines: Lines,
    /// The line or document that goes on in the next block, as far as it is not counted.
    pending: Vec<u8>,
    /// The line that goes on is too long already, and dropped.
    skipping: bool,
    utf8: Utf8Stream,
    tables: Vec<UnsafeCell<ByteTable>>,
}

// Each worker touches the table of its own number alone.
unsafe impl Sync for Corpus {}

impl Corpus {
    /// Nothing read yet.
    pub fn new(cutting: Cutting, sample: Sample, threads: usize) -> Corpus {
        let drawn = sample.lines > 0 && sample.shuffle;
        let tables = (0..threads.max(1))
            .map(|_| UnsafeCell::new(ByteTable::new()))
            .collect();
        Corpus {
            cutting,
            sample,
            reservoir: drawn.then(|| Reservoir::new(sample.lines)),
            lines: Lines::default(),
            pending: Vec::new(),
            skipping: false,
            utf8: Utf8Stream::default(),
            tables,
        }
    }

    /// The lines so far.
    pub fn lines(&self) -> Lines {
        self.lines
    }

    /// Whether no more text is wanted: the sample is full.
    pub fn is_full(&self) -> bool {
        self.sample.lines > 0 && !self.sample.shuffle && self.lines.seen >= self.sample.lines
    }

    /// Reads a block. Documents end at `ends`, which ascend; what follows the last one goes on in the
    /// next block. Gives the offset of a byte that is not UTF-8, which is negative where its
    /// character began in a block before.
    pub fn feed(&mut self, context: &Context, block: &[u8], ends: &[u32]) -> Result<(), isize> {
        let mut start = 0;
        for &end in ends {
            let end = end as usize;
            let checked = self.utf8.check(&block[start..end], true);
            checked.map_err(|at| at + start as isize)?;
            start = end;
        }
        let checked = self.utf8.check(&block[start..], false);
        checked.map_err(|at| at + start as isize)?;
        let before = self.pending.len();
        let mut text = core::mem::take(&mut self.pending);
        text.extend_from_slice(block);
        let ends = ends.iter().map(|&end| before + end as usize);
        let left = match &self.cutting {
            Cutting::Sentences(_) => self.feed_sentences(context, &text, ends),
            Cutting::Pretokens(_) if self.sample.lines > 0 => self.feed_lines(context, &text, ends),
            Cutting::Pretokens(_) => self.feed_documents(context, &text, ends),
        };
        text.drain(..left);
        self.pending = text;
        Ok(())
    }

    /// The distinct words of everything read.
    pub fn finish(mut self, context: &Context) -> (Lines, ByteTable) {
        if let Some(mut reservoir) = self.reservoir.take() {
            let lines = reservoir.take();
            let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            self.count(context, &grouped(&lines));
        }
        let mut tables = self.tables.into_iter().map(UnsafeCell::into_inner);
        let mut words = tables.next().unwrap_or_default();
        for table in tables {
            words.add_all(&table);
        }
        (self.lines, words)
    }

    /// Reads SentencePiece's lines; gives where the unfinished one begins.
    fn feed_sentences(
        &mut self,
        context: &Context,
        text: &[u8],
        ends: impl Iterator<Item = usize>,
    ) -> usize {
        let mut taken = Vec::new();
        let mut start = 0;
        for end in ends {
            for line in text[start..end].split(|&byte| byte == b'\n') {
                self.line(line, &mut taken);
            }
            start = end;
        }
        while let Some(length) = text[start..].iter().position(|&byte| byte == b'\n') {
            self.line(&text[start..start + length], &mut taken);
            start += length + 1;
        }
        if let Cutting::Sentences(sentences) = &self.cutting
            && text.len() - start > sentences.max_length
        {
            self.skipping = true;
        }
        self.count(context, &grouped(&taken));
        if self.skipping { text.len() } else { start }
    }

    /// Takes or leaves a whole line.
    fn line<'a>(&mut self, line: &'a [u8], taken: &mut Vec<&'a [u8]>) {
        let Cutting::Sentences(sentences) = &self.cutting else {
            return;
        };
        if self.is_full() {
            self.skipping = false;
            return;
        }
        let skipped = core::mem::take(&mut self.skipping);
        let fate = if skipped {
            Fate::TooLong
        } else {
            sentences.judge(line)
        };
        match fate {
            Fate::Empty => {}
            Fate::TooLong => self.lines.too_long += 1,
            Fate::Reserved => self.lines.reserved += 1,
            Fate::Taken => self.take(line, taken),
        }
    }

    fn take<'a>(&mut self, line: &'a [u8], taken: &mut Vec<&'a [u8]>) {
        self.lines.seen += 1;
        match &mut self.reservoir {
            Some(reservoir) => reservoir.add(line),
            None => taken.push(line),
        }
    }

    /// Reads lines, each with its line break as a document of its own; gives where the unfinished one
    /// begins.
    fn feed_lines(
        &mut self,
        context: &Context,
        text: &[u8],
        ends: impl Iterator<Item = usize>,
    ) -> usize {
        let mut taken = Vec::new();
        let mut start = 0;
        for (end, open) in ends.map(|end| (end, false)).chain([(text.len(), true)]) {
            for line in text[start..end].split_inclusive(|&byte| byte == b'\n') {
                if (open && line.last() != Some(&b'\n')) || self.is_full() {
                    break;
                }
                self.take(line, &mut taken);
                start += line.len();
            }
            if !open || self.is_full() {
                start = end;
            }
        }
        self.count(context, &grouped(&taken));
        start
    }

    /// Reads whole documents; gives where the unfinished one goes on.
    fn feed_documents(
        &mut self,
        context: &Context,
        text: &[u8],
        ends: impl Iterator<Item = usize>,
    ) -> usize {
        let mut parts = Vec::new();
        let mut start = 0;
        for end in ends {
            self.lines.seen += 1;
            chunks(text, start..end, true, |part| parts.push(part));
            start = end;
        }
        let mut left = chunks(text, start..text.len(), false, |part| parts.push(part));
        let parts: Vec<&[u8]> = parts
            .into_iter()
            .map(|part: Range<usize>| &text[part])
            .collect();
        self.count(context, &grouped(&parts));
        if let Cutting::Pretokens(pretokens) = &self.cutting
            && text.len() - left > LONGEST_UNCUT
        {
            left += pretokens.count(&text[left..], false, self.tables[0].get_mut());
        }
        left
    }

    /// Counts the words of groups of lines or of parts of documents, a group at a time.
    fn count(&self, context: &Context, groups: &[&[&[u8]]]) {
        context.parallel(groups.len(), &|group, worker| {
            let table = unsafe { &mut *self.tables[worker].get() };
            match &self.cutting {
                Cutting::Sentences(sentences) => {
                    let mut buffers = LineBuffers::default();
                    for line in groups[group] {
                        sentences.count(line, &mut buffers, table);
                    }
                }
                Cutting::Pretokens(pretokens) => {
                    for part in groups[group] {
                        pretokens.count(part, true, table);
                    }
                }
            }
        });
    }
}

/// Groups texts so that each group is worth handing out.
fn grouped<'a>(texts: &'a [&'a [u8]]) -> Vec<&'a [&'a [u8]]> {
    let mut groups = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (i, text) in texts.iter().enumerate() {
        bytes += text.len();
        if bytes >= CHUNK || i + 1 == texts.len() {
            groups.push(&texts[start..=i]);
            (start, bytes) = (i + 1, 0);
        }
    }
    groups
}
