//! One row of floats times rows of q8_0, with AVX-512.
//!
//! Levels are widened, converted, multiplied by the scale and by x: four instructions of 512 bits for
//! sixteen levels, each of which takes one of Zen 4's four vector units for two cycles. Nothing else may
//! need those units, or wait for them: so scales are widened by integer instructions, go through memory
//! and are broadcast by the product that reads them, and instructions stand in the order in which they
//! depend on one another, in assembly, since a compiler's order takes a quarter longer
//! (kernels/lab/LOG.md has the numbers).

use super::float16::f16_to_f32;
use core::arch::asm;
use core::arch::x86_64::*;

/// Bytes of a block: a scale in half precision, then 32 levels.
const BLOCK: usize = 34;

/// How far ahead of their use blocks are asked for, in bytes: into the first cache and into the second.
const AHEAD: [usize; 2] = [1024, 4096];

/// Adds 32 levels of each of four rows. A macro, as functions with an instruction set of their own are not
/// always inlined.
macro_rules! add_block {
    ($sums:ident, $x:ident, $w:expr, $apart:ident, $scales:expr) => {
        asm!(
            "vpmovsxbd {t}, xmmword ptr [{w} + 2]",
            "vcvtdq2ps {t}, {t}",
            "vmulps {t}, {t}, dword ptr [{scales}]{{1to16}}",
            "vfmadd231ps {a}, {x}, {t}",
            "vpmovsxbd {u}, xmmword ptr [{w} + 18]",
            "vcvtdq2ps {u}, {u}",
            "vmulps {u}, {u}, dword ptr [{scales}]{{1to16}}",
            "vfmadd231ps {a}, {y}, {u}",
            "vpmovsxbd {t}, xmmword ptr [{w} + {apart} + 2]",
            "vcvtdq2ps {t}, {t}",
            "vmulps {t}, {t}, dword ptr [{scales} + 4]{{1to16}}",
            "vfmadd231ps {b}, {x}, {t}",
            "vpmovsxbd {u}, xmmword ptr [{w} + {apart} + 18]",
            "vcvtdq2ps {u}, {u}",
            "vmulps {u}, {u}, dword ptr [{scales} + 4]{{1to16}}",
            "vfmadd231ps {b}, {y}, {u}",
            "vpmovsxbd {t}, xmmword ptr [{w} + 2*{apart} + 2]",
            "vcvtdq2ps {t}, {t}",
            "vmulps {t}, {t}, dword ptr [{scales} + 8]{{1to16}}",
            "vfmadd231ps {c}, {x}, {t}",
            "vpmovsxbd {u}, xmmword ptr [{w} + 2*{apart} + 18]",
            "vcvtdq2ps {u}, {u}",
            "vmulps {u}, {u}, dword ptr [{scales} + 8]{{1to16}}",
            "vfmadd231ps {c}, {y}, {u}",
            "vpmovsxbd {t}, xmmword ptr [{w} + {apart3} + 2]",
            "vcvtdq2ps {t}, {t}",
            "vmulps {t}, {t}, dword ptr [{scales} + 12]{{1to16}}",
            "vfmadd231ps {d}, {x}, {t}",
            "vpmovsxbd {u}, xmmword ptr [{w} + {apart3} + 18]",
            "vcvtdq2ps {u}, {u}",
            "vmulps {u}, {u}, dword ptr [{scales} + 12]{{1to16}}",
            "vfmadd231ps {d}, {y}, {u}",
            t = out(zmm_reg) _,
            u = out(zmm_reg) _,
            a = inout(zmm_reg) $sums[0],
            b = inout(zmm_reg) $sums[1],
            c = inout(zmm_reg) $sums[2],
            d = inout(zmm_reg) $sums[3],
            x = in(zmm_reg) $x[0],
            y = in(zmm_reg) $x[1],
            w = in(reg) $w,
            apart = in(reg) $apart,
            apart3 = in(reg) 3 * $apart,
            scales = in(reg) $scales,
            options(nostack, preserves_flags, readonly),
        )
    };
}

/// `Simd::q8_0_dots`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub unsafe fn dots(x: *const f32, w: *const u8, apart: usize, blocks: usize) -> [__m512; 4] {
    unsafe {
        let (mut x, mut w) = (x, w);
        let mut sums = [_mm512_setzero_ps(); 4];
        let mut scales = [0f32; 8];
        let scales = scales.as_mut_ptr();
        // Two blocks a turn: they take up little more than a line of the cache to ask for.
        for _ in 0..blocks / 2 {
            for row in 0..4 {
                let at = w.wrapping_add(row * apart);
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD[0]).cast());
                _mm_prefetch::<_MM_HINT_T1>(at.wrapping_add(AHEAD[1]).cast());
                widen_scale(at.cast(), scales.add(row));
                widen_scale(at.wrapping_add(BLOCK).cast(), scales.add(4 + row));
            }
            let factors = [_mm512_loadu_ps(x), _mm512_loadu_ps(x.add(16))];
            add_block!(sums, factors, w, apart, scales);
            let factors = [_mm512_loadu_ps(x.add(32)), _mm512_loadu_ps(x.add(48))];
            add_block!(sums, factors, w.add(BLOCK), apart, scales.add(4));
            (x, w) = (x.add(64), w.add(2 * BLOCK));
        }
        if !blocks.is_multiple_of(2) {
            for row in 0..4 {
                widen_scale(w.add(row * apart).cast(), scales.add(row));
            }
            let factors = [_mm512_loadu_ps(x), _mm512_loadu_ps(x.add(16))];
            add_block!(sums, factors, w, apart, scales);
        }
        sums
    }
}

/// Widens a scale. Ordinary numbers, which scales are, need no vector unit for it.
#[inline(always)]
unsafe fn widen_scale(from: *const u16, to: *mut f32) {
    unsafe {
        let half = from.read_unaligned();
        let mut bits = ((i32::from(half as i16) << 13) as u32 & 0x8fff_e000) + (112 << 23);
        if half.wrapping_add(0x0400) & 0x7800 == 0 {
            bits = widen_rest(half);
        }
        // Volatile: the compiler would put four of them together in vectors.
        to.cast::<u32>().write_volatile(bits);
    }
}

/// Zeros, subnormals, infinities and NaN.
#[cold]
#[inline(never)]
fn widen_rest(half: u16) -> u32 {
    f16_to_f32(half).to_bits()
}
