//! Texts cut into units, and units gathered into tasks for threads.

use alloc::vec::Vec;

/// Text of one task: enough that handing it out costs nothing.
pub const TASK_BYTES: usize = 1 << 17;

/// A stretch of a text, encoded as a unit.
#[derive(Clone, Copy)]
pub struct Unit {
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Whether it begins its text.
    pub first: bool,
    /// Whether it ends its text.
    pub last: bool,
}

/// Groups units into tasks of about equal size; by their sizes alone.
pub fn tasks(units: &[Unit]) -> Vec<(usize, usize)> {
    let mut tasks = Vec::new();
    let (mut first, mut bytes) = (0, 0);
    for (i, unit) in units.iter().enumerate() {
        bytes += unit.end - unit.start;
        if bytes >= TASK_BYTES || i + 1 == units.len() {
            tasks.push((first, i + 1));
            (first, bytes) = (i + 1, 0);
        }
    }
    tasks
}

/// A place behind `from` where a letter, a space and a letter follow one another: the space begins a
/// piece of every split pattern, and a chunk of every vocabulary that has spaces in front of words.
pub fn cut(text: &[u8], from: usize) -> Option<usize> {
    let to = text.len().min(from + TASK_BYTES);
    (from..to.saturating_sub(1)).find(|&at| {
        text[at] == b' ' && text[at - 1].is_ascii_alphabetic() && text[at + 1].is_ascii_alphabetic()
    })
}
