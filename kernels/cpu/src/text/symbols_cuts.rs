//! Tokenizers whose characters merge: where a text may be cut for threads.

use super::hash::NONE;
use super::normalize::MARK;
use super::symbols::Symbols;
use super::utf8::first_byte;

impl Symbols {
    /// Whether there are places where text may be cut before it is normalized.
    pub fn has_cuts(&self) -> bool {
        let simple =
            self.normalizer.is_simple() && self.frozen.is_empty() && self.unused.is_empty();
        simple && (!self.names.any(true) || self.names.simple)
    }

    /// Whether text may be cut between two characters: no piece has them side by side, and the second
    /// is a piece, so that no run of unknown ones goes on; nor does a name reach across.
    pub fn may_cut(&self, left: u32, right: u32) -> bool {
        let mark = if right == b' ' as u32 {
            MARK[0]
        } else {
            first_byte(right)
        };
        if !self.names.may_cut_before(mark) || !self.names.may_cut_before(first_byte(right)) {
            return false;
        }
        let (left, right) = (self.chars.get(left), self.chars.get(right));
        left != NONE
            && right != NONE
            && self.ids[right as usize] != NONE
            && !self.joins.has(left, right)
    }
}
