//! Reading text for byte-level training: cut by the split pattern, in blocks and on all threads.

use super::byte_table::ByteTable;
use crate::text::split::Splitter;
use core::ops::Range;

/// Text that one chunk of work takes, in bytes.
const CHUNK: usize = 1 << 16;

/// Cuts text into the pieces that merges may not cross.
#[derive(Default)]
pub struct Pretokens {
    splitter: Splitter,
}

impl Pretokens {
    /// Counts the pieces of well-formed text; without `last`, as far as what follows cannot change
    /// them. Gives the place where it stopped.
    pub fn count(&self, text: &[u8], last: bool, table: &mut ByteTable) -> usize {
        let mut at = 0;
        while at < text.len() {
            let mut open = false;
            let end = unsafe { self.splitter.next(text, at, &mut open) };
            if open && !last {
                break;
            }
            table.add(&text[at..end], 1);
            at = end;
        }
        at
    }
}

/// Cuts `text[range]` into chunks of work at places where a piece ends whatever the pattern does;
/// gives the start of what is left where more may follow.
pub fn chunks(
    text: &[u8],
    range: Range<usize>,
    last: bool,
    mut chunk: impl FnMut(Range<usize>),
) -> usize {
    let mut start = range.start;
    let mut at = start + CHUNK;
    while at < range.end {
        if is_cut(&text[range.start..range.end], at - range.start) {
            chunk(start..at);
            start = at;
            at += CHUNK;
        } else {
            at += 1;
        }
    }
    if last && start < range.end {
        chunk(start..range.end);
        start = range.end;
    }
    start
}

/// Whether a piece surely ends before `at`: behind a line break that ASCII other than white space
/// follows, or before a space between two letters.
fn is_cut(text: &[u8], at: usize) -> bool {
    let (before, here) = (text[at - 1], text[at]);
    let after_break = before == b'\n' && here.is_ascii_graphic();
    let before_word = here == b' '
        && before.is_ascii_alphabetic()
        && text.get(at + 1).is_some_and(u8::is_ascii_alphabetic);
    after_break || before_word
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn pieces(pretokens: &Pretokens, parts: &[&str]) -> Vec<(Vec<u8>, u64)> {
        let mut table = ByteTable::new();
        for part in parts {
            assert_eq!(
                pretokens.count(part.as_bytes(), true, &mut table),
                part.len()
            );
        }
        let mut all: Vec<_> = (0..table.len())
            .map(|i| (table.key(i).to_vec(), table.count(i)))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn a_piece_ends_at_every_cut() {
        // Every string of these characters that is five long, around a cut in its middle.
        let letters = ['a', ' ', '\n', '\r', '1', '\'', '.', '\u{3000}', 'é'];
        let pretokens = Pretokens::default();
        let mut cuts = 0;
        for code in 0..letters.len().pow(5) {
            let text: String = (0..5)
                .map(|i| letters[code / letters.len().pow(i) % letters.len()])
                .collect();
            for at in 1..text.len() {
                if !is_cut(text.as_bytes(), at) {
                    continue;
                }
                cuts += 1;
                let (whole, parts) = ([&text[..]], [&text[..at], &text[at..]]);
                let expected = pieces(&pretokens, &whole);
                assert_eq!(pieces(&pretokens, &parts), expected, "{text:?} at {at}");
            }
        }
        assert!(cuts > 1000);
    }
}
