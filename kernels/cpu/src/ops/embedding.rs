//! Gathers rows of a table (Vaswani et al. 2017, section 3.4).

use super::chunks::{Shared, in_rows};
use crate::abi_generated::dtype;
use crate::context::{Context, Status};
use crate::quant::BlockFormat;
use crate::quant::k_symmetric::{Q3K, Q6K};
use crate::quant::k_with_minimum::{Q2K, Q4K, Q5K};
use crate::quant::legacy::{Q4_0, Q4_1, Q5_0, Q5_1};
use crate::quant::q8_0::Q8_0;
use crate::simd::{Isa, Simd, isa, per_isa};

/// out[r,:] = table[ids[r],:], widened exactly from f32, f16, bf16 or a block format.
pub unsafe fn embedding(
    context: &Context,
    out: *mut f32,
    table: *const u8,
    ids: *const i32,
    table_dtype: u32,
    rows: u32,
    vocab: u32,
    dim: u32,
) -> Status {
    let shape = (rows as usize, vocab as usize, dim as usize);
    unsafe { embedding_with(isa(), context, out, table, ids, table_dtype, shape) }
}

/// Writes a row of `dim` floats from its bytes.
type Widen = unsafe fn(isa: Isa, out: *mut f32, row: *const u8, dim: usize);

unsafe fn embedding_with(
    isa: Isa,
    context: &Context,
    out: *mut f32,
    table: *const u8,
    ids: *const i32,
    table_dtype: u32,
    (rows, vocab, dim): (usize, usize, usize),
) -> Status {
    let (widen, row_bytes) = widening(table_dtype, dim)?;
    if (0..rows).any(|row| {
        let id = unsafe { *ids.add(row) };
        id < 0 || id as usize >= vocab
    }) {
        return Err("an id is not below vocab");
    }
    let shared = Shared::new((out, table, ids));
    in_rows(context, rows, dim, &|first, last| {
        let (out, table, ids) = shared.get();
        for row in first..last {
            unsafe {
                let id = *ids.add(row) as usize;
                widen(isa, out.add(row * dim), table.add(id * row_bytes), dim);
            }
        }
    });
    Ok(())
}

/// How a row of a type is widened, and its bytes.
fn widening(code: u32, dim: usize) -> Result<(Widen, usize), &'static str> {
    match code {
        dtype::F32 => Ok((copy, dim * 4)),
        dtype::F16 => Ok((widen_f16_on, dim * 2)),
        dtype::BF16 => Ok((widen_bf16_on, dim * 2)),
        dtype::Q4_0 => blocks::<Q4_0>(dim),
        dtype::Q4_1 => blocks::<Q4_1>(dim),
        dtype::Q5_0 => blocks::<Q5_0>(dim),
        dtype::Q5_1 => blocks::<Q5_1>(dim),
        dtype::Q8_0 => blocks::<Q8_0>(dim),
        dtype::Q2_K => blocks::<Q2K>(dim),
        dtype::Q3_K => blocks::<Q3K>(dim),
        dtype::Q4_K => blocks::<Q4K>(dim),
        dtype::Q5_K => blocks::<Q5K>(dim),
        dtype::Q6_K => blocks::<Q6K>(dim),
        _ => Err("table_dtype must be f32, f16, bf16 or a block type"),
    }
}

fn blocks<F: BlockFormat>(dim: usize) -> Result<(Widen, usize), &'static str> {
    if !dim.is_multiple_of(F::ELEMENTS) {
        return Err("dim is not a multiple of the block length of table_dtype");
    }
    Ok((widen_blocks::<F>, dim / F::ELEMENTS * F::BYTES))
}

unsafe fn copy(_isa: Isa, out: *mut f32, row: *const u8, dim: usize) {
    unsafe { core::ptr::copy_nonoverlapping(row, out.cast::<u8>(), dim * 4) }
}

unsafe fn widen_blocks<F: BlockFormat>(_isa: Isa, out: *mut f32, row: *const u8, dim: usize) {
    for block in 0..dim / F::ELEMENTS {
        unsafe { F::dequantize(row.add(block * F::BYTES), out.add(block * F::ELEMENTS)) }
    }
}

#[inline(always)]
unsafe fn widen_f16<S: Simd>(out: *mut f32, row: *const u8, dim: usize) {
    let row = row.cast::<u16>();
    for i in (0..dim).step_by(S::LANES) {
        unsafe { S::store_first(out.add(i), S::load_f16_first(row.add(i), dim - i), dim - i) }
    }
}
per_isa! { unsafe fn widen_f16_on = widen_f16(out: *mut f32, row: *const u8, dim: usize); }

#[inline(always)]
unsafe fn widen_bf16<S: Simd>(out: *mut f32, row: *const u8, dim: usize) {
    let row = row.cast::<u16>();
    for i in (0..dim).step_by(S::LANES) {
        unsafe { S::store_first(out.add(i), S::load_bf16_first(row.add(i), dim - i), dim - i) }
    }
}
per_isa! { unsafe fn widen_bf16_on = widen_bf16(out: *mut f32, row: *const u8, dim: usize); }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{context, numbers};
    use crate::simd::float16::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

    const VOCAB: usize = 23;
    const IDS: [i32; 6] = [0, 22, 7, 7, 1, 21];

    fn gather(isa: Isa, table: &[u8], code: u32, dim: usize) -> Vec<f32> {
        let mut out = vec![7.0; IDS.len() * dim];
        let (to, ids) = (out.as_mut_ptr(), IDS.as_ptr());
        let shape = (IDS.len(), VOCAB, dim);
        let status =
            unsafe { embedding_with(isa, context(), to, table.as_ptr(), ids, code, shape) };
        assert_eq!(status, Ok(()));
        out
    }

    fn rows(table: &[f32], dim: usize) -> Vec<f32> {
        IDS.iter()
            .flat_map(|&id| &table[id as usize * dim..][..dim])
            .copied()
            .collect()
    }

    #[test]
    fn rows_of_float_tables_come_out_exactly() {
        for dim in [1, 7, 12, 64, 1027] {
            let table = numbers(VOCAB * dim, 1);
            let f16: Vec<u16> = table.iter().map(|&v| f32_to_f16(v)).collect();
            let bf16: Vec<u16> = table.iter().map(|&v| f32_to_bf16(v)).collect();
            let half: Vec<f32> = f16.iter().map(|&v| f16_to_f32(v)).collect();
            let brain: Vec<f32> = bf16.iter().map(|&v| bf16_to_f32(v)).collect();
            let bytes: Vec<u8> = table.iter().flat_map(|v| v.to_le_bytes()).collect();
            let wide = |halves: &[u16]| -> Vec<u8> {
                halves.iter().flat_map(|v| v.to_le_bytes()).collect()
            };
            for isa in Isa::available() {
                assert_eq!(gather(isa, &bytes, dtype::F32, dim), rows(&table, dim));
                assert_eq!(gather(isa, &wide(&f16), dtype::F16, dim), rows(&half, dim));
                assert_eq!(
                    gather(isa, &wide(&bf16), dtype::BF16, dim),
                    rows(&brain, dim)
                );
            }
        }
    }

    /// Tables of every block format against the format's own reference.
    fn check_blocks<F: BlockFormat>(code: u32) {
        let dim = 2 * F::ELEMENTS;
        let table = numbers(VOCAB * dim, 3);
        let mut bytes = vec![0u8; VOCAB * 2 * F::BYTES];
        let mut want = vec![0f32; VOCAB * dim];
        for block in 0..VOCAB * 2 {
            unsafe {
                let packed = bytes.as_mut_ptr().add(block * F::BYTES);
                F::quantize(table.as_ptr().add(block * F::ELEMENTS), packed);
                F::dequantize(packed, want.as_mut_ptr().add(block * F::ELEMENTS));
            }
        }
        for isa in Isa::available() {
            let got = gather(isa, &bytes, code, dim);
            assert_eq!(got, rows(&want, dim), "{isa:?}: type {code}");
        }
    }

    #[test]
    fn rows_of_block_tables_come_out_as_their_format_says() {
        check_blocks::<Q4_0>(dtype::Q4_0);
        check_blocks::<Q4_1>(dtype::Q4_1);
        check_blocks::<Q5_0>(dtype::Q5_0);
        check_blocks::<Q5_1>(dtype::Q5_1);
        check_blocks::<Q8_0>(dtype::Q8_0);
        check_blocks::<Q2K>(dtype::Q2_K);
        check_blocks::<Q3K>(dtype::Q3_K);
        check_blocks::<Q4K>(dtype::Q4_K);
        check_blocks::<Q5K>(dtype::Q5_K);
        check_blocks::<Q6K>(dtype::Q6_K);
    }

    #[test]
    fn ids_outside_the_table_and_types_that_do_not_fit_are_refused() {
        let table = [0u8; 512];
        let mut out = [0f32; 64];
        let (to, from, context) = (out.as_mut_ptr(), table.as_ptr(), context());
        let run = |id: i32, code, dim| unsafe {
            embedding(context, to, from, [0, id].as_ptr(), code, 2, 4, dim)
        };
        assert_eq!(run(4, dtype::F32, 8), Err("an id is not below vocab"));
        assert_eq!(run(-1, dtype::F32, 8), Err("an id is not below vocab"));
        let unknown = Err("table_dtype must be f32, f16, bf16 or a block type");
        assert_eq!(run(3, 99, 8), unknown);
        let odd = Err("dim is not a multiple of the block length of table_dtype");
        assert_eq!(run(3, dtype::Q8_0, 8), odd);
        assert_eq!(run(3, dtype::Q8_0, 32), Ok(()));
    }
}
