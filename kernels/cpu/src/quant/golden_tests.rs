//! Every format against the blocks that ggml's own quantizer made.

use super::BlockFormat;
use super::k_symmetric::{Q3K, Q6K};
use super::k_with_minimum::{Q2K, Q4K, Q5K};
use super::legacy::{Q4_0, Q4_1, Q5_0, Q5_1};
use super::q8_0::Q8_0;
use std::vec::Vec;

/// One tensor of a safetensors file, found by its name in the header's text.
fn tensor<'a>(file: &'a [u8], name: &str) -> &'a [u8] {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header = core::str::from_utf8(&file[8..8 + length]).unwrap();
    let at = header.find(&format!("\"{name}\"")).expect(name);
    let offsets = &header[at..][header[at..].find("data_offsets").unwrap()..];
    let list = &offsets[offsets.find('[').unwrap() + 1..offsets.find(']').unwrap()];
    let ends: Vec<usize> = list.split(',').map(|n| n.trim().parse().unwrap()).collect();
    &file[8 + length + ends[0]..8 + length + ends[1]]
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

fn check<F: BlockFormat>(name: &str, bytes_equal: bool) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/golden/quant/quant.safetensors"
    );
    let file = std::fs::read(path).unwrap();
    let input = floats(tensor(&file, "input"));
    let packed = tensor(&file, &format!("{name}.packed"));
    let dequantized = floats(tensor(&file, &format!("{name}.dequant")));
    let blocks = input.len() / F::ELEMENTS;
    let mut ours = std::vec![0u8; blocks * F::BYTES];
    let mut read = std::vec![0f32; input.len()];
    for b in 0..blocks {
        unsafe {
            let x = input.as_ptr().add(b * F::ELEMENTS);
            F::quantize(x, ours.as_mut_ptr().add(b * F::BYTES));
            let theirs = packed.as_ptr().add(b * F::BYTES);
            F::dequantize(theirs, read.as_mut_ptr().add(b * F::ELEMENTS));
        }
    }
    for (i, (a, b)) in read.iter().zip(&dequantized).enumerate() {
        assert!(a == b, "{name}: element {i} reads {a}, wanted {b}");
    }
    let differ = ours.iter().zip(packed).filter(|(a, b)| a != b).count();
    assert!(
        !bytes_equal || differ == 0,
        "{name}: {differ} of {} bytes differ",
        packed.len()
    );
}

#[test]
fn simple_formats_are_the_reference_byte_for_byte() {
    check::<Q8_0>("q8_0", true);
    check::<Q4_0>("q4_0", true);
    check::<Q4_1>("q4_1", true);
    check::<Q5_0>("q5_0", true);
    check::<Q5_1>("q5_1", true);
}

#[test]
fn k_formats_are_the_scalar_reference_byte_for_byte() {
    check::<Q4K>("q4_K", true);
    check::<Q5K>("q5_K", true);
    check::<Q6K>("q6_K", true);
}

/// The matrix behind the published hashes: a linear congruence, exact in single precision.
fn matrix(scaled: bool) -> Vec<f32> {
    let mut state = 12345u32;
    (0..64 * 1024)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let x = ((state >> 8) as f32 - 8_388_608.0) / 8_388_608.0;
            if scaled {
                x * [0.25, 0.5, 1.0, 2.0][i % 1024 / 256]
            } else {
                x
            }
        })
        .collect()
}

/// Root mean square of the error over that of the input.
fn relative_error<F: BlockFormat>(x: &[f32]) -> f64 {
    let mut block = std::vec![0u8; F::BYTES];
    let mut read = std::vec![0f32; F::ELEMENTS];
    let (mut error, mut power) = (0f64, 0f64);
    for part in x.chunks_exact(F::ELEMENTS) {
        unsafe {
            F::quantize(part.as_ptr(), block.as_mut_ptr());
            F::dequantize(block.as_ptr(), read.as_mut_ptr());
        }
        for (a, b) in read.iter().zip(part) {
            error += f64::from(a - b) * f64::from(a - b);
            power += f64::from(*b) * f64::from(*b);
        }
    }
    (error / power).sqrt()
}

#[test]
fn errors_on_uniform_input_are_those_of_the_reference() {
    let x = matrix(false);
    assert!((relative_error::<Q2K>(&x) - 0.233).abs() < 0.0006);
    assert!((relative_error::<Q3K>(&x) - 0.125).abs() < 0.0006);
    assert!((relative_error::<Q4K>(&x) - 0.0545).abs() < 0.00006);
    assert!((relative_error::<Q5K>(&x) - 0.0275).abs() < 0.00006);
    assert!((relative_error::<Q6K>(&x) - 0.0132).abs() < 0.00006);
    assert!((relative_error::<Q4_0>(&matrix(true)) - 0.0648).abs() < 0.0005);
}
