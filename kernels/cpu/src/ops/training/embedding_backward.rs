//! Backward of the embedding: rows of gradients added to rows of the table's gradient.

use crate::context::{Context, Status};
use crate::ops::chunks::{Shared, in_rows};
use crate::simd::{Isa, Simd, isa, per_isa};

/// Columns that one thread takes through all rows, so that equal ids add up in the order of the rows.
const COLUMNS: usize = 64;

/// The kernel `embedding_backward` of the table.
pub unsafe fn embedding_backward(
    context: &Context,
    dtable: *mut f32,
    dy: *const f32,
    ids: *const i32,
    rows: u32,
    vocab: u32,
    dim: u32,
) -> Status {
    let shape = (rows as usize, vocab as usize, dim as usize);
    unsafe { backward_with(isa(), context, dtable, dy, ids, shape) }
}

unsafe fn backward_with(
    isa: Isa,
    context: &Context,
    dtable: *mut f32,
    dy: *const f32,
    ids: *const i32,
    (rows, vocab, dim): (usize, usize, usize),
) -> Status {
    if (0..rows).any(|row| {
        let id = unsafe { *ids.add(row) };
        id < 0 || id as usize >= vocab
    }) {
        return Err("an id is not below vocab");
    }
    let shared = Shared::new((dtable, dy, ids));
    in_rows(
        context,
        dim.div_ceil(COLUMNS),
        COLUMNS * rows,
        &|first, last| {
            let (dtable, dy, ids) = shared.get();
            let (first, last) = (first * COLUMNS, (last * COLUMNS).min(dim));
            for row in 0..rows {
                unsafe {
                    let to = dtable.add(*ids.add(row) as usize * dim + first);
                    add_on(isa, to, dy.add(row * dim + first), last - first);
                }
            }
        },
    );
    Ok(())
}

#[inline(always)]
unsafe fn add<S: Simd>(to: *mut f32, x: *const f32, count: usize) {
    unsafe {
        for i in (0..count).step_by(S::LANES) {
            let left = count - i;
            let sum = S::add(
                S::load_first(to.add(i), left),
                S::load_first(x.add(i), left),
            );
            S::store_first(to.add(i), sum, left);
        }
    }
}
per_isa! { unsafe fn add_on = add(to: *mut f32, x: *const f32, count: usize); }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{context, numbers};

    #[test]
    fn rows_of_equal_ids_add_up_in_order_on_every_instruction_set() {
        for (rows, vocab, dim) in [(1, 1, 1), (30, 4, 7), (500, 9, 200), (3, 5, 1027)] {
            let (table, dy) = (numbers(vocab * dim, 1), numbers(rows * dim, 2));
            let ids: Vec<i32> = (0..rows).map(|r| (r * 7 % vocab) as i32).collect();
            let mut want = table.clone();
            for (id, dy) in ids.iter().zip(dy.chunks(dim)) {
                for (to, dy) in want[*id as usize * dim..].iter_mut().zip(dy) {
                    *to += dy;
                }
            }
            for isa in Isa::available() {
                let mut got = table.clone();
                let (to, from) = (got.as_mut_ptr(), dy.as_ptr());
                let shape = (rows, vocab, dim);
                unsafe { backward_with(isa, context(), to, from, ids.as_ptr(), shape) }.unwrap();
                assert_eq!(got, want, "{isa:?}");
            }
        }
    }

    #[test]
    fn ids_outside_the_table_are_refused() {
        let mut table = [0.0; 8];
        for bad in [-1, 4] {
            let (ids, dy) = ([0, bad], [1.0; 4]);
            let (to, from) = (table.as_mut_ptr(), dy.as_ptr());
            let status = unsafe { embedding_backward(context(), to, from, ids.as_ptr(), 2, 4, 2) };
            assert_eq!(status, Err("an id is not below vocab"));
        }
        assert_eq!(table, [0.0; 8]);
    }
}
