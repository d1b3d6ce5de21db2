//! Merges of tiny corpora; those of SentencePiece's rule are what `spm_train` 0.1.97 gives for the
//! same lines (`--add_dummy_prefix=false --character_coverage=1 --normalization_rule_name=identity`),
//! up to the pieces of no occurrence that it puts behind them.

use super::pair_trainer::{BARRIER, PairTrainer, Rule};
use super::symbols::Symbols;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// Learned pieces and their counts.
fn learn(mut engine: PairTrainer) -> Vec<(String, u64)> {
    engine.start();
    let mut learned = Vec::new();
    while let Some(count) = engine.step() {
        let &symbol = engine.learned().last().unwrap();
        let bytes = engine.symbols().bytes(symbol).to_vec();
        learned.push((String::from_utf8(bytes).unwrap(), count));
    }
    learned
}

/// Trains on words of characters, `.` being none of the alphabet, by SentencePiece's rule.
fn pieces(words: &[(&str, u64)], allows: fn(&[u8], &[u8]) -> bool) -> Vec<(String, u64)> {
    let mut characters: Vec<char> = words.iter().flat_map(|(word, _)| word.chars()).collect();
    characters.sort_unstable();
    characters.dedup();
    characters.retain(|&c| c != '.');
    let mut symbols = Symbols::new();
    for c in &characters {
        symbols.add(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    let mut engine = PairTrainer::new(Rule::Pieces(Box::new(allows)), symbols);
    for &(word, count) in words {
        let symbol = |c| characters.binary_search(&c).map_or(BARRIER, |at| at as u32);
        engine.add_word(word.chars().map(symbol), count);
    }
    learn(engine)
}

/// Trains on bytes.
fn bytes(words: &[(&str, u64)]) -> Vec<(String, u64)> {
    let mut symbols = Symbols::new();
    for byte in 0..=255u8 {
        symbols.add(&[byte]);
    }
    let mut engine = PairTrainer::new(Rule::Bytes, symbols);
    for &(word, count) in words {
        engine.add_word(word.bytes().map(u32::from), count);
    }
    learn(engine)
}

fn all(_: &[u8], _: &[u8]) -> bool {
    true
}

fn expect(found: Vec<(String, u64)>, expected: &[(&str, u64)]) {
    let found: Vec<(&str, u64)> = found
        .iter()
        .map(|(text, count)| (text.as_str(), *count))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn of_three_equal_characters_one_pair_counts() {
    expect(pieces(&[("aaa", 1)], all), &[("aa", 1), ("aaa", 1)]);
    expect(pieces(&[("aaaa", 1)], all), &[("aa", 2), ("aaaa", 1)]);
}

#[test]
fn a_place_that_overlapped_is_forgotten_for_good() {
    let words = [("ba", 5), ("baaa", 1)];
    expect(pieces(&words, all), &[("ba", 6), ("baa", 1), ("baaa", 1)]);
}

#[test]
fn a_string_that_came_up_before_is_not_merged_again() {
    // "aaa" comes up as a + aa first; aa + a of the third word stays two pieces.
    let words = [("xa", 20), ("xaaaa", 4), ("aaa", 3)];
    expect(
        pieces(&words, all),
        &[("xa", 24), ("aa", 7), ("aaa", 4), ("xaaaa", 4)],
    );
}

#[test]
fn of_equal_counts_the_shorter_and_then_the_smaller_string_is_first() {
    expect(
        pieces(&[("abc", 2), ("de", 2)], all),
        &[("ab", 2), ("de", 2), ("abc", 2)],
    );
    expect(
        pieces(&[("ba", 2), ("ab", 2), ("zé", 2), ("é", 1)], all),
        &[("ab", 2), ("ba", 2), ("zé", 2)],
    );
}

#[test]
fn nothing_reaches_over_a_character_that_is_not_in_the_alphabet() {
    expect(pieces(&[("ab.ab", 3), ("a.b", 9)], all), &[("ab", 6)]);
}

#[test]
fn a_pair_that_may_not_be_a_piece_is_never_merged() {
    fn no_b(_: &[u8], right: &[u8]) -> bool {
        right != b"b"
    }
    expect(pieces(&[("abc", 3)], no_b), &[("bc", 3), ("abc", 3)]);
}

#[test]
fn the_order_of_words_changes_nothing() {
    let mut words = [
        ("abcab", 3),
        ("bcbc", 2),
        ("aaaaab", 2),
        ("cab", 4),
        ("baab", 1),
    ];
    let expected = pieces(&words, all);
    for turn in 1..words.len() {
        words.rotate_left(1);
        assert_eq!(pieces(&words, all), expected, "turned by {turn}");
    }
}

#[test]
fn bytes_that_overlap_all_count_and_ties_go_by_ids() {
    // Two of three places of (a, a) are merged, though all three count.
    expect(bytes(&[("aaaa", 1)]), &[("aa", 3), ("aaaa", 1)]);
    expect(bytes(&[("dc", 1), ("ab", 1)]), &[("ab", 1), ("dc", 1)]);
    // (ab, c) against (c, d): the smaller left id is c, though ab is the smaller string.
    expect(
        bytes(&[("abc", 2), ("ab", 1), ("cd", 2)]),
        &[("ab", 3), ("cd", 2), ("abc", 2)],
    );
}
