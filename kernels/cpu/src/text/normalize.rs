//! Text as the pieces are written in: SentencePiece's normalization and that of `tokenizer.json`.
//!
//! Inside, a space is one byte: where pieces write U+2581 for it, both are changed to ' ' here and in
//! the pieces alike.

use super::charsmap::Charsmap;
use super::trie::Trie;
use super::utf8::{REPLACEMENT, is_cut_off, well_formed};
use alloc::vec::Vec;

/// U+2581, which stands for a space.
pub const MARK: &[u8; 3] = b"\xe2\x96\x81";

/// When a space is put in front of the text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// Never.
    None,
    /// In front of every stretch that is not empty.
    Always,
    /// Likewise, unless it begins with a space.
    UnlessSpace,
    /// Likewise, at the very start of the text alone.
    UnlessSpaceAtStart,
}

/// How text becomes what the pieces are matched with.
pub struct Normalizer {
    /// Replacement rules.
    pub charsmap: Option<Charsmap>,
    /// Pieces that the rules must leave alone.
    pub protected: Trie,
    /// Whether U+2581 stands for a space.
    pub marks: bool,
    /// Whether runs of spaces become one, and those at the ends none.
    pub remove_extra: bool,
    /// When a space is put in front.
    pub prefix: Prefix,
    /// Whether it is put behind instead.
    pub suffix: bool,
}

/// Where in a text the next stretch stands.
#[derive(Clone, Copy, Default)]
pub struct Place {
    /// Something of the text came before.
    pub text_begun: bool,
    /// Something of the stretch came before: no prefix any more.
    pub begun: bool,
    /// What came before ended with a space that swallows those that follow.
    pub after_space: bool,
    /// What came before ended with a character of a word.
    pub after_word: bool,
    /// Something came behind the last special token that is found before others.
    pub late_begun: bool,
}

impl Place {
    /// Behind some of a stretch.
    pub const INSIDE: Place = Place {
        text_begun: true,
        begun: true,
        after_space: false,
        after_word: false,
        late_begun: true,
    };

    /// A place from a word of bits, as streams keep it.
    pub fn from_bits(bits: u32) -> Place {
        Place {
            text_begun: bits & 1 != 0,
            begun: bits & 2 != 0,
            after_space: bits & 4 != 0,
            after_word: bits & 8 != 0,
            late_begun: bits & 16 != 0,
        }
    }

    /// The bits of a place.
    pub fn bits(self) -> u32 {
        self.text_begun as u32
            | (self.begun as u32) << 1
            | (self.after_space as u32) << 2
            | (self.after_word as u32) << 3
            | (self.late_begun as u32) << 4
    }
}

/// A stretch of text to normalize.
#[derive(Clone, Copy)]
pub struct Stretch<'a> {
    /// The text.
    pub text: &'a [u8],
    /// Where it stands.
    pub place: Place,
    /// Whether nothing follows it.
    pub last: bool,
    /// Whether it is known to be well-formed UTF-8.
    pub valid: bool,
}

/// A place where both the text and its normal form may be cut.
#[derive(Clone, Copy)]
pub struct Step {
    /// Offset in the text.
    pub raw: usize,
    /// Offset in the normal form.
    pub normal: usize,
    /// `after_space` of what follows.
    pub after_space: bool,
}

impl Normalizer {
    /// Appends the normal form of a stretch. With `steps` it notes every place where text and normal
    /// form correspond, and stops before what could still change if more followed.
    pub fn run(&self, stretch: Stretch, out: &mut Vec<u8>, steps: Option<&mut Vec<Step>>) {
        if steps.is_none() && stretch.valid && self.is_simple() {
            return self.identity(stretch, out);
        }
        self.general(stretch, out, steps);
    }

    /// Whether each character is changed for itself, spaces included.
    pub fn is_simple(&self) -> bool {
        self.charsmap.is_none() && self.protected.is_empty() && !self.remove_extra
    }

    fn wants_prefix(&self, text: &[u8], place: Place) -> bool {
        let space = text.first() == Some(&b' ') || (self.marks && text.starts_with(MARK));
        !place.begun
            && match self.prefix {
                Prefix::None => false,
                Prefix::Always => true,
                Prefix::UnlessSpace => !space,
                Prefix::UnlessSpaceAtStart => !space && !place.text_begun,
            }
    }

    fn identity(
        &self,
        Stretch {
            text, place, last, ..
        }: Stretch,
        out: &mut Vec<u8>,
    ) {
        if text.is_empty() && !(place.begun && last && self.suffix) {
            return;
        }
        out.reserve(text.len() + 2);
        if self.wants_prefix(text, place) {
            out.push(b' ');
        }
        if self.marks {
            push_without_marks(text, out)
        } else {
            out.extend_from_slice(text)
        }
        if self.suffix && last {
            out.push(b' ');
        }
    }

    /// What the character or rule at `at` becomes, and how long it is.
    fn next<'a>(&'a self, text: &'a [u8], at: usize, open: &mut bool) -> (&'a [u8], usize) {
        if !self.protected.is_empty()
            && let Some((_, len)) = self.protected.longest_open(text, at, open)
        {
            return (&text[at..at + len], len);
        }
        if let Some(found) = self
            .charsmap
            .as_ref()
            .and_then(|c| c.longest(text, at, open))
        {
            return found;
        }
        match well_formed(text, at) {
            0 => {
                *open |= is_cut_off(text, at);
                (REPLACEMENT, 1)
            }
            len => (&text[at..at + len], len),
        }
    }

    /// Bytes of the text's beginning whose normal form is spaces alone.
    fn leading_spaces(&self, text: &[u8], last: bool) -> usize {
        let mut at = 0;
        while at < text.len() {
            let mut open = false;
            let (normal, len) = self.next(text, at, &mut open);
            if normal != b" " || (open && !last) {
                break;
            }
            at += len;
        }
        at
    }

    /// The general way, as normalizer.cc goes.
    fn general(&self, stretch: Stretch, out: &mut Vec<u8>, mut steps: Option<&mut Vec<Step>>) {
        let Stretch {
            text, place, last, ..
        } = stretch;
        let mut at = if self.remove_extra && !place.begun {
            self.leading_spaces(text, last)
        } else {
            0
        };
        if at >= text.len() && !(place.begun && last && self.suffix) {
            return;
        }
        if self.wants_prefix(&text[at..], place) {
            out.push(b' ');
        }
        let mut after_space = if place.begun {
            place.after_space
        } else {
            self.remove_extra
        };
        while at < text.len() {
            let mut open = false;
            let (mut normal, len) = self.next(text, at, &mut open);
            if open && !last {
                break;
            }
            while after_space && normal.first() == Some(&b' ') {
                normal = &normal[1..];
            }
            if !normal.is_empty() {
                after_space = normal.last() == Some(&b' ');
                if self.marks {
                    push_without_marks(normal, out)
                } else {
                    out.extend_from_slice(normal)
                }
            }
            after_space &= self.remove_extra;
            at += len;
            if let Some(steps) = steps.as_deref_mut() {
                steps.push(Step {
                    raw: at,
                    normal: out.len(),
                    after_space,
                });
            }
        }
        if !last {
            return;
        }
        while self.remove_extra && out.last() == Some(&b' ') {
            out.pop();
        }
        if self.suffix {
            out.push(b' ');
        }
    }
}

/// Appends text with every U+2581 changed to a space.
pub fn push_without_marks(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&b| b == MARK[0]) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with(MARK) {
            out.push(b' ');
            rest = &rest[3..];
        } else {
            out.push(MARK[0]);
            rest = &rest[1..];
        }
    }
    out.extend_from_slice(rest);
}
