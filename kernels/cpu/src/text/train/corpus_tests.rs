//! Reading text in blocks and on threads.

use super::corpus::{Corpus, Cutting, Sample};
use super::meta_pieces::MetaPieces;
use super::pretokens::Pretokens;
use super::sentences::{Sentences, WordSplit};
use crate::context::Context;
use crate::text::hash::Texts;
use crate::text::normalize::{Normalizer, Prefix};
use crate::text::trie::Trie;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

const ALL: Sample = Sample {
    lines: 0,
    shuffle: true,
};

fn sentences(max_length: usize) -> Cutting {
    Cutting::Sentences(Box::new(Sentences {
        normalizer: Normalizer {
            charsmap: None,
            protected: Trie::default(),
            marks: true,
            remove_extra: false,
            prefix: Prefix::Always,
            suffix: false,
        },
        meta_pieces: MetaPieces::new(&Texts::default()),
        max_length,
        split: Some(WordSplit {
            suffix: false,
            runs: true,
        }),
    }))
}

fn pretokens() -> Cutting {
    Cutting::Pretokens(Pretokens::default())
}

/// Lines and sorted words of a text that is one document, cut into blocks of this size.
fn read(cutting: Cutting, sample: Sample, text: &[u8], block: usize, threads: usize) -> Read {
    let context = Context::new(threads);
    let mut corpus = Corpus::new(cutting, sample, threads);
    for part in text.chunks(block) {
        corpus.feed(&context, part, &[]).unwrap();
    }
    corpus.feed(&context, b"", &[0]).unwrap();
    let (lines, table) = corpus.finish(&context);
    let mut words: Vec<(String, u64)> = (0..table.len())
        .map(|i| {
            (
                String::from_utf8(table.key(i).to_vec()).unwrap(),
                table.count(i),
            )
        })
        .collect();
    words.sort();
    ((lines.seen, lines.too_long, lines.reserved), words)
}

type Read = ((usize, usize, usize), Vec<(String, u64)>);

fn some_text() -> Vec<u8> {
    let mut text = String::new();
    for i in 0..20_000usize {
        text.push_str(
            [
                "the cat",
                " saß ",
                "auf\n",
                "吾輩は猫。\n",
                "1234 ",
                "\r\n\r\n  x",
            ][i * 40_503 / 64 % 6],
        );
    }
    text.into_bytes()
}

#[test]
fn blocks_and_threads_change_nothing() {
    let text = some_text();
    for cutting in [|| sentences(60), pretokens] {
        let expected = read(cutting(), ALL, &text, text.len(), 1);
        assert!(expected.1.len() > 10);
        for (block, threads) in [(1 << 14, 1), (997, 2), (70_001, 3)] {
            assert_eq!(read(cutting(), ALL, &text, block, threads), expected);
        }
    }
}

#[test]
fn long_and_reserved_lines_are_left_out_wherever_blocks_end() {
    let text = "12345678901234567890\nshort\n\na ▅ b\nshort\n1234567890x".as_bytes();
    for block in 1..text.len() {
        let (lines, words) = read(sentences(10), ALL, text, block, 1);
        assert_eq!(lines, (2, 2, 1), "blocks of {block}");
        assert_eq!(words, [(String::from("▁short"), 2)]);
    }
}

#[test]
fn a_sample_of_the_first_lines_is_full_at_once() {
    let first = Sample {
        lines: 2,
        shuffle: false,
    };
    for cutting in [|| sentences(10), pretokens] {
        let ((seen, _, _), words) = read(cutting(), first, b"a\nb\nc\nd\n", 3, 1);
        assert_eq!(seen, 2);
        assert!(words.iter().all(|(word, _)| !word.contains(['c', 'd'])));
    }
}

#[test]
fn documents_keep_words_apart() {
    let context = Context::new(1);
    let mut corpus = Corpus::new(pretokens(), ALL, 1);
    corpus.feed(&context, b"abcd ef", &[2, 4]).unwrap();
    corpus.feed(&context, b"gh", &[2]).unwrap();
    let (lines, words) = corpus.finish(&context);
    assert_eq!((lines.seen, words.len()), (3, 3));
    for word in ["ab", "cd", " efgh"] {
        assert!(words.find(word.as_bytes()).is_some(), "{word}");
    }
}

#[test]
fn malformed_bytes_have_their_offset_in_the_block() {
    let context = Context::new(1);
    let mut corpus = Corpus::new(pretokens(), ALL, 1);
    corpus.feed(&context, b"ab\xe2", &[]).unwrap();
    assert_eq!(corpus.feed(&context, b"\x96x", &[]), Err(-1));
    let mut corpus = Corpus::new(pretokens(), ALL, 1);
    assert_eq!(corpus.feed(&context, b"ab\xc3cd", &[2, 3]), Err(2));
    let mut corpus = Corpus::new(pretokens(), ALL, 1);
    assert_eq!(corpus.feed(&context, b"ab\xff", &[]), Err(2));
}
