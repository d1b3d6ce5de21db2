//! Which strings may become SentencePiece pieces.

use super::script_table::{COMMON, HAN, HIRAGANA, INHERITED, KATAKANA, RUNS};

/// U+2581, which stands for a space.
pub const SPACE_SYMBOL: u32 = 0x2581;

/// The options of `spm_train` that shape single pieces.
#[derive(Clone, Copy)]
pub struct Validity {
    /// Longest piece in characters.
    pub max_length: usize,
    pub split_by_whitespace: bool,
    pub split_by_unicode_script: bool,
    pub split_by_number: bool,
    pub split_digits: bool,
    pub whitespace_as_suffix: bool,
    pub allow_whitespace_only: bool,
}

impl Validity {
    /// Whether the concatenation of two strings may become a piece. NUL, TAB and characters outside
    /// the alphabet never get this far: they are barriers.
    pub fn allows(&self, left: &[u8], right: &[u8]) -> bool {
        let length = characters(left).chain(characters(right)).count();
        if length > self.max_length {
            return false;
        }
        let all_spaces = characters(left)
            .chain(characters(right))
            .all(|c| c == SPACE_SYMBOL);
        let mut script = None;
        for (place, c) in characters(left).chain(characters(right)).enumerate() {
            if c == SPACE_SYMBOL {
                let free = self.allow_whitespace_only && all_spaces;
                if !free && !self.space_allowed_at(place, length) {
                    return false;
                }
                continue;
            }
            let decimal = is_decimal(c);
            if self.split_digits && decimal && length > 1 {
                return false;
            }
            let own = match script_of(c) {
                _ if !self.split_by_number && decimal => None,
                HIRAGANA | KATAKANA => Some(HAN),
                _ if c == 0x30fc => Some(HAN),
                INHERITED => script,
                other => Some(other),
            };
            if self.split_by_unicode_script && own.is_some() && script.is_some() && own != script {
                return false;
            }
            script = own;
        }
        true
    }

    fn space_allowed_at(&self, place: usize, length: usize) -> bool {
        let last = place + 1 == length;
        match (self.whitespace_as_suffix, self.split_by_whitespace) {
            (true, true) => last,
            (true, false) => last || place > 0,
            (false, true) => place == 0,
            (false, false) => place == 0 || !last,
        }
    }
}

/// The code points of a UTF-8 string.
pub fn characters(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    // Pieces are cut at character borders of text that was checked when it came in.
    unsafe { core::str::from_utf8_unchecked(bytes) }
        .chars()
        .map(u32::from)
}

/// SentencePiece counts ASCII and full-width digits.
fn is_decimal(c: u32) -> bool {
    (0x30..=0x39).contains(&c) || (0xff10..=0xff19).contains(&c)
}

fn script_of(c: u32) -> u8 {
    match RUNS.partition_point(|&(first, _)| first <= c) {
        0 => COMMON,
        after => RUNS[after - 1].1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn llama() -> Validity {
        Validity {
            max_length: 16,
            split_by_whitespace: true,
            split_by_unicode_script: true,
            split_by_number: true,
            split_digits: true,
            whitespace_as_suffix: false,
            allow_whitespace_only: true,
        }
    }

    fn allows(rule: &Validity, left: &str, right: &str) -> bool {
        rule.allows(left.as_bytes(), right.as_bytes())
    }

    #[test]
    fn a_space_stands_first_or_alone() {
        assert!(allows(&llama(), "▁", "the"));
        assert!(!allows(&llama(), "the", "▁"));
        assert!(allows(&llama(), "▁▁", "▁"));
        let strict = Validity {
            allow_whitespace_only: false,
            ..llama()
        };
        assert!(!allows(&strict, "▁", "▁"));
        let suffix = Validity {
            whitespace_as_suffix: true,
            ..strict
        };
        assert!(allows(&suffix, "the", "▁"));
        assert!(!allows(&suffix, "▁", "the"));
        let whole = Validity {
            split_by_whitespace: false,
            ..strict
        };
        assert!(allows(&whole, "a▁", "b"));
        assert!(!allows(&whole, "a", "▁"));
    }

    #[test]
    fn digits_stand_alone_and_scripts_apart() {
        assert!(!allows(&llama(), "1", "2"));
        assert!(!allows(&llama(), "a", "я"));
        assert!(allows(&llama(), "の", "猫"));
        assert!(allows(&llama(), "ラ", "ー"));
        assert!(!allows(&llama(), "a", "-"));
        let free = Validity {
            split_digits: false,
            split_by_number: false,
            ..llama()
        };
        assert!(allows(&free, "a1", "b"));
        assert!(!allows(&llama(), "aaaaaaaaaaaaaaaa", "a"));
    }
}
