//! Tokenizers whose characters merge (SentencePiece BPE and its like in `tokenizer.json`): the tables.

use super::blob::{Blob, Flags, Head, piece_type};
use super::chars::{CharTable, Joins};
use super::charsmap::Charsmap;
use super::hash::{NONE, PieceTable, Texts};
use super::normalize::{Normalizer, Prefix, push_without_marks};
use super::open::{Refusal, merges, piece_table, whole_table};
use super::special::{LATE, Specials};
use super::trie::Trie;
use super::utf8::{decode, well_formed};
use super::vocabulary::{Draft, Vocabulary};
use alloc::vec;
use alloc::vec::Vec;

/// A tokenizer over characters.
pub struct Symbols {
    /// Its tokens: the pieces, numbered by id, then characters that stand only inside pieces.
    pub(super) vocabulary: Vocabulary,
    /// Chunks of text that are ids without any merging.
    pub(super) whole: PieceTable,
    /// Token of each character.
    pub(super) chars: CharTable,
    /// Pairs of characters between which merges may reach.
    pub(super) joins: Joins,
    /// The id of each token, [`NONE`] for unknown ones.
    pub(super) ids: Vec<u32>,
    /// Pieces taken out of the normal form before anything merges, and the bytes they begin with.
    pub(super) frozen: Trie,
    pub(super) frozen_first: [bool; 256],
    /// Id of the unknown piece.
    pub(super) unknown: u32,
    /// Ids of the byte pieces, if unknown characters become bytes.
    pub(super) bytes: Option<Vec<u32>>,
    pub(super) fuse_unknown: bool,
    pub(super) split_spaces: bool,
    pub(super) hugging_face: bool,
    /// Names of special tokens that are found in the normal form.
    pub(super) names: Specials,
    /// For each token whether it is split back into its halves; empty if none is.
    pub(super) unused: Vec<bool>,
    /// What is done to the text first.
    pub(super) normalizer: Normalizer,
}

/// Tokens with their ids, while tables are built.
struct Tokens {
    texts: Texts,
    ids: Vec<u32>,
    mergeable: Vec<bool>,
    frozen: Vec<u32>,
}

impl Tokens {
    /// Which bytes frozen pieces begin with.
    fn frozen_first(&self) -> [bool; 256] {
        let mut first = [false; 256];
        for &token in &self.frozen {
            first[self.texts.get(token)[0] as usize] = true;
        }
        first
    }

    /// The rank of every token that can come of a merge, numbered without gaps.
    fn ranks(&self, blob: &Blob) -> Vec<u32> {
        let mut ranks = blob.ranks.clone();
        ranks.resize(self.texts.len(), NONE);
        for (token, rank) in ranks.iter_mut().enumerate() {
            if !self.mergeable[token] || token >= blob.pieces.len() {
                *rank = NONE;
            }
        }
        let mut distinct: Vec<u32> = ranks.iter().copied().filter(|&r| r != NONE).collect();
        distinct.sort_unstable();
        distinct.dedup();
        for rank in ranks.iter_mut().filter(|rank| **rank != NONE) {
            *rank = distinct.partition_point(|other| other < rank) as u32;
        }
        ranks
    }
}

impl Symbols {
    /// Builds the tables.
    pub fn new(blob: Blob) -> Result<Symbols, Refusal> {
        let normalizer = normalizer(&blob)?;
        let marks = blob.flag(Flags::MARKS);
        let mut tokens = tokens(&blob, marks);
        let mut chars = CharTable::default();
        let base = add_characters(&mut tokens, &blob, &mut chars);
        let joins = joins(&tokens, &chars);
        let count = tokens.texts.len() as u32;
        let used: Vec<u32> = (0..count)
            .filter(|&t| tokens.mergeable[t as usize])
            .collect();
        let by_text = piece_table(&tokens.texts, used.iter().copied())?;
        if !blob.flag(Flags::HUGGING_FACE) {
            reserve(&mut tokens, &blob, &by_text);
        }
        let ranks = tokens.ranks(&blob);
        let merges = merges(&blob, &tokens.texts, &by_text, ranks, |piece, out| {
            rewrite(piece, marks, out)
        })?;
        let frozen = Trie::new(|t| tokens.texts.get(t), &tokens.frozen);
        let frozen_first = tokens.frozen_first();
        let vocabulary = Vocabulary::new(Draft {
            texts: tokens.texts,
            by_text,
            used,
            base,
            merges,
        })?;
        let ids = tokens.ids;
        let whole = whole_table(&vocabulary, |t| {
            vocabulary.stable[t as usize] && ids[t as usize] == t
        })?;
        let unused = blob
            .types
            .iter()
            .map(|&t| t == piece_type::UNUSED)
            .collect::<Vec<bool>>();
        Ok(Symbols {
            whole,
            chars,
            joins,
            ids,
            frozen,
            frozen_first,
            unknown: blob.head(Head::Unknown),
            bytes: blob.flag(Flags::BYTE_FALLBACK).then(|| blob.bytes.clone()),
            fuse_unknown: blob.flag(Flags::FUSE_UNKNOWN),
            split_spaces: blob.flag(Flags::SPLIT_SPACES),
            hugging_face: blob.flag(Flags::HUGGING_FACE),
            names: normal_names(&blob, marks),
            unused: if unused.contains(&true) {
                unused
            } else {
                Vec::new()
            },
            normalizer,
            vocabulary,
        })
    }
}

fn rewrite(piece: &[u8], marks: bool, out: &mut Vec<u8>) {
    if marks {
        push_without_marks(piece, out)
    } else {
        out.extend_from_slice(piece)
    }
}

/// The names that are found in the normal form, as they stand there.
fn normal_names(blob: &Blob, marks: bool) -> Specials {
    let mut names = Texts::default();
    let mut name = Vec::new();
    for i in 0..blob.special_names.len() as u32 {
        name.clear();
        rewrite(blob.special_names.get(i), marks, &mut name);
        names.push(&name);
    }
    let wanted = |flags| flags & LATE != 0 && blob.flag(Flags::NORMAL_NAMES);
    let mut found = Specials::new(&names, (&blob.special_ids, &blob.special_flags), wanted);
    found.marks = marks;
    found
}

fn normalizer(blob: &Blob) -> Result<Normalizer, Refusal> {
    let user_defined = |&id: &u32| {
        blob.types[id as usize] == piece_type::USER_DEFINED
            && !blob.flag(Flags::HUGGING_FACE)
            && !blob.pieces.get(id).is_empty()
    };
    let protected: Vec<u32> = (0..blob.pieces.len() as u32).filter(user_defined).collect();
    let protected = Trie::new(|id| blob.pieces.get(id), &protected);
    Ok(Normalizer {
        charsmap: if blob.charsmap.is_empty() {
            None
        } else {
            Some(Charsmap::new(blob.charsmap)?)
        },
        protected,
        marks: blob.flag(Flags::MARKS) && !blob.flag(Flags::LITERAL_MARKS),
        remove_extra: blob.flag(Flags::REMOVE_EXTRA),
        prefix: match blob.head(Head::Prefix) {
            0 => Prefix::None,
            1 => Prefix::Always,
            2 => Prefix::UnlessSpace,
            3 => Prefix::UnlessSpaceAtStart,
            _ => {
                return Err(Refusal::Text(
                    "the description has an unknown kind of prefix",
                ));
            }
        },
        suffix: blob.flag(Flags::SUFFIX),
    })
}

/// The pieces as they match the normal form.
fn tokens(blob: &Blob, marks: bool) -> Tokens {
    let count = blob.pieces.len();
    let mut tokens = Tokens {
        texts: Texts::default(),
        ids: (0..count as u32).collect(),
        mergeable: vec![false; count],
        frozen: Vec::new(),
    };
    let mut text = Vec::new();
    for id in 0..count as u32 {
        let piece = blob.pieces.get(id);
        text.clear();
        rewrite(piece, marks, &mut text);
        tokens.texts.push(&text);
        // Where U+2581 stands for spaces, the normal form has no space that such a piece could match.
        let matches = !(piece.is_empty() || marks && piece.contains(&b' '))
            && core::str::from_utf8(piece).is_ok();
        match blob.types[id as usize] {
            piece_type::NORMAL | piece_type::UNUSED => tokens.mergeable[id as usize] = matches,
            piece_type::USER_DEFINED if matches => tokens.frozen.push(id),
            _ => {}
        }
    }
    tokens
}

/// Gives every character of every piece its token, a new one if it is no piece itself; gives all of
/// them.
fn add_characters(tokens: &mut Tokens, blob: &Blob, chars: &mut CharTable) -> Vec<u32> {
    let pieces = blob.pieces.len() as u32;
    let mut base = Vec::new();
    let single = |text: &[u8]| !text.is_empty() && well_formed(text, 0) == text.len();
    for token in 0..pieces {
        let text = tokens.texts.get(token);
        if tokens.mergeable[token as usize] && single(text) {
            let code = unsafe { decode(text, 0).0 };
            if chars.get(code) == NONE {
                chars.set(code, token);
                base.push(token);
            }
        }
    }
    let mut inner = Vec::new();
    for token in (0..pieces).filter(|&t| tokens.mergeable[t as usize]) {
        let text = tokens.texts.get(token);
        let mut at = 0;
        while at < text.len() {
            let (code, len) = unsafe { decode(text, at) };
            if chars.get(code) == NONE {
                chars.set(code, tokens.ids.len() as u32 + inner.len() as u32);
                inner.push(text[at..at + len].to_vec());
            }
            at += len;
        }
    }
    for text in inner {
        base.push(tokens.texts.len() as u32);
        tokens.texts.push(&text);
        tokens.ids.push(NONE);
        tokens.mergeable.push(true);
    }
    if !blob.flag(Flags::HUGGING_FACE) {
        add_reserved(tokens, blob, chars, &mut base);
    }
    base
}

/// Adds a character for each reserved piece of one character that is no other piece.
fn add_reserved(tokens: &mut Tokens, blob: &Blob, chars: &mut CharTable, base: &mut Vec<u32>) {
    for id in (0..blob.pieces.len() as u32).filter(|&id| is_reserved(blob, id)) {
        let text = tokens.texts.get(id).to_vec();
        if text.is_empty() || well_formed(&text, 0) != text.len() {
            continue;
        }
        let code = unsafe { decode(&text, 0).0 };
        if chars.get(code) == NONE {
            let token = tokens.texts.len() as u32;
            chars.set(code, token);
            base.push(token);
            tokens.texts.push(&text);
            tokens.ids.push(NONE);
            tokens.mergeable.push(true);
        }
    }
}

fn is_reserved(blob: &Blob, id: u32) -> bool {
    !matches!(
        blob.types[id as usize],
        0 | piece_type::NORMAL | piece_type::USER_DEFINED | piece_type::UNUSED
    )
}

/// Where a reserved piece has the text of a token, its id wins (`PieceToId`).
fn reserve(tokens: &mut Tokens, blob: &Blob, by_text: &PieceTable) {
    for id in (0..blob.pieces.len() as u32).filter(|&id| is_reserved(blob, id)) {
        let text = tokens.texts.get(id);
        if text.is_empty() {
            continue;
        }
        let token = by_text.find(&tokens.texts, text, 0, text.len());
        if token != NONE {
            tokens.ids[token as usize] = if id == blob.head(Head::Unknown) {
                NONE
            } else {
                id
            };
        }
    }
}

/// All pairs of characters that stand side by side in a piece.
fn joins(tokens: &Tokens, chars: &CharTable) -> Joins {
    let mut joins = Joins::default();
    for token in (0..tokens.texts.len() as u32).filter(|&t| tokens.mergeable[t as usize]) {
        let text = tokens.texts.get(token);
        let (first, mut at) = unsafe { decode(text, 0) };
        let mut before = first;
        while at < text.len() {
            let (code, len) = unsafe { decode(text, at) };
            joins.add(chars.get(before), chars.get(code));
            if before < 128 && code < 128 {
                joins.add_ascii(before as u8, code as u8);
            }
            before = code;
            at += len;
        }
    }
    joins
}
