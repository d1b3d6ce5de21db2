//! Normalized text as the trainer sees it: spaces as U+2581, names of meta pieces as cuts.

use crate::text::hash::Texts;
use crate::text::normalize::{MARK, push_without_marks};
use crate::text::trie::Trie;
use alloc::vec::Vec;

const SPACE: u8 = 1;
const FIRST: u8 = 2;

/// Strings that training text is cut at: names of control symbols, bytes and user-defined symbols.
pub struct MetaPieces {
    pieces: Trie,
    /// What a byte may begin: a space, a meta piece.
    class: [u8; 256],
}

impl MetaPieces {
    /// Takes the strings in any order. One with a plain space never occurs in normalized text.
    pub fn new(names: &Texts) -> MetaPieces {
        let mut plain = Texts::new(Vec::new(), Vec::new());
        let mut class = [0; 256];
        class[usize::from(b' ')] = SPACE;
        for i in 0..names.len() as u32 {
            let name = names.get(i);
            if name.contains(&b' ') {
                continue;
            }
            let mut inside = Vec::new();
            push_without_marks(name, &mut inside);
            let Some(&first) = inside.first() else {
                continue;
            };
            class[usize::from(first)] |= FIRST;
            plain.push(&inside);
        }
        let all: Vec<u32> = (0..plain.len() as u32).collect();
        MetaPieces {
            pieces: Trie::new(|i| plain.get(i), &all),
            class,
        }
    }

    /// Appends a sentence in which a space is one byte: U+2581 for each space, a TAB for every meta
    /// piece, the longest where several begin.
    pub fn mark(&self, sentence: &[u8], out: &mut Vec<u8>) {
        let (mut at, mut copied) = (0, 0);
        while at < sentence.len() {
            let class = self.class[usize::from(sentence[at])];
            if class == 0 {
                at += 1;
                continue;
            }
            let found = if class & FIRST != 0 {
                self.pieces.longest_open(sentence, at, &mut false)
            } else {
                None
            };
            let (length, sign) = match found {
                Some((_, length)) => (length, &b"\t"[..]),
                None if class & SPACE != 0 => (1, &MARK[..]),
                None => {
                    at += 1;
                    continue;
                }
            };
            out.extend_from_slice(&sentence[copied..at]);
            out.extend_from_slice(sign);
            at += length;
            copied = at;
        }
        out.extend_from_slice(&sentence[copied..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn marked(names: &[&str], sentence: &str) -> String {
        let mut texts = Texts::new(Vec::new(), Vec::new());
        for name in names {
            texts.push(name.as_bytes());
        }
        let mut out = Vec::new();
        MetaPieces::new(&texts).mark(sentence.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn meta_pieces_become_cuts_the_longest_first() {
        assert_eq!(marked(&["<s>", "<sep>"], "a<sep>b<s>c<x>"), "a\tb\tc<x>");
        assert_eq!(marked(&["ab", "abc"], "abcab"), "\t\t");
        assert_eq!(marked(&[], "a b"), "a▁b");
    }

    #[test]
    fn spaces_in_names_are_those_of_normalized_text() {
        assert_eq!(marked(&["▁▁▁"], "a    b"), "a\t▁b");
        assert_eq!(marked(&["foo bar"], "foo bar"), "foo▁bar");
    }
}
