//! The fast encoder against encoding by the book, on random vocabularies and texts.

use super::backtrack::DeadEnds;
use super::blocks::Blocks;
use super::cache::{Cache, Key, SLOT_IDS};
use super::class::CharClasses;
use super::few::{BytePairs, MOST};
use super::hash::{INLINE, NONE, Texts};
use super::open::piece_table;
use super::rounds::Rounds;
use super::split::{Pattern, Splitter};
use super::vocabulary::{Draft, Merges, Vocabulary};
use super::window::Window;
use super::words::{AFTER_ANY, AFTER_SPACE, WINDOW, word};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn text(&mut self, letters: usize, longest: usize) -> Vec<u8> {
        let len = 1 + self.below(longest);
        (0..len).map(|_| b'a' + self.below(letters) as u8).collect()
    }
}

/// A vocabulary of single letters and of random pieces, ranked at random or in the order of lengths.
fn vocabulary(random: &mut Random, letters: usize, pieces: usize, ties: bool) -> Vocabulary {
    let mut ranked: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for _ in 0..pieces {
        let piece = random.text(letters, 6);
        if piece.len() > 1 {
            let rank = random.below(if ties { 4 } else { 1 << 12 }) as u32;
            ranked.entry(piece).or_insert(rank);
        }
    }
    let mut texts = Texts::default();
    let mut ranks = Vec::new();
    for letter in 0..letters {
        texts.push(&[b'a' + letter as u8]);
        ranks.push(NONE);
    }
    for (piece, rank) in &ranked {
        texts.push(piece);
        ranks.push(*rank);
    }
    let used: Vec<u32> = (0..texts.len() as u32).collect();
    let by_text = piece_table(&texts, used.iter().copied()).ok().unwrap();
    let base = (0..letters as u32).collect();
    let draft = Draft {
        texts,
        by_text,
        used,
        base,
        merges: Merges::Concatenation(ranks),
    };
    Vocabulary::new(draft).unwrap()
}

/// Merges the pair of the lowest rank, the leftmost among equals, until none is left.
fn by_the_book(vocabulary: &Vocabulary, text: &[u8]) -> Vec<u32> {
    let Merges::Concatenation(ranks) = &vocabulary.merges else {
        return Vec::new();
    };
    let find = |piece: &[u8]| {
        let token = vocabulary
            .by_text
            .find(&vocabulary.texts, piece, 0, piece.len());
        (token != NONE).then_some(token)
    };
    let mut pieces: Vec<Vec<u8>> = text.iter().map(|&b| Vec::from([b])).collect();
    loop {
        let candidates = (1..pieces.len()).filter_map(|i| {
            let token = find(&[&pieces[i - 1][..], &pieces[i][..]].concat())?;
            Some((ranks[token as usize], i))
        });
        let Some((_, i)) = candidates.min() else {
            break;
        };
        let right = pieces.remove(i);
        pieces[i - 1].extend(right);
    }
    pieces.iter().map(|p| find(p).unwrap()).collect()
}

fn check(random: &mut Random, letters: usize, pieces: usize, ties: bool) -> bool {
    let vocabulary = vocabulary(random, letters, pieces, ties);
    let mut dead = DeadEnds::default();
    let mut bytes = [NONE; 256];
    for letter in 0..letters {
        bytes[b'a' as usize + letter] = letter as u32;
    }
    let byte_pairs = BytePairs::new(&vocabulary, bytes);
    let mut rounds = Rounds::default();
    for _ in 0..40 {
        let text = random.text(letters, 40);
        let mut ids = Vec::new();
        if vocabulary.is_regular_in(&text) {
            assert!(vocabulary.encode(&text, &mut dead, &mut ids));
            assert_eq!(ids, by_the_book(&vocabulary, &text), "{text:?}");
            let mut in_rounds = Vec::new();
            let base = |at: usize| ((text[at] - b'a') as u32, 1);
            rounds.encode(&vocabulary, text.len(), base, &mut in_rounds);
            assert_eq!(in_rounds, ids, "{text:?}");
            if vocabulary.regular && text.len() <= MOST {
                let mut few = Vec::new();
                byte_pairs.merge(&vocabulary, &text, &mut few);
                assert_eq!(few, ids, "{text:?}");
            }
        }
    }
    vocabulary.regular
}

#[test]
fn random_vocabularies_encode_by_the_book() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut regular = 0;
    for round in 0..3000 {
        let (letters, pieces) = (1 + round % 4, 1 + random.below(14));
        regular += check(&mut random, letters, pieces, round % 5 == 0) as u32;
    }
    // Tokens that rank before their halves are common here; most can be put in order all the same.
    assert!(regular > 1000, "{regular}");
}

#[test]
fn the_general_encoder_encodes_by_the_book() {
    let mut random = Random(77);
    for round in 0..1000 {
        let letters = 1 + round % 4;
        let pieces = 1 + random.below(20);
        let vocabulary = vocabulary(&mut random, letters, pieces, round % 3 == 0);
        let mut agenda = super::merge::Agenda::default();
        let text = random.text(letters, 60);
        let symbols = text
            .iter()
            .enumerate()
            .map(|(i, b)| super::merge::Symbol::new(i, i + 1, (b - b'a') as u32))
            .collect();
        agenda.run(&vocabulary, &text, symbols);
        let ids: Vec<u32> = agenda.symbols().map(|s| s.token).collect();
        assert_eq!(ids, by_the_book(&vocabulary, &text));
    }
}

/// The pieces that a text is split into.
fn split(text: &str, pattern: Pattern) -> Vec<&str> {
    let splitter = Splitter::new(pattern);
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let end = unsafe { splitter.next(text.as_bytes(), at, &mut false) };
        pieces.push(&text[at..end]);
        at = end;
    }
    pieces
}

#[test]
fn text_is_split_as_the_pattern_says() {
    let cases: [(&str, &[&str]); 12] = [
        ("Hello world", &["Hello", " world"]),
        (
            "don't DON'T we'll",
            &["don", "'t", " DON", "'T", " we", "'ll"],
        ),
        ("a  b", &["a", " ", " b"]),
        ("a \n  b", &["a", " \n", " ", " b"]),
        ("x\r\n\r\ny  ", &["x", "\r\n\r\n", "y", "  "]),
        ("12345", &["123", "45"]),
        ("!?\n\nz", &["!?\n\n", "z"]),
        ("('hi", &["('", "hi"]),
        (" ...x", &[" ...", "x"]),
        ("\u{a0}x \u{3000}7", &["\u{a0}x", " ", "\u{3000}", "7"]),
        ("'\u{17f}x", &["'\u{17f}", "x"]),
        (
            "\u{feff}a\u{85}\u{85}b",
            &["\u{feff}a", "\u{85}", "\u{85}b"],
        ),
    ];
    for (text, wanted) in cases {
        assert_eq!(split(text, Pattern::default()), wanted, "{text:?}");
    }
}

#[test]
fn text_is_split_as_the_pattern_of_gpt2_says() {
    let cases: [(&str, &[&str], &[&str]); 5] = [
        (
            "don't 'S 12 34",
            &["don", "'t", " '", "S", " 12", " 34"],
            &["don", "'t", " '", "S", " ", "1", "2", " ", "3", "4"],
        ),
        (
            "a  b\n\nc",
            &["a", " ", " b", "\n", "\n", "c"],
            &["a", " ", " b", "\n", "\n", "c"],
        ),
        ("x   7", &["x", "  ", " 7"], &["x", "   ", "7"]),
        (
            "\tz ...z",
            &["\t", "z", " ...", "z"],
            &["\t", "z", " ...", "z"],
        ),
        ("''s  ", &["''", "s", "  "], &["''", "s", "  "]),
    ];
    for (text, wanted, alone) in cases {
        for (numbers_alone, wanted) in [(false, wanted), (true, alone)] {
            let pattern = Pattern {
                gpt2: true,
                numbers_alone,
            };
            assert_eq!(split(text, pattern), wanted, "{text:?}");
        }
    }
}

#[test]
fn classes_are_those_of_the_standard_library_where_it_knows_the_character() {
    let classes = CharClasses::new();
    for code in 128..0x11_0000 {
        let Some(character) = char::from_u32(code) else {
            continue;
        };
        let class = classes.of(code);
        assert_eq!(
            class == super::class::SPACE,
            character.is_whitespace(),
            "{code:x}"
        );
        if class == super::class::LETTER {
            // Letters of newer versions of Unicode than the library's are unassigned to it.
            assert!(
                !character.is_whitespace() && !character.is_control(),
                "{code:x}"
            );
        }
    }
}

#[test]
fn long_texts_are_encoded_block_by_block_as_at_once() {
    let mut random = Random(99);
    let (mut encoded, mut irregular) = (0, 0);
    for round in 0..400 {
        let letters = 1 + round % 4;
        let pieces = 1 + random.below(14);
        let vocabulary = vocabulary(&mut random, letters, pieces, round % 5 == 0);
        let mut text = random.text(letters, 20_000);
        if round % 3 == 0 {
            let period = text.len().min(1 + random.below(40));
            text = text[..period]
                .iter()
                .copied()
                .cycle()
                .take(20_000)
                .collect();
        }
        if !vocabulary.is_regular_in(&text) {
            continue;
        }
        irregular += !vocabulary.regular as u32;
        let base = |at: usize| ((text[at] - b'a') as u32, 1);
        let mut ids = Vec::new();
        if !Blocks::default().encode(&vocabulary, &text, base, &mut ids) {
            assert!(ids.is_empty());
            continue;
        }
        encoded += 1;
        let mut agenda = super::merge::Agenda::default();
        let symbols = (0..text.len())
            .map(|at| super::merge::Symbol::new(at, at + 1, base(at).0))
            .collect();
        agenda.run(&vocabulary, &text, symbols);
        let wanted: Vec<u32> = agenda.symbols().map(|s| s.token).collect();
        assert!(ids == wanted, "{:?}", &text[..40.min(text.len())]);
    }
    // Hardly any text is such that its blocks do not fit to one another.
    assert!(encoded > 200, "{encoded}");
    assert!(irregular > 0, "{irregular}");
}

#[test]
fn a_window_finds_the_words_that_the_scanner_finds() {
    let mut random = Random(11);
    let letters = b"aZm' .\n7\xc3\xa9";
    for _ in 0..200_000 {
        let mut text = [0; WINDOW];
        for (i, byte) in text.iter_mut().enumerate() {
            // Mostly letters, so that words of all lengths come up.
            let choices = if random.below(8) > 0 && i > 0 {
                3
            } else {
                letters.len()
            };
            *byte = letters[random.below(choices)];
        }
        for beginnings in [&AFTER_ANY, &AFTER_SPACE] {
            let found = unsafe { Window::load(text.as_ptr()).word(beginnings) };
            assert_eq!(found, unsafe { word(&text, 0, beginnings) }, "{text:?}");
        }
    }
}

#[test]
fn what_is_kept_of_pieces_is_found_by_windows() {
    let mut random = Random(12);
    let mut cache = Cache::new(1 << 10);
    for _ in 0..20_000 {
        let text = random.text(3, 16);
        let len = text.len().min(INLINE);
        let mut padded = text[..len].to_vec();
        padded.resize(32, b'?');
        let piece = unsafe { Window::load(padded.as_ptr()).first(len) };
        let key = unsafe { Key::new(&padded, 0, len) };
        assert_eq!(piece.hash(), key.hash());
        let ids: Vec<u32> = text[..1 + random.below(len)]
            .iter()
            .map(|&b| b as u32)
            .collect();
        let mut known = Vec::new();
        let met = cache.get(key, &mut known);
        let mut copied = [0; SLOT_IDS];
        let count = unsafe { cache.copy((piece, len), piece.hash(), copied.as_mut_ptr()) };
        let few = met && known.len() < SLOT_IDS;
        assert_eq!(count, if few { known.len() } else { 0 });
        assert!(!few || copied[..count] == known);
        if !met {
            cache.put(key, &ids);
        }
    }
}
