//! Checking text that comes in blocks, which may end inside a character.

use crate::text::utf8::{first_invalid, is_cut_off};

/// What is known of a text up to the end of a block.
#[derive(Default)]
pub struct Utf8Stream {
    /// Bytes of the character that the last block cut off.
    cut: [u8; 4],
    length: usize,
}

impl Utf8Stream {
    /// Checks the next part of a text, or its last one; gives the offset in it of the first byte that
    /// is not part of a well-formed character. That is negative where the character began before.
    pub fn check(&mut self, part: &[u8], last: bool) -> Result<(), isize> {
        let mut at = 0;
        while self.length > 0 {
            let start = -(self.length as isize) + at as isize;
            let Some(&byte) = part.get(at) else {
                return if last { Err(start) } else { Ok(()) };
            };
            self.cut[self.length] = byte;
            self.length += 1;
            at += 1;
            let character = &self.cut[..self.length];
            if first_invalid(character).is_none() {
                self.length = 0;
            } else if !is_cut_off(character, 0) {
                return Err(start);
            }
        }
        let rest = &part[at..];
        let Some(wrong) = first_invalid(rest) else {
            return Ok(());
        };
        if last || !is_cut_off(rest, wrong) {
            return Err((at + wrong) as isize);
        }
        self.length = rest.len() - wrong;
        self.cut[..self.length].copy_from_slice(&rest[wrong..]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_may_be_cut_anywhere() {
        let text = "aé▁𝄞b".as_bytes();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut stream = Utf8Stream::default();
                assert_eq!(stream.check(&text[..first], false), Ok(()));
                assert_eq!(stream.check(&text[first..second], false), Ok(()));
                assert_eq!(stream.check(&text[second..], true), Ok(()));
            }
        }
    }

    #[test]
    fn the_offset_is_that_of_the_malformed_character() {
        let check = |parts: &[&[u8]], last: bool| {
            let mut stream = Utf8Stream::default();
            let (end, begin) = parts.split_last().unwrap();
            for part in begin {
                stream.check(part, false).unwrap();
            }
            stream.check(end, last)
        };
        assert_eq!(check(&[b"ab\xff"], false), Err(2));
        assert_eq!(check(&[b"ab\xe2\x96"], true), Err(2));
        assert_eq!(check(&[b"ab\xe2", b"\x96", b"x"], false), Err(-2));
        assert_eq!(check(&[b"ab\xe2\x96", b""], true), Err(-2));
        assert_eq!(check(&[b"ab\xe2", b"\x96\x81c\xc0"], false), Err(3));
        // A surrogate is malformed at its second byte already.
        assert_eq!(check(&[b"\xed", b"\xa0"], false), Err(-1));
    }
}
