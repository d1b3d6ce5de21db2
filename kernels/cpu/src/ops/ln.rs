//! The natural logarithm in double precision, for targets without a mathematical library.

/// ln x, within two units in the last place; -inf for 0, NaN below.
///
/// x = 2^k m with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh f with f = (m - 1) / (m + 1), |f| <= 0.172,
/// by its series.
pub fn ln(x: f64) -> f64 {
    if x <= 0.0 || x.is_nan() || x == f64::INFINITY {
        return match x {
            0.0 => f64::NEG_INFINITY,
            f64::INFINITY => x,
            _ => f64::NAN,
        };
    }
    // Subnormal numbers are brought into the normal range first.
    const TWO_54: f64 = (1u64 << 54) as f64;
    let (x, shift) = if x < f64::MIN_POSITIVE {
        (x * TWO_54, -54)
    } else {
        (x, 0)
    };
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut m = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
    if m >= core::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let f = (m - 1.0) / (m + 1.0);
    let square = f * f;
    let mut series = 0.0;
    for odd in (3..=23).rev().step_by(2) {
        series = (series + 1.0 / f64::from(odd)) * square;
    }
    let k = f64::from(exponent + shift);
    // ln 2 in two parts, the first with 33 bits, so that its product with k is exact.
    k * 0.693_147_180_369_123_8 + (k * 1.908_214_929_270_587_7e-10 + 2.0 * (f + f * series))
}

#[cfg(test)]
mod tests {
    use super::ln;

    #[test]
    fn ln_agrees_with_the_standard_library_within_two_units_in_the_last_place() {
        let mut x = 5e-324;
        while x < f64::MAX / 1.1 {
            let (got, want) = (ln(x), x.ln());
            assert!(
                (got - want).abs() <= 4.5e-16 * want.abs(),
                "ln({x}) = {got}, not {want}"
            );
            x *= if x < 1e-300 { 1.9 } else { 1.003_17 };
        }
    }

    #[test]
    fn ln_of_the_edges_is_exact() {
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(0.0), f64::NEG_INFINITY);
        assert_eq!(ln(-0.0), f64::NEG_INFINITY);
        assert_eq!(ln(f64::INFINITY), f64::INFINITY);
        assert!(ln(-1.0).is_nan() && ln(f64::NAN).is_nan() && ln(f64::NEG_INFINITY).is_nan());
    }
}
