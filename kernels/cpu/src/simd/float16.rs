//! Half precision and bfloat16, one number at a time.

/// Widens a half-precision number exactly. A NaN keeps its payload and becomes quiet.
#[inline(always)]
pub fn f16_to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let rest = u32::from(half & 0x7fff) << 13;
    if rest >= 0x7c00 << 13 {
        let quiet = if rest > 0x7c00 << 13 { 1 << 22 } else { 0 };
        return f32::from_bits(sign | 0x7f80_0000 | quiet | rest);
    }
    // The exponent's bias differs by 112; the product puts subnormals right as well.
    let number = f32::from_bits(rest) * f32::from_bits((112 + 127) << 23);
    f32::from_bits(sign | number.to_bits())
}

/// Rounds to half precision, to nearest even. A NaN keeps its sign and the upper bits of its payload,
/// and becomes quiet.
#[inline(always)]
pub fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let rest = bits & 0x7fff_ffff;
    if rest > 0x7f80_0000 {
        return sign | 0x7e00 | (rest >> 13) as u16 & 0x01ff;
    }
    if rest >= 0x4780_0000 {
        return sign | 0x7c00; // 65536 and above; 65520 .. 65536 become infinite by rounding below.
    }
    if rest < 0x3880_0000 {
        // Below 2^-14 the result is subnormal: adding 0.5 aligns its last bit with that of a half.
        let aligned = f32::from_bits(rest) + 0.5;
        return sign | (aligned.to_bits() - 0x3f00_0000) as u16;
    }
    let odd = (rest >> 13) & 1;
    sign | ((rest - (112 << 23) + 0x0fff + odd) >> 13) as u16
}

/// Widens a bfloat16 exactly.
#[inline(always)]
pub fn bf16_to_f32(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

/// Rounds to bfloat16, to nearest even. A NaN keeps its upper bits and becomes quiet.
#[inline(always)]
pub fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}
