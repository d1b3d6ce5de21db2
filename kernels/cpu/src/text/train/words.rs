//! Cutting a normalized sentence into the words whose insides are trained on.

const SPACE: &[u8] = "\u{2581}".as_bytes();

/// Calls `word` for every word of a sentence in which U+2581 stands for a space. A space belongs to
/// the word after it, or before it as a suffix; with `runs`, a run of spaces stays together.
pub fn split_words(sentence: &[u8], suffix: bool, runs: bool, mut word: impl FnMut(&[u8])) {
    if suffix {
        split_after_spaces(sentence, runs, &mut word);
    } else {
        split_before_spaces(sentence, runs, &mut word);
    }
}

fn split_before_spaces(sentence: &[u8], runs: bool, word: &mut dyn FnMut(&[u8])) {
    let mut start = 0;
    let mut at = 0;
    let mut in_run = false;
    while at < sentence.len() {
        let is_space = sentence[at..].starts_with(SPACE);
        if is_space && at > start && !(runs && in_run) {
            word(&sentence[start..at]);
            start = at;
        }
        in_run = is_space;
        at += if is_space { SPACE.len() } else { 1 };
    }
    if start < sentence.len() {
        word(&sentence[start..]);
    }
}

fn split_after_spaces(sentence: &[u8], runs: bool, word: &mut dyn FnMut(&[u8])) {
    let mut start = 0;
    let mut at = 0;
    while at < sentence.len() {
        if !sentence[at..].starts_with(SPACE) {
            at += 1;
            continue;
        }
        at += SPACE.len();
        while runs && sentence[at..].starts_with(SPACE) {
            at += SPACE.len();
        }
        if at < sentence.len() {
            word(&sentence[start..at]);
            start = at;
        }
    }
    if start < sentence.len() {
        word(&sentence[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::String, vec, vec::Vec};

    fn words(sentence: &str, suffix: bool, runs: bool) -> Vec<String> {
        let mut found = Vec::new();
        split_words(
            sentence.replace('_', "▁").as_bytes(),
            suffix,
            runs,
            |word| {
                found.push(String::from_utf8(word.to_vec()).unwrap().replace('▁', "_"));
            },
        );
        found
    }

    #[test]
    fn a_space_opens_a_word() {
        assert_eq!(words("_this_is", false, false), vec!["_this", "_is"]);
        assert_eq!(words("a__b", false, false), vec!["a", "_", "_b"]);
        assert_eq!(words("a__b_", false, true), vec!["a", "__b", "_"]);
        assert_eq!(words("__b", false, true), vec!["__b"]);
        assert_eq!(words("", false, true), Vec::<String>::new());
    }

    #[test]
    fn or_closes_it() {
        assert_eq!(words("this_is_", true, false), vec!["this_", "is_"]);
        assert_eq!(words("a__b", true, false), vec!["a_", "_", "b"]);
        assert_eq!(words("a__b", true, true), vec!["a__", "b"]);
        assert_eq!(words("_a", true, false), vec!["_", "a"]);
    }
}
