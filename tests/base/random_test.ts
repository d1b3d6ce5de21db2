import { deepStrictEqual, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import { philox4x32, uniform } from "../../lib/base/random.ts";

// Known answers published with Random123 (kat_vectors, philox4x32 with 10 rounds).
const KNOWN: readonly [number[], number[], number[]][] = [
  [[0, 0, 0, 0], [0, 0], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
];

for (const [counter, key, wanted] of KNOWN) {
  Deno.test(`Philox gives the published words for counter ${counter.join(" ")}`, () => {
    deepStrictEqual(
      philox4x32(counter as [number, number, number, number], key as [number, number]),
      wanted,
    );
  });
}

Deno.test("a draw depends on seed, stream and counter, and on nothing else", () => {
  const draw = { seed: 7, stream: 3, counter: 11 };
  strictEqual(uniform(draw), uniform({ ...draw }));
  notStrictEqual(uniform(draw), uniform({ ...draw, seed: 8 }));
  notStrictEqual(uniform(draw), uniform({ ...draw, stream: 4 }));
  notStrictEqual(uniform(draw), uniform({ ...draw, counter: 12 }));
  notStrictEqual(uniform(draw), uniform({ ...draw, seed: 7 + 2 ** 32 }));
});

Deno.test("draws fill [0, 1) evenly", () => {
  const counts = new Array<number>(10).fill(0);
  for (let counter = 0; counter < 20000; counter++) {
    const draw = uniform({ seed: 0, counter });
    ok(draw >= 0 && draw < 1);
    counts[Math.floor(draw * 10)]!++;
  }
  // Five standard deviations of a binomial with n = 20000, p = 0.1.
  for (const count of counts) ok(Math.abs(count - 2000) < 5 * Math.sqrt(20000 * 0.1 * 0.9));
});
