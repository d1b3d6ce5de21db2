/**
 * Half precision (IEEE 754 binary16) and bfloat16 to and from float32.
 *
 * Widening is exact. Narrowing rounds to nearest, ties to even, with overflow to infinity; a NaN
 * keeps its sign and the upper bits of its payload and becomes quiet. The rules are those of the
 * kernels, bit for bit.
 *
 * @module
 */

const scalar = new Float32Array(1);
const scalarBits = new Int32Array(scalar.buffer);

/** 2^112: moves the exponent bias of a half (15) to that of a float32 (127). */
const HALF_BIAS = 2 ** 112;

/** Bits are signed 32-bit integers, which the compiler keeps in registers. */
function bitsToF16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const rest = bits & 0x7fffffff;
  if (rest > 0x7f800000) return sign | 0x7e00 | ((rest >>> 13) & 0x01ff);
  if (rest >= 0x47800000) return sign | 0x7c00;
  if (rest < 0x38800000) {
    // Below 2^-14 the last bit of a half is worth 2^-24, which is that of float32 numbers in
    // [0.5, 1): adding 0.5 rounds there.
    scalarBits[0] = rest;
    scalar[0] = scalar[0]! + 0.5;
    return sign | (scalarBits[0]! - 0x3f000000);
  }
  const odd = (rest >>> 13) & 1;
  return sign | ((rest - 0x38000000 + 0x0fff + odd) >>> 13);
}

function bitsToBf16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  // No overflow: what is no NaN is at most 0x7f800000 above the sign.
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function f16ToBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const rest = (half & 0x7fff) << 13;
  if (rest >= 0x7c00 << 13) {
    const quiet = rest > 0x7c00 << 13 ? 1 << 22 : 0;
    return sign | 0x7f800000 | quiet | rest;
  }
  scalarBits[0] = rest;
  scalar[0] = scalar[0]! * HALF_BIAS;
  return sign | scalarBits[0]!;
}

/** Bits of a number in half precision; the number is rounded to float32 first. */
export function f32ToF16(value: number): number {
  scalar[0] = value;
  return bitsToF16(scalarBits[0]!);
}

/** Number that 16 bits of half precision stand for. */
export function f16ToF32(half: number): number {
  scalarBits[0] = f16ToBits(half);
  return scalar[0]!;
}

/** Bits of a number in bfloat16; the number is rounded to float32 first. */
export function f32ToBf16(value: number): number {
  scalar[0] = value;
  return bitsToBf16(scalarBits[0]!);
}

/** Number that 16 bits of bfloat16 stand for. */
export function bf16ToF32(bits: number): number {
  scalarBits[0] = bits << 16;
  return scalar[0]!;
}

/** Views float32 numbers as their bits, so that NaN payloads survive. */
function bitsOf(values: Float32Array<ArrayBufferLike>): Int32Array<ArrayBufferLike> {
  return new Int32Array(values.buffer, values.byteOffset, values.length);
}

/** Refuses a target that is too short, which would lose numbers silently. */
function checkRoom(values: ArrayLike<number>, out: ArrayLike<number>): void {
  if (out.length >= values.length) return;
  throw new RangeError(`${values.length} numbers do not fit ${out.length} places`);
}

/** Narrows float32 numbers to half precision, into `out` where one is given. */
export function encodeF16(
  values: Float32Array,
  out: Uint16Array<ArrayBuffer> = new Uint16Array(values.length),
): Uint16Array<ArrayBuffer> {
  checkRoom(values, out);
  const bits = bitsOf(values);
  for (let i = 0; i < bits.length; i++) out[i] = bitsToF16(bits[i]!);
  return out;
}

/** Widens half precision to float32, into `out` where one is given. */
export function decodeF16(
  halves: Uint16Array,
  out: Float32Array<ArrayBuffer> = new Float32Array(halves.length),
): Float32Array<ArrayBuffer> {
  checkRoom(halves, out);
  const bits = bitsOf(out);
  for (let i = 0; i < halves.length; i++) bits[i] = f16ToBits(halves[i]!);
  return out;
}

/** Narrows float32 numbers to bfloat16, into `out` where one is given. */
export function encodeBf16(
  values: Float32Array,
  out: Uint16Array<ArrayBuffer> = new Uint16Array(values.length),
): Uint16Array<ArrayBuffer> {
  checkRoom(values, out);
  const bits = bitsOf(values);
  for (let i = 0; i < bits.length; i++) out[i] = bitsToBf16(bits[i]!);
  return out;
}

/** Widens bfloat16 to float32, into `out` where one is given. */
export function decodeBf16(
  halves: Uint16Array,
  out: Float32Array<ArrayBuffer> = new Float32Array(halves.length),
): Float32Array<ArrayBuffer> {
  checkRoom(halves, out);
  const bits = bitsOf(out);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return out;
}
