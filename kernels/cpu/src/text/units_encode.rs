//! Encoding a unit of text: special tokens, and the stretches between them.

use super::normalize::{Place, Stretch};
use super::special::{Search, word_before};
use super::tokenizer::{BEHIND_CUT, Family, Request, SpecialMode, Tokenizer};
use super::units::Unit;
use super::worker::Worker;
use alloc::vec::Vec;

impl Tokenizer {
    /// Encodes a unit, special tokens and all; gives the place where a stream stopped.
    pub(super) fn encode_unit(
        &self,
        text: &[u8],
        unit: Unit,
        request: &mut Request,
        worker: &mut Worker,
        out: &mut Vec<u32>,
    ) -> usize {
        if !unit.first && !request.streaming {
            request.place = BEHIND_CUT;
        }
        let text = &text[unit.start..unit.end];
        let at = self.encode_around(0, (text, unit.last), request, worker, out);
        if let Some(word) = word_before(text, at, &self.classes) {
            request.place.after_word = word;
        }
        at
    }

    /// Encodes a text with the names of a level and those behind it.
    fn encode_around(
        &self,
        level: usize,
        (text, last): (&[u8], bool),
        request: &mut Request,
        worker: &mut Worker,
        out: &mut Vec<u32>,
    ) -> usize {
        let parse = request.special == SpecialMode::Parse;
        let Some(names) = self.names.get(level) else {
            return self.encode_stretch((text, last), request, worker, out);
        };
        if !names.any(parse) {
            return self.encode_around(level + 1, (text, last), request, worker, out);
        }
        // The first names see the whole text, the second ones stretches of it.
        let seen = level == 0 || request.place.late_begun;
        let mut search = Search::new(parse, request.place.after_word && seen);
        let certain = last || !request.streaming;
        while let Some(found) = if certain {
            names.find(text, &mut search, &self.classes)
        } else {
            names.find_certain(text, &mut search, &self.classes)
        } {
            let between = &text[search.bound.min(found.start)..found.start];
            self.encode_around(level + 1, (between, true), request, worker, out);
            if !found.is_empty() {
                out.push(found.id);
            }
            request.place = Place {
                begun: false,
                late_begun: level > 0,
                ..Place::INSIDE
            };
            (search.from, search.bound) = (found.resume, found.end);
        }
        let end = if certain {
            text.len()
        } else {
            names.certain_end(text, &search, &self.classes)
        };
        let rest = &text[search.bound..end];
        search.bound + self.encode_around(level + 1, (rest, last), request, worker, out)
    }

    fn encode_stretch(
        &self,
        (text, last): (&[u8], bool),
        request: &mut Request,
        worker: &mut Worker,
        out: &mut Vec<u32>,
    ) -> usize {
        match &self.family {
            Family::Symbols(symbols) => {
                let stretch = Stretch {
                    text,
                    place: request.place,
                    last,
                    valid: !request.replace,
                };
                let stop = symbols.encode((stretch, &self.classes), request, worker, out);
                request.place = stop.place;
                stop.at
            }
            Family::Bytes(bytes) => {
                // Without `last` a unit ends where a piece ends, unless it is a stream's.
                let whole = last || !request.streaming;
                let at = unsafe { bytes.encode(text, whole, worker, out) };
                request.place.late_begun |= at > 0;
                at
            }
        }
    }
}
