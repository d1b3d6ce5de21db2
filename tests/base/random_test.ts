import assert from "node:assert/strict";
import { philox4x32, RandomStream } from "../../lib/base/random.ts";

const hex = (words: readonly number[]) => words.map((w) => w.toString(16).padStart(8, "0"));

Deno.test("philox4x32: the known answers published with the Random123 library", () => {
  assert.deepEqual(
    hex(philox4x32([0, 0, 0, 0], [0, 0])),
    ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"],
  );
  const ones = 0xffffffff;
  assert.deepEqual(
    hex(philox4x32([ones, ones, ones, ones], [ones, ones])),
    ["408f276d", "41c83b0e", "a20bc7c6", "6d5451fd"],
  );
  assert.deepEqual(
    hex(
      philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
    ),
    ["d16cfe09", "94fdcceb", "5001e420", "24126ea1"],
  );
});

Deno.test("RandomStream: counter, stream and seed are the words of Philox, low word first", () => {
  const stream = new RandomStream(5 * 2 ** 32 + 6, 3 * 2 ** 32 + 4);
  assert.deepEqual(stream.bits(1 * 2 ** 32 + 2), philox4x32([2, 1, 4, 3], [6, 5]));
});

Deno.test("RandomStream: a number depends on seed, stream and counter alone, and on all three", () => {
  const value = new RandomStream(1, 2).uniform(3);
  assert.equal(value, new RandomStream(1, 2).uniform(3));
  for (const [seed, stream, counter] of [[2, 2, 3], [1, 3, 3], [1, 2, 4]] as const) {
    assert.notEqual(value, new RandomStream(seed, stream).uniform(counter));
  }
});

Deno.test("RandomStream: uniform numbers lie in [0, 1) and fill it evenly", () => {
  const stream = new RandomStream(0, 0);
  const buckets = new Array<number>(64).fill(0);
  const count = 64 * 1024;
  for (let i = 0; i < count; i++) {
    const value = stream.uniform(i);
    assert.ok(value >= 0 && value < 1);
    buckets[Math.floor(value * 64)]! += 1;
  }
  const chiSquare = buckets.reduce((sum, n) => sum + (n - 1024) ** 2 / 1024, 0);
  // 63 degrees of freedom: 110 is passed by chance once in five thousand sequences.
  assert.ok(chiSquare < 110, `chi-square ${chiSquare}`);
});

Deno.test("RandomStream: normal numbers have mean 0, variance 1 and the right tails", () => {
  const stream = new RandomStream(7, 1);
  const count = 40000;
  const values = Array.from({ length: count }, (_, i) => stream.normal(i));
  const mean = values.reduce((a, b) => a + b, 0) / count;
  const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / count;
  const beyondTwo = values.filter((v) => Math.abs(v) > 2).length / count;
  assert.ok(Math.abs(mean) < 0.02, `mean ${mean}`);
  assert.ok(Math.abs(variance - 1) < 0.03, `variance ${variance}`);
  assert.ok(Math.abs(beyondTwo - 0.0455) < 0.005, `beyond two: ${beyondTwo}`);
});

Deno.test("RandomStream: a seed, stream or counter that is no safe integer is refused by name", () => {
  assert.throws(() => new RandomStream(-1, 0), /seed -1/);
  assert.throws(() => new RandomStream(0, 1.5), /stream 1.5/);
  assert.throws(() => new RandomStream(0, 0).uniform(2 ** 53), /counter 9007199254740992/);
});

Deno.test("RandomStream: a filled array has the pairs of Box & Muller, of which normal gives the first", () => {
  const stream = new RandomStream(3, 4);
  const [three, seven] = [new Float64Array(3), new Float64Array(7)];
  stream.fillNormal(three, { deviation: 1 });
  stream.fillNormal(seven, { deviation: 0.5 });
  assert.deepEqual([three[0], three[2]], [stream.normal(0), stream.normal(1)]);
  assert.deepEqual([...three], [...seven.subarray(0, 3)].map((value) => 2 * value));
  const piece = new Float64Array(3);
  stream.fillNormal(piece, { deviation: 0.5, first: 4 });
  assert.deepEqual(piece, seven.subarray(4));
  const [a, b, c, d] = stream.bits(0).map((word) => word / 2 ** 32);
  const radius = Math.sqrt(-2 * Math.log(1 - a!));
  // The words' low bits are missing here.
  assert.ok(Math.abs(three[0]! - radius * Math.cos(2 * Math.PI * c!)) < 1e-6, `${b} ${d}`);
  assert.ok(Math.abs(three[1]! - radius * Math.sin(2 * Math.PI * c!)) < 1e-6);
});
