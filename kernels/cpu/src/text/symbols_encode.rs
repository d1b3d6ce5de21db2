//! Tokenizers whose characters merge: encoding.
//!
//! The normal form is cut into chunks between characters that stand side by side in no piece; no
//! merge reaches across such a place, so every chunk is encoded for itself, most of them by one
//! look-up.

use super::cache::{Key, LONGEST};
use super::class::CharClasses;
use super::hash::NONE;
use super::merge::Symbol;
use super::normalize::{Place, Stretch};
use super::output::Output;
use super::symbols::Symbols;
use super::symbols_named::Names;
use super::tokenizer::{Request, SpecialMode};
use super::utf8::{REPLACEMENT, decode, first_invalid, well_formed};
use super::worker::{Cut, Worker, reserve};
use alloc::vec::Vec;

/// Room for what may stand before a text or behind it.
const SPARE: usize = 16;

/// Where encoding a stretch stopped.
#[derive(Clone, Copy)]
pub struct Stop {
    /// Offset in the text.
    pub at: usize,
    /// Where what follows stands.
    pub place: Place,
}

impl Symbols {
    /// Appends the ids of a stretch. Unless it is the last and nothing is `cut`, it stops before what
    /// more text could change.
    pub fn encode(
        &self,
        (stretch, classes): (Stretch, &CharClasses),
        request: &Request,
        worker: &mut Worker,
        out: &mut Vec<u32>,
    ) -> Stop {
        let mut normal = core::mem::take(&mut worker.normal);
        normal.clear();
        reserve(&mut normal, stretch.text.len() + SPARE);
        let before = out.len();
        let names = Names {
            parse: request.special == SpecialMode::Parse,
            after_word: stretch.place.late_begun && stretch.place.after_word,
            classes,
        };
        let stop = if request.streaming && !stretch.last {
            let mut steps = core::mem::take(&mut worker.steps);
            steps.clear();
            self.normalizer.run(stretch, &mut normal, Some(&mut steps));
            self.mend(&mut normal);
            worker.cuts.clear();
            self.encode_named(&normal, true, names, worker, out);
            let stop = self.last_cut(before, &normal, &steps, &worker.cuts);
            out.truncate(before + stop.map_or(0, |s| s.1));
            worker.steps = steps;
            stop.map_or(
                Stop {
                    at: 0,
                    place: stretch.place,
                },
                |s| s.0,
            )
        } else {
            self.normalizer.run(stretch, &mut normal, None);
            self.mend(&mut normal);
            self.encode_named(&normal, false, names, worker, out);
            Stop {
                at: stretch.text.len(),
                place: Place::INSIDE,
            }
        };
        worker.normal = normal;
        stop
    }

    /// Rules from a file may cut characters apart; everything behind relies on whole ones.
    fn mend(&self, normal: &mut Vec<u8>) {
        if self.normalizer.is_simple() || first_invalid(normal).is_none() {
            return;
        }
        let mut whole = Vec::with_capacity(normal.len());
        let mut at = 0;
        while at < normal.len() {
            let len = well_formed(normal, at);
            whole.extend_from_slice(if len == 0 {
                REPLACEMENT
            } else {
                &normal[at..at + len]
            });
            at += len.max(1);
        }
        *normal = whole;
    }

    /// The last place where text and normal form may both be cut, and the number of ids before it but
    /// behind the `first`.
    fn last_cut(
        &self,
        first: usize,
        normal: &[u8],
        steps: &[super::normalize::Step],
        cuts: &[Cut],
    ) -> Option<(Stop, usize)> {
        let mut step = steps.len();
        for cut in cuts.iter().rev().filter(|c| c.normal > 0) {
            // Spaces at the end may still be taken away.
            if self.normalizer.remove_extra && normal[cut.normal - 1] == b' ' {
                continue;
            }
            while step > 0 && steps[step - 1].normal > cut.normal {
                step -= 1;
            }
            if step > 0 && steps[step - 1].normal == cut.normal {
                let found = steps[step - 1];
                let place = Place {
                    after_space: found.after_space,
                    ..Place::INSIDE
                };
                return Some((
                    Stop {
                        at: found.raw,
                        place,
                    },
                    cut.ids - first,
                ));
            }
        }
        None
    }

    /// Encodes a normal form, or a part of one, as it stands.
    pub(super) fn encode_normal(
        &self,
        text: &[u8],
        cuts: bool,
        worker: &mut Worker,
        ids: &mut Vec<u32>,
    ) {
        let mut output = Output {
            ids,
            unknown_end: usize::MAX,
            pending: false,
        };
        if !self.unused.is_empty() {
            self.encode_unused(text, worker, &mut output);
        } else if cuts || !self.frozen.is_empty() || self.split_spaces {
            self.encode_chunks::<true>(text, cuts, worker, &mut output);
        } else {
            self.encode_chunks::<false>(text, false, worker, &mut output);
        }
        output.flush(self.unknown);
    }

    /// The loop over chunks; `CAREFUL` has what few tokenizers need.
    fn encode_chunks<const CAREFUL: bool>(
        &self,
        text: &[u8],
        cuts: bool,
        worker: &mut Worker,
        out: &mut Output,
    ) {
        let mut at = 0;
        while at < text.len() {
            if CAREFUL && cuts && !out.pending && out.unknown_end != out.ids.len() {
                worker.cuts.push(Cut {
                    normal: at,
                    ids: out.ids.len(),
                });
            }
            if CAREFUL {
                let mut open = false;
                if let Some((token, len)) = self.frozen_at(text, at, &mut open) {
                    out.known(self, token);
                    at += len;
                    continue;
                }
                if cuts && open {
                    return;
                }
            }
            let (token, end) = self.chunk::<CAREFUL>(text, at);
            if token == NONE {
                self.encode_chunk(text, (at, end), worker, out);
            } else {
                out.token(self, token, &text[at..end]);
            }
            at = end;
        }
    }

    /// End of the chunk that begins at `at`, and its token if it is one character.
    #[inline(always)]
    fn chunk<const CAREFUL: bool>(&self, text: &[u8], at: usize) -> (u32, usize) {
        unsafe {
            let (mut code, len) = decode(text, at);
            let first = self.chars.get(code);
            if first == NONE {
                return (self.unknown_token(), at + len);
            }
            let mut token = first;
            let mut end = at + len;
            while end < text.len() {
                let next = *text.get_unchecked(end);
                if CAREFUL && self.stops_before(text, end) {
                    break;
                }
                if code < 0x80 && next < 0x80 {
                    if !self.joins.has_ascii(code as u8, next) {
                        break;
                    }
                    code = next as u32;
                    end += 1;
                    continue;
                }
                if code < 0x80 {
                    token = self.chars.get(code);
                }
                let (following, len) = decode(text, end);
                let following_token = self.chars.get(following);
                if following_token == NONE || !self.joins.has(token, following_token) {
                    break;
                }
                code = following;
                token = following_token;
                end += len;
            }
            (if end == at + len { first } else { NONE }, end)
        }
    }

    /// A token number that stands for "unknown character".
    #[inline(always)]
    fn unknown_token(&self) -> u32 {
        self.ids.len() as u32
    }

    #[cold]
    fn stops_before(&self, text: &[u8], at: usize) -> bool {
        (self.split_spaces && text[at] == b' ') || self.frozen_at(text, at, &mut false).is_some()
    }

    #[inline]
    fn frozen_at(&self, text: &[u8], at: usize, open: &mut bool) -> Option<(u32, usize)> {
        if !self.frozen_first[text[at] as usize] {
            return None;
        }
        self.frozen.longest_open(text, at, open)
    }

    /// Encodes a chunk of several characters, all of which are known.
    #[inline(always)]
    fn encode_chunk(
        &self,
        text: &[u8],
        span: (usize, usize),
        worker: &mut Worker,
        out: &mut Output,
    ) {
        let len = span.1 - span.0;
        // What is kept of chunks is of those behind which and before which nothing is open.
        if len > LONGEST || out.pending {
            self.encode_new_chunk(text, span, worker, out);
            return;
        }
        let key = unsafe { Key::new(text, span.0, len) };
        if worker.cache.get(key, out.ids) {
            return;
        }
        let before = out.ids.len();
        if self.encode_new_chunk(text, span, worker, out) {
            worker.cache.put(key, &out.ids[before..]);
        }
    }

    /// Encodes a chunk that was not met before; tells whether its ids are those wherever it stands.
    #[inline(never)]
    fn encode_new_chunk(
        &self,
        text: &[u8],
        (at, end): (usize, usize),
        worker: &mut Worker,
        out: &mut Output,
    ) -> bool {
        let token = self.whole.find(&self.vocabulary.texts, text, at, end - at);
        if token != NONE {
            out.flush(self.unknown);
            out.ids.push(token);
            return true;
        }
        let short = end - at <= LONGEST && !out.pending;
        let key = short.then(|| unsafe { Key::new(text, at, end - at) });
        if key.is_some_and(|key| worker.merged.get(key, out.ids)) {
            return true;
        }
        let before = out.ids.len();
        let chunk = &text[at..end];
        worker.merge(&self.vocabulary, chunk, |at| {
            let (code, len) = unsafe { decode(chunk, at) };
            (self.chars.get(code), len)
        });
        let mut plain = true;
        let mut start = 0;
        for &token in &worker.tokens {
            let len = self.vocabulary.lengths[token as usize] as usize;
            plain &= self.ids[token as usize] != NONE;
            out.token(self, token, &chunk[start..start + len]);
            start += len;
        }
        if let Some(key) = key.filter(|_| plain) {
            worker.merged.put(key, &out.ids[before..]);
        }
        plain
    }

    /// The characters of a text as symbols; pieces that are frozen out of it never merge.
    fn symbols(&self, text: &[u8]) -> Vec<Symbol> {
        let mut symbols = Vec::new();
        let mut at = 0;
        while at < text.len() {
            if let Some((_, len)) = self.frozen_at(text, at, &mut false) {
                symbols.push(Symbol::new(at, at + len, NONE));
                at += len;
                continue;
            }
            let (code, len) = unsafe { decode(text, at) };
            symbols.push(Symbol::new(at, at + len, self.chars.get(code)));
            at += len;
        }
        symbols
    }

    /// Encodes with pieces that are split back after merging: all of the text at once, since how they
    /// are split depends on the candidates met anywhere in it.
    fn encode_unused(&self, text: &[u8], worker: &mut Worker, out: &mut Output) {
        let mut agenda = core::mem::take(&mut worker.agenda);
        agenda.keep_halves(self.vocabulary.texts.len());
        agenda.run(&self.vocabulary, text, self.symbols(text));
        for symbol in agenda.symbols() {
            let (start, end) = (symbol.start as usize, symbol.end as usize);
            match self.frozen_at(text, start, &mut false) {
                Some((token, len)) if symbol.token == NONE && len == end - start => {
                    out.known(self, token)
                }
                _ => {
                    let mut parts = Vec::from([(start, end)]);
                    while let Some((start, end)) = parts.pop() {
                        let token = self.token_of(text, start, end);
                        let half = agenda.left_half(token) as usize;
                        if self.unused.get(token as usize) == Some(&true) && half > 0 {
                            parts.extend([(start + half, end), (start, start + half)]);
                        } else {
                            out.token(self, token, &text[start..end]);
                        }
                    }
                }
            }
        }
        agenda.keep_halves(0);
        worker.agenda = agenda;
    }

    fn token_of(&self, text: &[u8], start: usize, end: usize) -> u32 {
        let (code, len) = unsafe { decode(text, start) };
        let token = if len == end - start {
            self.chars.get(code)
        } else {
            self.vocabulary
                .by_text
                .find(&self.vocabulary.texts, text, start, end - start)
        };
        if token == NONE {
            self.unknown_token()
        } else {
            token
        }
    }
}
