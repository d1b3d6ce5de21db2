//! The searches behind the quantizers: integers and a scale (and a minimum) that fit weighted values
//! best.
//!
//! The order of every operation is that of ggml's reference quantizer (`ggml-quants.c`), so that
//! blocks come out byte for byte as there, where the reference was built without fused operations.

/// Groups whose largest magnitude is below this count as zero.
pub const SMALLEST_MAGNITUDE: f32 = 1e-15;

/// The nearest integer, halves to even, for |x| < 2^22.
#[inline(always)]
pub fn nearest(x: f32) -> i32 {
    // Adding 1.5 * 2^23 leaves the integer in the low bits of the fraction.
    let bits = (x + 12_582_912.0).to_bits();
    (bits & 0x007f_ffff) as i32 - 0x0040_0000
}

/// What `fit_with_minimum` searches through: `steps + 1` trial scales around the plain one.
#[derive(Clone, Copy)]
pub struct Search {
    pub first: f32,
    pub step: f32,
    pub steps: i32,
    /// Judge by absolute instead of squared errors.
    pub absolute: bool,
}

/// A sub-block with weights, as the search for a scale and a minimum sees it.
struct Weighted<'a> {
    x: &'a [f32],
    weights: &'a [f32],
    highest: i32,
    absolute: bool,
    sum_w: f32,
    sum_x: f32,
}

impl Weighted<'_> {
    /// The weighted error of scale * level + minimum.
    fn error(&self, levels: &[u8], scale: f32, minimum: f32) -> f32 {
        let mut error = 0f32;
        for ((&x, &w), &level) in self.x.iter().zip(self.weights).zip(levels) {
            let difference = scale * f32::from(level) + minimum - x;
            error += w * if self.absolute {
                difference.abs()
            } else {
                difference * difference
            };
        }
        error
    }

    /// Levels for an inverse scale, and the scale and the minimum that fit these levels best.
    fn refit(&self, inverse: f32, minimum: f32, levels: &mut [u8]) -> Option<(f32, f32)> {
        let (mut sum_l, mut sum_l2, mut sum_xl) = (0f32, 0f32, 0f32);
        for ((&x, &w), level) in self.x.iter().zip(self.weights).zip(levels) {
            let l = nearest(inverse * (x - minimum)).clamp(0, self.highest);
            *level = l as u8;
            let l = l as f32;
            sum_l += w * l;
            sum_l2 += w * l * l;
            sum_xl += w * l * x;
        }
        let determinant = self.sum_w * sum_l2 - sum_l * sum_l;
        if determinant.partial_cmp(&0.0) != Some(core::cmp::Ordering::Greater) {
            return None;
        }
        let scale = (self.sum_w * sum_xl - self.sum_x * sum_l) / determinant;
        let minimum = (sum_l2 * self.sum_x - sum_l * sum_xl) / determinant;
        Some(if minimum > 0.0 {
            (sum_xl / sum_l2, 0.0)
        } else {
            (scale, minimum)
        })
    }
}

/// Finds x ~ scale * level + minimum with levels 0 ..= `highest` and minimum <= 0, least weighted
/// error. Gives (scale, -minimum) and writes the levels.
pub fn fit_with_minimum(
    x: &[f32],
    weights: &[f32],
    highest: i32,
    levels: &mut [u8],
    search: Search,
) -> (f32, f32) {
    let (mut min, mut max) = (x[0], x[0]);
    let (mut sum_w, mut sum_x) = (weights[0], weights[0] * x[0]);
    for (&x, &w) in x.iter().zip(weights).skip(1) {
        min = if x < min { x } else { min };
        max = if x > max { x } else { max };
        sum_w += w;
        sum_x += w * x;
    }
    if min > 0.0 {
        min = 0.0;
    }
    if max == min {
        levels.fill(0);
        return (0.0, -min);
    }
    let part = Weighted {
        x,
        weights,
        highest,
        absolute: search.absolute,
        sum_w,
        sum_x,
    };
    let inverse = highest as f32 / (max - min);
    let mut scale = 1.0 / inverse;
    for (level, &x) in levels.iter_mut().zip(x) {
        *level = nearest(inverse * (x - min)).clamp(0, highest) as u8;
    }
    let mut best = part.error(levels, scale, min);
    let mut trial = [0u8; 32];
    let trial = &mut trial[..x.len()];
    for i in 0..=search.steps {
        // The reference takes the trial's span from the minimum found so far.
        let inverse = (search.first + search.step * i as f32 + highest as f32) / (max - min);
        let Some((this_scale, this_min)) = part.refit(inverse, min, trial) else {
            continue;
        };
        let error = part.error(trial, this_scale, this_min);
        if error < best {
            levels.copy_from_slice(trial);
            best = error;
            scale = this_scale;
            min = this_min;
        }
    }
    (scale, -min)
}

/// The value of largest magnitude (the first of equals) and that magnitude.
pub fn largest(x: &[f32]) -> (f32, f32) {
    let (mut value, mut magnitude) = (0f32, 0f32);
    for &x in x {
        if x.abs() > magnitude {
            magnitude = x.abs();
            value = x;
        }
    }
    (value, magnitude)
}

/// Finds x ~ scale * level with levels -n ..= n-1, weighted by `weights` or else by x^2, trying 19
/// scales. Gives the scale and writes level + n.
pub fn fit_symmetric(x: &[f32], weights: Option<&[f32]>, n: i32, levels: &mut [i8]) -> f32 {
    let (value, magnitude) = largest(x);
    if magnitude < SMALLEST_MAGNITUDE {
        levels.fill(0);
        return 0.0;
    }
    let sums = |inverse: f32| {
        let (mut sum_lx, mut sum_l2) = (0f32, 0f32);
        for (i, &x) in x.iter().enumerate() {
            let l = nearest(inverse * x).clamp(-n, n - 1) as f32;
            let w = weights.map_or(x * x, |weights| weights[i]);
            sum_lx += w * x * l;
            sum_l2 += w * l * l;
        }
        (sum_lx, sum_l2)
    };
    let mut fill = |inverse: f32| {
        for (level, &x) in levels.iter_mut().zip(x) {
            *level = (n + nearest(inverse * x).clamp(-n, n - 1)) as i8;
        }
    };
    let inverse = -(n as f32) / value;
    let (sum_lx, sum_l2) = sums(inverse);
    fill(inverse);
    let mut scale = if sum_l2 != 0.0 { sum_lx / sum_l2 } else { 0.0 };
    let mut best = scale * sum_lx;
    for i in (-9..=9).filter(|&i| i != 0) {
        let inverse = -(n as f32 + 0.1 * i as f32) / value;
        let (sum_lx, sum_l2) = sums(inverse);
        if sum_l2 > 0.0 && sum_lx * sum_lx > best * sum_l2 {
            fill(inverse);
            scale = sum_lx / sum_l2;
            best = scale * sum_lx;
        }
    }
    scale
}

/// Finds x ~ scale * level with levels -n ..= n-1, weighted by x^2, improving one level at a time for
/// at most five rounds. Gives the scale and writes level + n.
pub fn fit_by_exchange(x: &[f32], n: i32, out: &mut [u8]) -> f32 {
    let (value, magnitude) = largest(x);
    if magnitude < SMALLEST_MAGNITUDE {
        out.fill(0);
        return 0.0;
    }
    let inverse = -(n as f32) / value;
    let mut levels = [0i32; 16];
    let (mut sum_lx, mut sum_l2) = (0f32, 0f32);
    for (level, &x) in levels.iter_mut().zip(x) {
        *level = nearest(inverse * x).clamp(-n, n - 1);
        let (l, w) = (*level as f32, x * x);
        sum_lx += w * x * l;
        sum_l2 += w * l * l;
    }
    for _ in 0..5 {
        let mut changed = false;
        for (level, &x) in levels.iter_mut().zip(x) {
            let (l, w) = (*level as f32, x * x);
            let mut without_lx = sum_lx - w * x * l;
            if without_lx <= 0.0 {
                continue;
            }
            let mut without_l2 = sum_l2 - w * l * l;
            let new = nearest(x * without_l2 / without_lx).clamp(-n, n - 1);
            if new == *level {
                continue;
            }
            without_lx += w * x * new as f32;
            without_l2 += w * new as f32 * new as f32;
            let better = without_lx * without_lx * sum_l2 > sum_lx * sum_lx * without_l2;
            if without_l2 > 0.0 && better {
                *level = new;
                sum_lx = without_lx;
                sum_l2 = without_l2;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    for (out, level) in out.iter_mut().zip(levels) {
        *out = (level + n) as u8;
    }
    if sum_l2 > 0.0 { sum_lx / sum_l2 } else { 0.0 }
}

/// Finds x ~ scale * level with levels 0 ..= `highest` for x >= 0, weighted: nine trial scales, then
/// one level at a time for at most five rounds. Gives the scale and writes the levels.
pub fn fit_positive(x: &[f32], weights: &[f32], highest: i32, levels: &mut [u8]) -> f32 {
    let max = x.iter().fold(0f32, |m, &x| if x > m { x } else { m });
    if max < SMALLEST_MAGNITUDE {
        levels.fill(0);
        return 0.0;
    }
    let error_of = |inverse: f32| {
        let scale = 1.0 / inverse;
        let mut error = 0f32;
        for (&x, &w) in x.iter().zip(weights) {
            let difference = x - scale * nearest(inverse * x).min(highest) as f32;
            error += w * difference * difference;
        }
        error
    };
    let mut inverse = highest as f32 / max;
    let mut best = error_of(inverse);
    for i in (-4..=4).filter(|&i| i != 0) {
        let trial = (0.1 * i as f32 + highest as f32) / max;
        let error = error_of(trial);
        if error < best {
            best = error;
            inverse = trial;
        }
    }
    let (mut sum_lx, mut sum_l2) = (0f32, 0f32);
    for ((&x, &w), level) in x.iter().zip(weights).zip(levels.iter_mut()) {
        let l = nearest(inverse * x).min(highest);
        *level = l as u8;
        sum_lx += w * x * l as f32;
        sum_l2 += w * l as f32 * l as f32;
    }
    for _ in 0..5 {
        let mut changed = false;
        for ((&x, &w), level) in x.iter().zip(weights).zip(levels.iter_mut()) {
            let l = f32::from(*level);
            let mut without_lx = sum_lx - w * x * l;
            let mut without_l2 = sum_l2 - w * l * l;
            if without_lx <= 0.0 || without_l2 <= 0.0 {
                continue;
            }
            let new = nearest(x * without_l2 / without_lx).min(highest) as u8;
            if new == *level {
                continue;
            }
            without_lx += w * x * f32::from(new);
            without_l2 += w * f32::from(new) * f32::from(new);
            if without_lx * without_lx * sum_l2 > sum_lx * sum_lx * without_l2 {
                *level = new;
                sum_lx = without_lx;
                sum_l2 = without_l2;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    if sum_l2 > 0.0 { sum_lx / sum_l2 } else { 0.0 }
}
