//! Every instruction set of this machine against plain arithmetic, lane by lane.

use super::float16::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use super::{Isa, Simd, per_isa};

/// Runs every primitive of `S` on `x` and `y` and compares with scalar code.
#[inline(always)]
unsafe fn check_arithmetic<S: Simd>(x: &[f32], y: &[f32]) {
    let n = S::LANES;
    let binary = |name: &str, v: S::F32, want: &dyn Fn(f32, f32) -> f32| {
        let mut got = [0f32; 16];
        unsafe { S::store(got.as_mut_ptr(), v) };
        for i in 0..n {
            let want = want(x[i], y[i]);
            assert_eq!(
                got[i].to_bits(),
                want.to_bits(),
                "{name}({}, {})",
                x[i],
                y[i]
            );
        }
    };
    unsafe {
        let (a, b) = (S::load(x.as_ptr()), S::load(y.as_ptr()));
        binary("add", S::add(a, b), &|a, b| a + b);
        binary("sub", S::sub(a, b), &|a, b| a - b);
        binary("mul", S::mul(a, b), &|a, b| a * b);
        binary("div", S::div(a, b), &|a, b| a / b);
        binary("max", S::max(a, b), &|a, b| if a > b { a } else { b });
        binary("min", S::min(a, b), &|a, b| if a < b { a } else { b });
        binary("abs", S::abs(a), &|a, _| a.abs());
        binary("sqrt", S::sqrt(S::abs(a)), &|a, _| a.abs().sqrt());
        binary("round", S::round(a), &|a, _| a.round_ties_even());
        binary("select lt", S::select(S::lt(a, b), a, b), &|a, b| {
            if a < b { a } else { b }
        });
        let integral = S::round(S::mul(a, S::splat(0.5)));
        binary("exp2", S::exp2_integral(integral), &|a, _| {
            (a * 0.5).round_ties_even().exp2()
        });
    }
}

#[inline(always)]
unsafe fn check_partial<S: Simd>(x: &[f32], fused: bool) {
    let n = S::LANES;
    for count in 0..=n + 1 {
        let used = count.min(n);
        let mut got = [7f32; 18];
        unsafe {
            let v = S::load_first(x.as_ptr(), count);
            S::store(got.as_mut_ptr(), v);
            let zeros = got[used..n].iter().all(|&z| z.to_bits() == 0);
            assert!(
                got[..used] == x[..used] && zeros,
                "load_first {count}: {got:?}"
            );
            let mut got = [7f32; 18];
            S::store_first(got.as_mut_ptr(), S::load(x.as_ptr()), count);
            assert_eq!(got[..used], x[..used]);
            assert!(
                got[used..].iter().all(|&z| z == 7.0),
                "store_first {count}: {got:?}"
            );
        }
    }
    let mut fold: Vec<f32> = x[..n].to_vec();
    let mut largest = fold.clone();
    while fold.len() > 1 {
        let half = fold.len() / 2;
        fold = (0..half).map(|i| fold[i] + fold[i + half]).collect();
        largest = (0..half)
            .map(|i| largest[i].max(largest[i + half]))
            .collect();
    }
    unsafe {
        let v = S::load(x.as_ptr());
        assert_eq!(S::reduce_add(v).to_bits(), fold[0].to_bits());
        assert_eq!(S::reduce_max(v), largest[0]);
        let scaled = [1.0, 1.1, 1.2, 1.3].map(|by| S::mul(v, S::splat(by)));
        let one_by_one = scaled.map(|v| S::reduce_add(v).to_bits());
        assert_eq!(S::reduce_add4(scaled).map(f32::to_bits), one_by_one);
        let mut got = [0f32; 16];
        S::store(got.as_mut_ptr(), S::fma(v, S::splat(1.1), S::splat(-0.7)));
        for i in 0..n {
            let want = if fused {
                x[i].mul_add(1.1, -0.7)
            } else {
                x[i] * 1.1 - 0.7
            };
            assert_eq!(got[i].to_bits(), want.to_bits());
        }
    }
}

/// Every half and bfloat16 widens exactly.
#[inline(always)]
unsafe fn check_widening<S: Simd>() {
    let n = S::LANES;
    let mut got = [0f32; 16];
    for first in (0..65536).step_by(n) {
        let halves: Vec<u16> = (first..first + n).map(|h| h as u16).collect();
        unsafe { S::store(got.as_mut_ptr(), S::load_f16(halves.as_ptr())) };
        for (g, &h) in got.iter().zip(&halves) {
            assert_eq!(g.to_bits(), f16_to_f32(h).to_bits(), "f16 {h:04x}");
        }
        unsafe { S::store(got.as_mut_ptr(), S::splat_f16(halves.as_ptr())) };
        assert!(
            got[..n]
                .iter()
                .all(|g| g.to_bits() == f16_to_f32(halves[0]).to_bits())
        );
        let four = [0, 1, 2, 3].map(|i| &raw const halves[i]);
        for (splat, &h) in unsafe { S::splats_f16(four) }.into_iter().zip(&halves) {
            unsafe { S::store(got.as_mut_ptr(), splat) };
            assert!(
                got[..n]
                    .iter()
                    .all(|g| g.to_bits() == f16_to_f32(h).to_bits())
            );
        }
        unsafe { S::store(got.as_mut_ptr(), S::load_bf16(halves.as_ptr())) };
        for (g, &h) in got.iter().zip(&halves) {
            assert_eq!(g.to_bits(), bf16_to_f32(h).to_bits(), "bf16 {h:04x}");
        }
    }
    for first in (0..65536).step_by(2 * n) {
        let halves: Vec<u16> = (first..first + 2 * n).map(|h| h as u16).collect();
        let pair = unsafe { S::load_bf16_pair(halves.as_ptr()) };
        for (wide, halves) in pair.into_iter().zip(halves.chunks(n)) {
            unsafe { S::store(got.as_mut_ptr(), wide) };
            for (g, &h) in got.iter().zip(halves) {
                assert_eq!(g.to_bits(), bf16_to_f32(h).to_bits(), "bf16 {h:04x}");
            }
        }
    }
}

/// Every byte widens exactly.
#[inline(always)]
unsafe fn check_bytes<S: Simd>() {
    let n = S::LANES;
    let mut got = [0f32; 16];
    let bytes: Vec<i8> = (-128..=127).collect();
    for group in bytes.chunks_exact(n) {
        unsafe { S::store(got.as_mut_ptr(), S::load_i8(group.as_ptr())) };
        assert!(got.iter().zip(group).all(|(&g, &b)| g == f32::from(b)));
    }
    for group in bytes.chunks_exact(2 * n) {
        for (pair, group) in unsafe { S::load_i8_pair(group.as_ptr()) }
            .into_iter()
            .zip(group.chunks(n))
        {
            unsafe { S::store(got.as_mut_ptr(), pair) };
            assert!(got.iter().zip(group).all(|(&g, &b)| g == f32::from(b)));
        }
    }
}

/// Many floats round to halves alike, and parts of vectors widen as whole ones do.
#[inline(always)]
unsafe fn check_halves<S: Simd>(rounding: &[f32]) {
    let n = S::LANES;
    let mut got = [0f32; 16];
    for group in rounding.chunks_exact(n) {
        let mut halves = [0u16; 16];
        unsafe { S::store_f16(halves.as_mut_ptr(), S::load(group.as_ptr())) };
        for (&h, &x) in halves.iter().zip(group) {
            assert_eq!(h, f32_to_f16(x), "{:08x}", x.to_bits());
        }
    }
    let parts: Vec<u16> = (0x3c00..0x3c00 + 16).collect();
    for count in 0..=n {
        unsafe { S::store(got.as_mut_ptr(), S::load_f16_first(parts.as_ptr(), count)) };
        let want = |i: usize| if i < count { f16_to_f32(parts[i]) } else { 0.0 };
        assert!((0..n).all(|i| got[i] == want(i)));
        unsafe { S::store(got.as_mut_ptr(), S::load_bf16_first(parts.as_ptr(), count)) };
        let want = |i: usize| {
            if i < count {
                bf16_to_f32(parts[i])
            } else {
                0.0
            }
        };
        assert!((0..n).all(|i| got[i] == want(i)));
    }
}

per_isa! { unsafe fn arithmetic_on = check_arithmetic(x: &[f32], y: &[f32]); }
per_isa! { unsafe fn partial_on = check_partial(x: &[f32], fused: bool); }
per_isa! { unsafe fn widening_on = check_widening(); }
per_isa! { unsafe fn bytes_on = check_bytes(); }
per_isa! { unsafe fn halves_on = check_halves(rounding: &[f32]); }

#[test]
fn every_instruction_set_computes_what_plain_code_does() {
    let x: Vec<f32> = (0..16).map(|i| (i as f32 - 7.3) * 1.37).collect();
    let y: Vec<f32> = (0..16).map(|i| 5.5 - i as f32 * 0.83).collect();
    let halves: Vec<f32> = (0..16).map(|i| i as f32 - 7.5).collect();
    let zeros: Vec<f32> = (0..16)
        .map(|i| if i % 2 == 0 { 0.0 } else { -0.0 })
        .collect();
    for isa in Isa::available() {
        unsafe {
            arithmetic_on(isa, &x, &y);
            arithmetic_on(isa, &halves, &x);
            arithmetic_on(isa, &zeros, &y);
            partial_on(isa, &x, isa != Isa::Scalar);
        }
    }
}

#[test]
fn every_instruction_set_widens_and_rounds_sixteen_bit_floats_alike() {
    let mut state = 1u32;
    let mut floats: Vec<f32> = (0..1 << 16)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from_bits(state)
        })
        .collect();
    for half in 0..=65535u16 {
        let at = f16_to_f32(half).to_bits();
        // The number itself, its neighbours, and the ties towards the next half.
        for bits in [
            at,
            at ^ 1,
            at.wrapping_add(0x1000),
            at.wrapping_add(0x1001),
            at | 0x0fff,
        ] {
            floats.push(f32::from_bits(bits));
        }
    }
    floats.resize(floats.len().next_multiple_of(16), f32::NAN);
    for isa in Isa::available() {
        unsafe {
            widening_on(isa);
            bytes_on(isa);
            halves_on(isa, &floats);
        }
    }
}

#[test]
fn halves_and_bfloat16_survive_a_round_trip() {
    for bits in 0..=65535u16 {
        let quiet_half = if bits & 0x7fff > 0x7c00 {
            bits | 0x200
        } else {
            bits
        };
        assert_eq!(f32_to_f16(f16_to_f32(bits)), quiet_half);
        let quiet_bfloat = if bits & 0x7fff > 0x7f80 {
            bits | 0x40
        } else {
            bits
        };
        assert_eq!(f32_to_bf16(bf16_to_f32(bits)), quiet_bfloat);
    }
}

#[test]
fn rounding_to_sixteen_bits_gives_the_golden_table() {
    let text = std::fs::read_to_string(golden("tables/tables.json")).unwrap();
    let mut count = 0;
    for case in text.split("\"float32\"").skip(1) {
        let float = f32::from_bits(hexadecimal(case, "f32_bits"));
        assert_eq!(
            u32::from(f32_to_f16(float)),
            hexadecimal(case, "f16_bits"),
            "{float}"
        );
        assert_eq!(
            u32::from(f32_to_bf16(float)),
            hexadecimal(case, "bf16_bits"),
            "{float}"
        );
        count += 1;
    }
    assert!(count >= 20, "{count} cases");
}

/// The value of a field of a JSON object that holds hexadecimal digits.
fn hexadecimal(object: &str, name: &str) -> u32 {
    let value = object.split(&format!("\"{name}\": \"")).nth(1).unwrap();
    u32::from_str_radix(value.split('"').next().unwrap(), 16).unwrap()
}

/// Path of a golden file.
fn golden(name: &str) -> String {
    format!("{}/../../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}
