//! Texts cut into units, and units gathered into tasks for threads.

use super::class::{CharClasses, LETTER};
use super::utf8::decode;
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

/// The first place behind `from` where a letter ends and a cut `may` be made between it and the
/// character behind it.
///
/// # Safety
/// `text` must be well-formed UTF-8, and `from` must lie in it.
pub unsafe fn cut(
    text: &[u8],
    from: usize,
    classes: &CharClasses,
    may: impl Fn(u32, u32) -> bool,
) -> Option<usize> {
    let mut at = from + text[from..].iter().position(|&byte| byte & 0xc0 != 0x80)?;
    let (mut left, mut len) = unsafe { decode(text, at) };
    loop {
        at += len;
        if at >= text.len() {
            return None;
        }
        let right;
        (right, len) = unsafe { decode(text, at) };
        if classes.of(left) == LETTER && may(left, right) {
            return Some(at);
        }
        left = right;
    }
}
