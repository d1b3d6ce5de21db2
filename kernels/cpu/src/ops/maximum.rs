//! The largest element of a row.

use crate::simd::Simd;

/// Largest of `dim` > 0 floats. Where one is NaN, the result is any of them.
#[inline(always)]
pub unsafe fn maximum<S: Simd>(x: *const f32, dim: usize) -> f32 {
    unsafe {
        if dim < S::LANES {
            let mut largest = *x;
            for i in 1..dim {
                let v = *x.add(i);
                largest = if v > largest { v } else { largest };
            }
            return largest;
        }
        // The last vector overlaps the one before it, which a maximum does not mind.
        let mut largest = [S::load(x.add(dim - S::LANES)); 4];
        let mut i = 0;
        while i + 4 * S::LANES <= dim {
            for (j, largest) in largest.iter_mut().enumerate() {
                *largest = S::max(*largest, S::load(x.add(i + j * S::LANES)));
            }
            i += 4 * S::LANES;
        }
        while i + S::LANES <= dim {
            largest[0] = S::max(largest[0], S::load(x.add(i)));
            i += S::LANES;
        }
        let [a, b, c, d] = largest;
        S::reduce_max(S::max(S::max(a, b), S::max(c, d)))
    }
}
