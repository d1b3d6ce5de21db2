/**
 * Small seeded damage to a file's bytes, for tests that feed readers with nonsense.
 *
 * @module
 */

import { randomIntegers } from "../random_integers.ts";

const BYTES = [
  0,
  1,
  2,
  7,
  8,
  9,
  0x22,
  0x2c,
  0x2d,
  0x30,
  0x39,
  0x5b,
  0x7b,
  0x7d,
  0x7f,
  0x80,
  0xfe,
  0xff,
];

const WORDS: readonly bigint[] = [
  ...[0n, 1n, 2n, 3n, 7n, 32n, 255n, 65535n, 2n ** 20n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n],
  ...[
    2n ** 32n,
    2n ** 53n - 1n,
    2n ** 53n,
    2n ** 61n,
    2n ** 63n - 1n,
    2n ** 63n,
    2n ** 64n - 1n,
    2n ** 64n - 32n,
  ],
];

type Mutation = (bytes: Uint8Array, pick: (below: number) => number) => Uint8Array;

function splice(bytes: Uint8Array, at: number, count: number, put: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length - count + put.length);
  out.set(bytes.subarray(0, at));
  out.set(put, at);
  out.set(bytes.subarray(at + count), at + put.length);
  return out;
}

function withNumber(width: 2 | 4 | 8): Mutation {
  return (bytes, pick) => {
    if (bytes.length < width) return bytes;
    const word = new Uint8Array(8);
    new DataView(word.buffer).setBigUint64(0, WORDS[pick(WORDS.length)]!, true);
    return splice(bytes, pick(bytes.length - width + 1), width, word.subarray(0, width));
  };
}

const MUTATIONS: readonly Mutation[] = [
  (bytes, pick) => bytes.with(pick(bytes.length), BYTES[pick(BYTES.length)]!),
  (bytes, pick) => {
    const at = pick(bytes.length);
    return bytes.with(at, bytes[at]! ^ (1 << pick(8)));
  },
  withNumber(2),
  withNumber(4),
  withNumber(8),
  (bytes, pick) => bytes.slice(0, pick(bytes.length)),
  (bytes, pick) => {
    const at = pick(bytes.length);
    return splice(bytes, at, Math.min(1 + pick(16), bytes.length - at), new Uint8Array());
  },
  (bytes, pick) =>
    splice(
      bytes,
      pick(bytes.length),
      0,
      Uint8Array.of(...Array(1 + pick(8)).fill(BYTES[pick(BYTES.length)]!)),
    ),
  (bytes, pick) => {
    const [from, to] = [pick(bytes.length), pick(bytes.length)];
    return splice(bytes, to, 0, bytes.slice(from, from + 1 + pick(64)));
  },
  (bytes, pick) => {
    const [from, to] = [pick(bytes.length), pick(bytes.length)];
    const count = Math.min(1 + pick(16), bytes.length - from, bytes.length - to);
    return splice(bytes, to, count, bytes.slice(from, from + count));
  },
];

/** The bytes with one to four pieces of damage that follow from the seed alone. */
export function mutated(bytes: Uint8Array, seed: number): Uint8Array {
  const pick = randomIntegers(seed);
  let out: Uint8Array = bytes.slice();
  const times = 1 + pick(4);
  for (let i = 0; i < times && out.length > 0; i++) {
    out = MUTATIONS[pick(MUTATIONS.length)]!(out, pick);
  }
  return out;
}
