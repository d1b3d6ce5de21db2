//! Tokenizers whose characters merge: special tokens that are found in the normal form.

use super::class::CharClasses;
use super::special::Search;
use super::symbols::Symbols;
use super::worker::Worker;
use alloc::vec::Vec;

/// How names of special tokens are found in a normal form.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// Whether those that are special are tokens too.
    pub parse: bool,
    /// Whether a word stands before the stretch.
    pub after_word: bool,
    /// Classes of characters.
    pub classes: &'a CharClasses,
}

impl Symbols {
    /// Encodes a normal form with the special tokens that are found in it.
    pub(super) fn encode_named(
        &self,
        text: &[u8],
        cuts: bool,
        names: Names,
        worker: &mut Worker,
        ids: &mut Vec<u32>,
    ) {
        if !self.names.any(names.parse) {
            return self.encode_normal(text, cuts, worker, ids);
        }
        let mut search = Search::new(names.parse, names.after_word);
        while let Some(found) = if cuts {
            self.names.find_certain(text, &mut search, names.classes)
        } else {
            self.names.find(text, &mut search, names.classes)
        } {
            self.encode_part(text, (search.bound, found.start), cuts, worker, ids);
            if !found.is_empty() {
                ids.push(found.id);
            }
            (search.from, search.bound) = (found.resume, found.end);
        }
        self.encode_part(text, (search.bound, text.len()), cuts, worker, ids);
        let end = self.names.certain_end(text, &search, names.classes);
        worker.cuts.retain(|cut| cut.normal <= end);
    }

    /// Encodes a part of a normal form, whose cuts are those of the whole.
    fn encode_part(
        &self,
        text: &[u8],
        (start, end): (usize, usize),
        cuts: bool,
        worker: &mut Worker,
        ids: &mut Vec<u32>,
    ) {
        let before = worker.cuts.len();
        self.encode_normal(&text[start.min(end)..end], cuts, worker, ids);
        for cut in &mut worker.cuts[before..] {
            cut.normal += start;
        }
    }
}
