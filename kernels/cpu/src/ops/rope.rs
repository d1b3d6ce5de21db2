//! Rotary position embedding (Su et al. 2021, eq. 34), in place.

use super::chunks::{Shared, in_rows};
use crate::context::{Context, Status};
use crate::simd::{Isa, Simd, isa, per_isa};

/// Which two coordinates of a head turn together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Layout {
    /// i and i + head_dim/2, as Hugging Face stores heads.
    Half,
    /// 2i and 2i + 1, as Meta and GGUF store them.
    Interleaved,
}

/// Rotates `heads` heads of every row of x by the angles of the row, given as (cos, sin) per pair.
/// `stride` is the distance of rows; layout 0 is [`Layout::Half`], 1 [`Layout::Interleaved`].
pub unsafe fn rope(
    context: &Context,
    x: *mut f32,
    table: *const f32,
    rows: u32,
    heads: u32,
    head_dim: u32,
    stride: u32,
    layout: u32,
) -> Status {
    let layout = match layout {
        0 => Layout::Half,
        1 => Layout::Interleaved,
        _ => return Err("layout must be 0 or 1"),
    };
    if !head_dim.is_multiple_of(2) {
        return Err("head_dim must be even");
    }
    if rows > 1 && u64::from(stride) < u64::from(heads) * u64::from(head_dim) {
        return Err("stride must be at least heads * head_dim");
    }
    let shape = (
        rows as usize,
        heads as usize,
        head_dim as usize,
        stride as usize,
    );
    unsafe { rope_with(isa(), context, x, table, shape, layout) };
    Ok(())
}

unsafe fn rope_with(
    isa: Isa,
    context: &Context,
    x: *mut f32,
    table: *const f32,
    (rows, heads, head_dim, stride): (usize, usize, usize, usize),
    layout: Layout,
) {
    let shared = Shared::new((x, table));
    in_rows(context, rows, heads * head_dim, &|first, last| {
        let (x, table) = shared.get();
        for row in first..last {
            unsafe {
                let (x, table) = (x.add(row * stride), table.add(row * head_dim));
                rotate_on(isa, x, table, heads, head_dim, layout);
            }
        }
    });
}

// Plain loops, which the compiler turns into the vectors of the instruction set together with the
// shuffles that they need. Products are rounded before they are added, so that all of them agree.
#[inline(always)]
#[allow(clippy::extra_unused_type_parameters)]
unsafe fn rotate<S: Simd>(
    x: *mut f32,
    table: *const f32,
    heads: usize,
    head_dim: usize,
    layout: Layout,
) {
    let half = head_dim / 2;
    let table = unsafe { core::slice::from_raw_parts(table.cast::<[f32; 2]>(), half) };
    for head in 0..heads {
        let x = unsafe { core::slice::from_raw_parts_mut(x.add(head * head_dim), head_dim) };
        match layout {
            Layout::Half => {
                let (low, high) = x.split_at_mut(half);
                for ((a, b), [cos, sin]) in low.iter_mut().zip(high).zip(table) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
            Layout::Interleaved => {
                for (pair, [cos, sin]) in x.chunks_exact_mut(2).zip(table) {
                    let (a, b) = (pair[0], pair[1]);
                    (pair[0], pair[1]) = (a * cos - b * sin, b * cos + a * sin);
                }
            }
        }
    }
}
per_isa! {
    unsafe fn rotate_on = rotate(
        x: *mut f32, table: *const f32, heads: usize, head_dim: usize, layout: Layout,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_close, context, numbers};

    /// (cos, sin) of rows x head_dim/2 angles.
    fn angles(rows: usize, head_dim: usize) -> Vec<f32> {
        let angle =
            |i: usize| (i / (head_dim / 2) * 17) as f64 * 0.1f64.powi((i % (head_dim / 2)) as i32);
        let pairs = (0..rows * head_dim / 2).map(angle);
        pairs
            .flat_map(|a| [a.cos() as f32, a.sin() as f32])
            .collect()
    }

    /// The plain reference: the product with a complex number of length 1.
    fn reference(x: &[f32], table: &[f32], head_dim: usize, layout: Layout) -> Vec<f64> {
        let mut out: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
        for head in out.chunks_mut(head_dim) {
            for i in 0..head_dim / 2 {
                let (p, q) = match layout {
                    Layout::Half => (i, i + head_dim / 2),
                    Layout::Interleaved => (2 * i, 2 * i + 1),
                };
                let (re, im) = (head[p], head[q]);
                let (cos, sin) = (f64::from(table[2 * i]), f64::from(table[2 * i + 1]));
                (head[p], head[q]) = (re * cos - im * sin, re * sin + im * cos);
            }
        }
        out
    }

    #[test]
    fn rope_agrees_with_complex_rotation_in_both_layouts_and_leaves_the_rest_alone() {
        for (rows, heads, head_dim) in [(1, 1, 2), (3, 2, 6), (5, 3, 12), (4, 5, 64), (20, 16, 128)]
        {
            let stride = heads * head_dim + 5;
            let (before, table) = (numbers(rows * stride, 1), angles(rows, head_dim));
            for isa in Isa::available() {
                for layout in [Layout::Half, Layout::Interleaved] {
                    let mut x = before.clone();
                    let shape = (rows, heads, head_dim, stride);
                    unsafe {
                        rope_with(
                            isa,
                            context(),
                            x.as_mut_ptr(),
                            table.as_ptr(),
                            shape,
                            layout,
                        )
                    };
                    for row in 0..rows {
                        let (at, end) = (row * stride, row * stride + heads * head_dim);
                        let table = &table[row * head_dim..(row + 1) * head_dim];
                        let want = reference(&before[at..end], table, head_dim, layout);
                        assert_close(&x[at..end], &want, 4e-7, isa);
                        assert_eq!(x[end..at + stride], before[end..at + stride]);
                    }
                }
            }
        }
    }

    #[test]
    fn shapes_that_cannot_turn_are_refused() {
        let mut x = [0.0; 16];
        let (p, t) = (x.as_mut_ptr(), [1.0; 16].as_ptr());
        let context = context();
        let run = |head_dim, stride, layout| unsafe {
            rope(context, p, t, 2, 1, head_dim, stride, layout)
        };
        assert_eq!(run(3, 3, 0), Err("head_dim must be even"));
        assert_eq!(
            run(4, 3, 0),
            Err("stride must be at least heads * head_dim")
        );
        assert_eq!(run(4, 4, 2), Err("layout must be 0 or 1"));
        assert_eq!(run(4, 4, 1), Ok(()));
    }
}
