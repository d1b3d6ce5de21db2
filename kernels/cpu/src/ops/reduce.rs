//! Sums over a row in an order that its length alone decides: four accumulators of vectors take
//! turns, then fold onto one another.

use crate::simd::{MAX_LANES, Simd};

static ONES: [f32; MAX_LANES] = [1.0; MAX_LANES];

/// What is summed.
pub trait Term {
    /// sum + the term of `v`, of which the first `count` lanes belong to the row; the others are 0.
    unsafe fn add<S: Simd>(&self, sum: S::F32, v: S::F32, count: usize) -> S::F32;
}

/// sum x
pub struct Plain;

impl Term for Plain {
    #[inline(always)]
    unsafe fn add<S: Simd>(&self, sum: S::F32, v: S::F32, _count: usize) -> S::F32 {
        unsafe { S::add(sum, v) }
    }
}

/// sum x^2
pub struct Square;

impl Term for Square {
    #[inline(always)]
    unsafe fn add<S: Simd>(&self, sum: S::F32, v: S::F32, _count: usize) -> S::F32 {
        unsafe { S::fma(v, v, sum) }
    }
}

/// sum (x - c)^2
pub struct SquareFrom(pub f32);

impl Term for SquareFrom {
    #[inline(always)]
    unsafe fn add<S: Simd>(&self, sum: S::F32, v: S::F32, count: usize) -> S::F32 {
        unsafe {
            let mut distance = S::sub(v, S::splat(self.0));
            if count < S::LANES {
                distance = S::mul(distance, S::load_first(ONES.as_ptr(), count));
            }
            S::fma(distance, distance, sum)
        }
    }
}

/// Sums a term over `dim` floats; accumulator v % 4 takes vector v.
#[inline(always)]
pub unsafe fn sum<S: Simd>(x: *const f32, dim: usize, term: impl Term) -> f32 {
    unsafe {
        let mut sums = [S::zero(); 4];
        let mut i = 0;
        while i + 4 * S::LANES <= dim {
            for (j, sum) in sums.iter_mut().enumerate() {
                let v = S::load(x.add(i + j * S::LANES));
                *sum = term.add::<S>(*sum, v, S::LANES);
            }
            i += 4 * S::LANES;
        }
        for sum in &mut sums {
            if i < dim {
                let count = (dim - i).min(S::LANES);
                *sum = term.add::<S>(*sum, S::load_first(x.add(i), count), count);
            }
            i += S::LANES;
        }
        S::reduce_add(S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, per_isa};

    #[inline(always)]
    unsafe fn three_sums<S: Simd>(x: &[f32], c: f32) -> [f32; 3] {
        let (p, dim) = (x.as_ptr(), x.len());
        unsafe {
            [
                sum::<S>(p, dim, Plain),
                sum::<S>(p, dim, Square),
                sum::<S>(p, dim, SquareFrom(c)),
            ]
        }
    }
    per_isa! { unsafe fn three_sums_on = three_sums(x: &[f32], c: f32) -> [f32; 3]; }

    #[test]
    fn sums_of_every_length_agree_with_double_precision() {
        for dim in (0..140).chain([1000, 4099]) {
            let x: Vec<f32> = (0..dim)
                .map(|i| ((i * 37 % 101) as f32 - 40.0) * 0.013)
                .collect();
            let wide = |f: &dyn Fn(f64) -> f64| x.iter().map(|&v| f(f64::from(v))).sum::<f64>();
            let c = f64::from(0.25f32);
            let want = [wide(&|v| v), wide(&|v| v * v), wide(&|v| (v - c) * (v - c))];
            for isa in Isa::available() {
                let got = unsafe { three_sums_on(isa, &x, 0.25) };
                for (got, want) in got.into_iter().zip(want) {
                    let off = (f64::from(got) - want).abs();
                    assert!(
                        off < 2e-7 * (dim as f64 + 1.0),
                        "{isa:?} {dim}: {got}, not {want}"
                    );
                }
            }
        }
    }
}
