//! Unpacked rows against the formats' own reference.

use super::*;
use crate::ops::testing::numbers;
use crate::simd::{Int8Isa, Isa};

/// Blocks of arbitrary bytes, their half-precision numbers made small.
fn blocks<F: Levels>(halves: &[usize], count: usize, seed: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = numbers(count * F::BYTES, seed)
        .iter()
        .map(|x| (x.to_bits() >> 7) as u8)
        .collect();
    for block in bytes.chunks_mut(F::BYTES) {
        for &at in halves {
            block[at + 1] &= 0xbf;
        }
    }
    bytes
}

fn check<F: Levels>(code: u32, halves: &[usize]) {
    let count = PIECE / F::ELEMENTS;
    let rows: Vec<Vec<u8>> = (0..4).map(|row| blocks::<F>(halves, count, row)).collect();
    let mut want = vec![vec![0f32; PIECE]; 4];
    for (row, want) in rows.iter().zip(&mut want) {
        for block in 0..count {
            unsafe {
                let from = row.as_ptr().add(block * F::BYTES);
                F::dequantize(from, want.as_mut_ptr().add(block * F::ELEMENTS));
            }
        }
    }
    let from = [0, 1, 2, 3].map(|i: usize| rows[i].as_ptr());
    for isa in Int8Isa::available() {
        let mut levels = [[0u8; PIECE]; 4];
        let (mut scales, mut minima) = ([[0f32; 5]; MAX_UNITS], [[0f32; 5]; MAX_UNITS]);
        let target = Target {
            levels: levels.as_mut_ptr().cast(),
            row_bytes: PIECE,
            scales: scales.as_mut_ptr().cast(),
            minima: minima.as_mut_ptr().cast(),
            unit_floats: 5,
        };
        unsafe { unpack_on(isa, code, from, PIECE, target) };
        let offset = if isa.level_bytes() == 1 { F::OFFSET } else { 0 };
        for (row, want) in want.iter().enumerate() {
            for (i, &want) in want.iter().enumerate() {
                let level = levels[row][i];
                let level = if isa.level_bytes() == 1 {
                    i32::from(level)
                } else {
                    i32::from(level as i8)
                };
                let scale = scales[i / F::UNIT][row];
                let x = scale * (level - i32::from(offset)) as f32;
                let x = if F::MINIMUM {
                    x + minima[i / F::UNIT][row]
                } else {
                    x
                };
                assert!(x == want, "{isa:?}: type {code}, row {row}, element {i}");
            }
        }
    }
    for isa in Isa::available() {
        for (row, want) in rows.iter().zip(&want) {
            let mut got = vec![0f32; PIECE];
            unsafe { widen_on(isa, code, row.as_ptr(), PIECE, got.as_mut_ptr()) };
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&got), bits(want), "{isa:?}: type {code}");
        }
    }
}

#[test]
fn rows_taken_apart_stand_for_what_their_format_says() {
    check::<Q4_0>(dtype::Q4_0, &[0]);
    check::<Q4_1>(dtype::Q4_1, &[0, 2]);
    check::<Q5_0>(dtype::Q5_0, &[0]);
    check::<Q5_1>(dtype::Q5_1, &[0, 2]);
    check::<Q8_0>(dtype::Q8_0, &[0]);
    check::<Q2K>(dtype::Q2_K, &[80, 82]);
    check::<Q3K>(dtype::Q3_K, &[108]);
    check::<Q4K>(dtype::Q4_K, &[0, 2]);
    check::<Q5K>(dtype::Q5_K, &[0, 2]);
    check::<Q6K>(dtype::Q6_K, &[208]);
}
