//! Index of the largest element of each row: greedy decoding.

use super::chunks::{Shared, in_rows};
use crate::context::{Context, Status};
use crate::simd::{Isa, Simd, isa, per_isa};

/// out[r] = index of the largest x[r,:], the lowest index on ties. NaN never wins; a row of NaN alone
/// gives 0.
pub unsafe fn argmax(
    context: &Context,
    out: *mut i32,
    x: *const f32,
    rows: u32,
    dim: u32,
) -> Status {
    if dim == 0 || dim > i32::MAX as u32 {
        return Err("dim must be at least 1 and fit in 31 bits");
    }
    unsafe { argmax_with(isa(), context, out, x, rows as usize, dim as usize) };
    Ok(())
}

unsafe fn argmax_with(
    isa: Isa,
    context: &Context,
    out: *mut i32,
    x: *const f32,
    rows: usize,
    dim: usize,
) {
    let shared = Shared::new((out, x));
    in_rows(context, rows, dim, &|first, last| {
        let (out, x) = shared.get();
        for row in first..last {
            unsafe { *out.add(row) = argmax_row_on(isa, x.add(row * dim), dim) as i32 };
        }
    });
}

/// Vectors after which the maximum so far is looked at, so that its place is known that closely.
const BLOCK: usize = 64;

#[inline(always)]
unsafe fn argmax_row<S: Simd>(x: *const f32, dim: usize) -> usize {
    unsafe {
        let (mut best, mut place) = (f32::NEG_INFINITY, 0);
        let mut first = 0;
        while first < dim {
            let last = (first + BLOCK * S::LANES).min(dim);
            let largest = largest_number::<S>(x.add(first), last - first);
            // Only what is larger moves the place: the first of equals stays.
            if largest > best {
                (best, place) = (largest, first);
            }
            first = last;
        }
        (place..dim).find(|&i| *x.add(i) == best).unwrap_or(0)
    }
}
per_isa! { unsafe fn argmax_row_on = argmax_row(x: *const f32, dim: usize) -> usize; }

/// The largest that is a number, -inf where none is.
#[inline(always)]
unsafe fn largest_number<S: Simd>(x: *const f32, dim: usize) -> f32 {
    unsafe {
        // Four at a time, because a comparison and a choice take longer than the next load.
        let mut largest = [S::splat(f32::NEG_INFINITY); 4];
        let mut i = 0;
        while i + 4 * S::LANES <= dim {
            for (j, largest) in largest.iter_mut().enumerate() {
                let v = S::load(x.add(i + j * S::LANES));
                *largest = S::select(S::lt(*largest, v), v, *largest);
            }
            i += 4 * S::LANES;
        }
        let [a, b, c, d] = largest;
        let mut best = S::reduce_max(S::max(S::max(a, b), S::max(c, d)));
        while i < dim {
            let v = *x.add(i);
            best = if v > best { v } else { best };
            i += 1;
        }
        best
    }
}

/// The plain reference.
#[cfg(test)]
mod reference {
    pub fn argmax(x: &[f32]) -> usize {
        let mut place = None;
        for (i, v) in x.iter().enumerate().filter(|(_, v)| !v.is_nan()) {
            if place.is_none_or(|p: usize| *v > x[p]) {
                place = Some(i);
            }
        }
        place.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{context, numbers};

    fn check(x: &[f32], dim: usize) {
        let rows = x.len() / dim;
        for isa in Isa::available() {
            let mut got = vec![-1; rows];
            unsafe { argmax_with(isa, context(), got.as_mut_ptr(), x.as_ptr(), rows, dim) };
            for (row, got) in x.chunks(dim).zip(got) {
                assert_eq!(
                    got as usize,
                    reference::argmax(row),
                    "{isa:?}, {dim} elements"
                );
            }
        }
    }

    #[test]
    fn argmax_agrees_with_the_reference() {
        for (rows, dim) in [(3, 1), (4, 7), (5, 33), (3, 1025), (40, 3001), (2, 128_256)] {
            check(&numbers(rows * dim, 1), dim);
        }
    }

    #[test]
    fn the_first_of_equals_wins() {
        for (a, b) in [(0, 1), (5, 40), (511, 512), (700, 2999), (2990, 2999)] {
            let mut x = vec![-1.0; 3000];
            (x[a], x[b]) = (3.0, 3.0);
            check(&x, 3000);
        }
        check(&[0.0, -0.0, 0.0], 3);
        check(&[-0.0, 0.0], 2);
    }

    #[test]
    fn nan_never_wins_and_infinities_are_compared() {
        let (nan, none) = (f32::NAN, f32::NEG_INFINITY);
        for place in [0, 1, 8, 17, 600, 1023] {
            let mut x = vec![nan; 1024];
            x[place] = none;
            check(&x, 1024);
            x[(place + 3) % 1024] = -5.0;
            check(&x, 1024);
        }
        check(&[nan; 5], 5);
        check(&[none; 50], 50);
        check(&[nan, 1.0, f32::INFINITY, f32::INFINITY, nan], 5);
    }
}
