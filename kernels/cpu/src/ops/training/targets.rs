//! Rows of logits with a target each, as every loss over a vocabulary has them.

use crate::context::Context;
use crate::ops::chunks::{Shared, in_rows};

/// Rows whose targets are below the vocabulary's size, or below 0, which is none.
pub struct Targets {
    rows: usize,
    vocab: usize,
}

impl Targets {
    /// Looks at the targets of all rows.
    pub unsafe fn checked(
        targets: *const i32,
        rows: usize,
        vocab: usize,
    ) -> Result<Targets, &'static str> {
        if vocab == 0 {
            return Err("vocab must be at least 1");
        }
        let target = |row| unsafe { *targets.add(row) };
        if (0..rows).any(|row| target(row) >= 0 && target(row) as usize >= vocab) {
            return Err("a target is not below vocab");
        }
        Ok(Targets { rows, vocab })
    }

    /// Has the threads compute each row with the arguments of a kernel, whose rows lie apart.
    pub fn each_row<T>(&self, context: &Context, arguments: &T, row: impl Fn(&T, usize) + Sync) {
        let shared = Shared::new(arguments);
        in_rows(context, self.rows, self.vocab, &|first, last| {
            for index in first..last {
                row(shared.get(), index);
            }
        });
    }
}
