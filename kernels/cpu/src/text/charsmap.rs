//! SentencePiece's precompiled normalization rules: u32 size of a Darts-clone double-array trie, its
//! units, then the replacements, each ending in NUL (google/sentencepiece, normalizer.cc; darts.h).

use alloc::vec::Vec;

/// Rules that replace the longest sequence that begins at a place.
pub struct Charsmap {
    units: Vec<u32>,
    /// Replacements; every one ends in NUL, the last by force.
    texts: Vec<u8>,
}

fn label(unit: u32) -> u32 {
    unit & 0x8000_00ff
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 0x200) >> 6)) as usize
}

impl Charsmap {
    /// Reads the blob after checking its lengths.
    pub fn new(blob: &[u8]) -> Result<Charsmap, &'static str> {
        let Some((head, rest)) = blob.split_first_chunk::<4>() else {
            return Err("the normalization rules are shorter than their header");
        };
        let size = u32::from_le_bytes(*head) as usize;
        if size == 0 || !size.is_multiple_of(4) || size > rest.len() {
            return Err("the normalization rules have a trie of a wrong size");
        }
        let (trie, texts) = rest.split_at(size);
        let units = trie
            .chunks_exact(4)
            .map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]))
            .collect();
        let mut texts = texts.to_vec();
        texts.push(0);
        Ok(Charsmap { units, texts })
    }

    /// The replacement of the longest rule that matches at `at`, and the length of what it replaces.
    /// `open` is set when the text ends before it is certain that no longer rule matches.
    pub fn longest(&self, text: &[u8], at: usize, open: &mut bool) -> Option<(&[u8], usize)> {
        let unit = |place: usize| self.units.get(place).copied();
        let mut place = offset(unit(0)?);
        let mut best = None;
        for (i, &byte) in text[at..].iter().enumerate() {
            place ^= byte as usize;
            let Some(found) = unit(place).filter(|&u| label(u) == byte as u32) else {
                return best;
            };
            place ^= offset(found);
            if found >> 8 & 1 == 1 {
                let value = unit(place).map_or(0, |u| u & 0x7fff_ffff) as usize;
                best = self.text(value).map(|replacement| (replacement, i + 1));
            }
        }
        *open = true;
        best
    }

    fn text(&self, start: usize) -> Option<&[u8]> {
        let rest = self.texts.get(start..)?;
        let end = rest.iter().position(|&b| b == 0)?;
        Some(&rest[..end])
    }
}
