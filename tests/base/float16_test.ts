import assert from "node:assert/strict";
import {
  bf16ToF32,
  decodeBf16,
  decodeF16,
  encodeBf16,
  encodeF16,
  f16ToF32,
  f32ToBf16,
  f32ToF16,
} from "../../lib/base/float16.ts";
import { ROUNDING_CASES as cases } from "../golden_tables.ts";

function floats(bits: readonly number[]): Float32Array<ArrayBuffer> {
  return new Float32Array(Uint32Array.from(bits).buffer);
}

const isNaNHalf = (half: number): boolean => (half & 0x7fff) > 0x7c00;

Deno.test("float16: narrowing gives the golden bits of half precision and bfloat16", () => {
  const values = floats(cases.map((c) => parseInt(c.f32_bits, 16)));
  const hex = (bits: Uint16Array) => [...bits].map((b) => b.toString(16).padStart(4, "0"));
  assert.deepEqual(hex(encodeF16(values)), cases.map((c) => c.f16_bits));
  assert.deepEqual(hex(encodeBf16(values)), cases.map((c) => c.bf16_bits));
});

Deno.test("float16: every half widens to what the engine's own Float16Array holds and comes back", () => {
  const halves = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const wide = decodeF16(halves);
  const engine = new Float16Array(halves.buffer.slice(0));
  for (let half = 0; half < 65536; half++) {
    assert.ok(Object.is(wide[half], engine[half]), `half ${half.toString(16)}: ${wide[half]}`);
    assert.ok(Object.is(f16ToF32(half), engine[half]));
    const back = encodeF16(wide.subarray(half, half + 1))[0]!;
    assert.equal(back, isNaNHalf(half) ? half | 0x0200 : half);
  }
});

Deno.test("float16: rounding agrees with the engine at, just under and just over every tie", () => {
  const halves = Uint16Array.from({ length: 0x7c00 }, (_, i) => i);
  const wide = decodeF16(halves);
  const engine = new Float16Array(1);
  const engineBits = new Uint16Array(engine.buffer);
  const one = new Float32Array(1);
  const oneBits = new Uint32Array(one.buffer);
  for (let half = 0; half < 0x7bff; half++) {
    one[0] = (wide[half]! + wide[half + 1]!) / 2;
    const tie = oneBits[0]!;
    for (const bits of [tie - 1, tie, tie + 1, tie | 0x80000000]) {
      oneBits[0] = bits;
      engine[0] = one[0]!;
      assert.equal(f32ToF16(one[0]!), engineBits[0], `float32 bits ${bits.toString(16)}`);
    }
  }
});

Deno.test("float16: every bfloat16 widens to its own bits and comes back", () => {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const wide = decodeBf16(all);
  const bits = new Uint32Array(wide.buffer);
  const back = encodeBf16(wide);
  for (let i = 0; i < 65536; i++) {
    assert.equal(bits[i], i * 65536);
    assert.equal(back[i], (i & 0x7fff) > 0x7f80 ? i | 0x40 : i);
  }
});

Deno.test("float16: a bfloat16 tie goes to the even neighbour", () => {
  for (let i = 0; i < 0x7f80; i += 7) {
    const [tie, above, below] = encodeBf16(
      floats([i * 65536 + 32768, i * 65536 + 32769, i * 65536 + 32767]),
    );
    assert.equal(tie, i + (i & 1));
    assert.equal(above, i + 1);
    assert.equal(below, i);
  }
});

Deno.test("float16: single numbers and arrays agree, and views with an offset are read right", () => {
  const values = Float32Array.of(99, 0.1, -2.5, 1e-6, 70000).subarray(1);
  assert.deepEqual([...encodeF16(values)], [...values].map(f32ToF16));
  assert.deepEqual([...encodeBf16(values)], [...values].map(f32ToBf16));
  assert.equal(bf16ToF32(f32ToBf16(-2.5)), -2.5);
  assert.deepEqual([...encodeF16(new Float32Array(0))], []);
});

Deno.test("float16: arrays go where they are told, and not where they do not fit", () => {
  const values = Float32Array.of(0.5, -3, 1e-7);
  const out = new Uint16Array(5).fill(7);
  assert.equal(encodeF16(values, out), out);
  assert.deepEqual([...out], [...[...values].map(f32ToF16), 7, 7]);
  encodeBf16(values, out);
  assert.deepEqual([...out], [...[...values].map(f32ToBf16), 7, 7]);
  const wide = new Float32Array(4);
  assert.deepEqual([...decodeF16(Uint16Array.of(0x3c00), wide)], [1, 0, 0, 0]);
  assert.deepEqual([...decodeBf16(Uint16Array.of(0xc000), wide)], [-2, 0, 0, 0]);
  assert.throws(() => encodeF16(values, new Uint16Array(2)), RangeError);
  assert.throws(() => encodeBf16(values, new Uint16Array(2)), RangeError);
  assert.throws(() => decodeF16(new Uint16Array(5), wide), RangeError);
  assert.throws(() => decodeBf16(new Uint16Array(5), wide), RangeError);
});
