//! Products of levels against plain integers, on everything that this machine has.

use super::{Int8, Int8Isa};
use crate::simd::Simd;

/// What is added to signed levels of a weight, where an instruction set wants them unsigned.
fn raise<Q: Int8>() -> u8 {
    if Q::LEVEL_BYTES == 1 { 128 } else { 0 }
}

/// Levels that reach both ends of their range.
fn levels(seed: u32, lowest: i32) -> [i8; 32] {
    let mut state = seed.wrapping_mul(2_654_435_761);
    std::array::from_fn(|i| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match (state >> 8) % 5 {
            0 => lowest as i8,
            1 => 127,
            _ => ((state >> 16) as i32 % (127 - lowest + 1) + lowest + i as i32 % 2).min(127) as i8,
        }
    })
}

fn product(w: &[i8], x: &[i8]) -> i32 {
    w.iter()
        .zip(x)
        .map(|(&w, &x)| i32::from(w) * i32::from(x))
        .sum()
}

#[inline(always)]
unsafe fn check_products<Q: Int8>(w: &[[i8; 32]; 4], x: &[i8; 32]) {
    unsafe {
        let raised = w.map(|w| w.map(|level| level.wrapping_add(raise::<Q>() as i8)));
        let blocks = [0, 1, 2, 3].map(|i| Q::block(raised[i].as_ptr()));
        let start =
            |x: &[i8]| -i32::from(raise::<Q>()) * x.iter().map(|&x| i32::from(x)).sum::<i32>();
        let levels = Q::factor(x.as_ptr());
        let got = Q::quad_floats(Q::products(&blocks, levels, start(x)));
        assert_eq!(got, w.map(|w| product(&w, x) as f32));
        let starts = [start(&x[..16]), start(&x[16..])];
        let got = Q::half_products(&blocks, levels, starts).map(|quad| Q::quad_floats(quad));
        for (half, got) in got.iter().enumerate() {
            let half = 16 * half..16 * half + 16;
            let want = w.map(|w| product(&w[half.clone()], &x[half.clone()]) as f32);
            assert_eq!(*got, want);
        }
        let signed = [0, 1, 2, 3].map(|i| Q::signed_block(w[i].as_ptr()));
        let got = Q::quad_floats(Q::products(&signed, levels, start(x)));
        assert_eq!(got, w.map(|w| product(&w, x) as f32));
        let halves = [0x3c00u16, 0xc000, 0x3555, 1];
        let places = [0, 1, 2, 3].map(|i| &raw const halves[i]);
        let quad = Q::quad_f16(places);
        assert_eq!(
            Q::quad_floats(quad),
            [1.0, -2.0, 0.333_251_95, 5.960_464_5e-8]
        );
        let others = [0u16, 0x7c00, 0xfc00, 0x8001];
        let others = [0, 1, 2, 3].map(|i| &raw const others[i]);
        let quads = Q::quads_f16([places, others]).map(|quad| Q::quad_floats(quad));
        let infinite = f32::INFINITY;
        assert_eq!(quads[0], Q::quad_floats(quad));
        assert_eq!(quads[1], [0.0, infinite, -infinite, -5.960_464_5e-8]);
        let wide = [1.0, -2.0, 0.333_251_95, 5.960_464_5e-8];
        let quad = Q::quad_load(&wide);
        let (half, one) = (Q::quad_splat(0.5), Q::quad_splat(1.0));
        let sums = Q::quad_fma(Q::quad_mul(quad, half), half, one);
        assert_eq!(Q::quad_floats(sums), wide.map(|x| x * 0.25 + 1.0));
    }
}
per_int8_isa! { unsafe fn products_on = check_products(w: &[[i8; 32]; 4], x: &[i8; 32]); }

/// Packs one block of as many columns as there are lanes, as the packed product does.
#[inline(always)]
unsafe fn check_packed<Q: Int8>(seed: u32) {
    unsafe {
        let lanes = Q::S::LANES;
        let bytes = 32 * Q::LEVEL_BYTES;
        let mut rows = vec![0u8; lanes * bytes];
        let columns: Vec<[i8; 32]> = (0..lanes).map(|c| levels(seed + c as u32, -128)).collect();
        for (column, to) in columns.iter().zip(rows.chunks_mut(bytes)) {
            let raised = column.map(|level| (level as u8).wrapping_add(raise::<Q>()));
            Q::pack_levels(to.as_mut_ptr(), raised.as_ptr());
        }
        let mut packed = vec![0u8; lanes * bytes];
        for word in (0..bytes / 4).step_by(Q::SQUARE) {
            for lane in (0..lanes).step_by(Q::SQUARE) {
                let from = rows.as_ptr().add(lane * bytes + word * 4);
                let to = packed.as_mut_ptr().add(word * lanes * 4 + lane * 4);
                Q::transpose(from, bytes, to, lanes * 4);
            }
        }
        let x = levels(seed + 99, -128);
        let mut activation = [0u8; 64];
        Q::pack_levels(activation.as_mut_ptr(), x.as_ptr().cast());
        let total: i32 = x.iter().map(|&x| i32::from(x)).sum();
        let mut sum = Q::ints_splat(-i32::from(raise::<Q>()) * total);
        for word in 0..bytes / 4 {
            let w = Q::ints_load(packed.as_ptr().add(word * lanes * 4));
            let x = activation.as_ptr().cast::<i32>().add(word).read_unaligned();
            sum = Q::ints_dot(sum, w, Q::ints_splat(x));
        }
        let mut got = vec![0f32; lanes];
        Q::S::store(got.as_mut_ptr(), Q::ints_floats(sum));
        let want: Vec<f32> = columns.iter().map(|w| product(w, &x) as f32).collect();
        assert_eq!(got, want);
    }
}
per_int8_isa! { unsafe fn packed_on = check_packed(seed: u32); }

/// Bytes of lanes multiplied and taken apart, against plain integers.
#[inline(always)]
unsafe fn check_bytes<Q: Int8>(seed: u32) {
    unsafe {
        let lanes = Q::S::LANES;
        let columns: Vec<[i8; 32]> = (0..lanes)
            .map(|c| levels(seed + c as u32, -128).map(|level| level & 127))
            .collect();
        let x = levels(seed + 99, -127);
        let word =
            |c: usize, word: usize| columns[c].as_ptr().cast::<i32>().add(word).read_unaligned();
        let (mut sum, mut parts) = (Q::ints_splat(-5), Q::ints_splat(0));
        for i in 0..8 {
            let words: Vec<i32> = (0..lanes).map(|c| word(c, i)).collect();
            let w = Q::ints_load(words.as_ptr().cast());
            let x = x.as_ptr().cast::<i32>().add(i).read_unaligned();
            sum = Q::ints_dot_bytes(sum, w, Q::ints_splat(x));
            let high = Q::ints_and(Q::ints_shr(w, i as u32 + 3), Q::ints_splat(255));
            let low = Q::ints_shr(Q::ints_shl(w, 28), 20);
            parts = Q::ints_sub(parts, Q::ints_or(high, low));
        }
        let mut got = vec![0i32; lanes];
        let halves = Q::ints_sub_halves(Q::ints_splat(0x0003_0001), Q::ints_splat(0x0005_0002));
        Q::ints_store(got.as_mut_ptr().cast(), halves);
        assert_eq!(got, vec![-0x0001_0001; lanes]);
        let mut got = vec![0f32; lanes];
        Q::S::store(got.as_mut_ptr(), Q::ints_floats(sum));
        let want: Vec<f32> = columns
            .iter()
            .map(|w| (product(w, &x) - 5) as f32)
            .collect();
        assert_eq!(got, want);
        Q::S::store(got.as_mut_ptr(), Q::ints_floats(parts));
        let part = |w: u32, i: u32| (w >> (i + 3) & 255 | (w & 15) << 8) as i32;
        let want = (0..lanes).map(|c| {
            let sum: i32 = (0..8).map(|i| part(word(c, i) as u32, i as u32)).sum();
            -sum as f32
        });
        assert_eq!(got, want.collect::<Vec<f32>>());
    }
}
per_int8_isa! { unsafe fn bytes_on = check_bytes(seed: u32); }

#[test]
fn bytes_of_lanes_multiply_exactly_and_come_apart() {
    for isa in Int8Isa::available() {
        for seed in 0..100 {
            unsafe { bytes_on(isa, seed) };
        }
    }
}

#[test]
fn blocks_multiply_exactly_up_to_the_ends_of_their_range() {
    for isa in Int8Isa::available() {
        for seed in 0..200 {
            let w = [0, 1, 2, 3].map(|i| levels(seed * 7 + i, -128));
            unsafe { products_on(isa, &w, &levels(seed + 1000, -127)) };
        }
        let (lowest, highest) = ([[-128i8; 32]; 4], [[127i8; 32]; 4]);
        for x in [[-127i8; 32], [127; 32]] {
            unsafe { products_on(isa, &lowest, &x) };
            unsafe { products_on(isa, &highest, &x) };
        }
    }
}

#[test]
fn packed_levels_multiply_exactly_in_every_lane() {
    for isa in Int8Isa::available() {
        for seed in 0..100 {
            unsafe { packed_on(isa, seed) };
        }
    }
}
