import assert from "node:assert/strict";
import { cutColumns, cutRows, inUnits } from "../../lib/checkpoint/byte_streams.ts";

const BYTES = Uint8Array.from({ length: 120 }, (_, i) => i);

/** Cuts bytes into chunks of changing lengths, in one buffer that each overwrites. */
function* chunks(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array> {
  const room = new Uint8Array(Math.max(...lengths));
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const chunk = bytes.subarray(at, at + lengths[i % lengths.length]!);
    room.set(chunk);
    yield room.subarray(0, chunk.length);
    room.fill(0xee);
    at += chunk.length;
  }
}

/** All bytes of a stream; each chunk is copied before the next one is asked for. */
function gathered(stream: Iterable<Uint8Array>): number[] {
  const all: number[] = [];
  for (const chunk of stream) all.push(...chunk);
  return all;
}

/** Lengths below, at and above units, in step with them and not. */
const LENGTHS: readonly (readonly number[])[] = [[1], [7], [12], [24], [5, 19, 3], [120], [13, 12]];

Deno.test("a stream regrouped into units has the same bytes and whole units alone", () => {
  for (const lengths of LENGTHS) {
    for (const unitBytes of [1, 4, 12, 40, 120]) {
      const lengthsGot: number[] = [];
      const stream = function* () {
        for (const chunk of inUnits(chunks(BYTES, lengths), { unitBytes })) {
          lengthsGot.push(chunk.length);
          yield chunk;
        }
      };
      assert.deepEqual(gathered(stream()), [...BYTES], `${lengths} by ${unitBytes}`);
      assert.ok(lengthsGot.every((length) => length % unitBytes === 0), `${lengthsGot}`);
    }
  }
});

Deno.test("a stream that ends inside a unit is refused", () => {
  assert.throws(() => gathered(inUnits(chunks(BYTES, [7]), { unitBytes: 50 })), RangeError);
  assert.deepEqual(gathered(inUnits([], { unitBytes: 50 })), []);
});

Deno.test("rows cut from a stream are the bytes from here to there, and no more is read", () => {
  for (const lengths of LENGTHS) {
    for (const [from, to] of [[0, 120], [0, 1], [30, 60], [119, 120], [12, 24]] as const) {
      const cut = gathered(cutRows(chunks(BYTES, lengths), { from, to }));
      assert.deepEqual(cut, [...BYTES.subarray(from, to)], `${lengths}: ${from} to ${to}`);
    }
  }
  let asked = 0;
  const counted = function* () {
    for (const chunk of chunks(BYTES, [10])) {
      asked++;
      yield chunk;
    }
  };
  gathered(cutRows(counted(), { from: 5, to: 25 }));
  assert.equal(asked, 3);
});

Deno.test("columns cut from a stream are the same part of every row", () => {
  const rowBytes = 12;
  for (const lengths of LENGTHS) {
    for (const [from, to] of [[0, 12], [0, 4], [4, 8], [8, 12], [11, 12]] as const) {
      const wanted = [...BYTES].filter((i) => i % rowBytes >= from && i % rowBytes < to);
      const cut = gathered(cutColumns(chunks(BYTES, lengths), { rowBytes, from, to }));
      assert.deepEqual(cut, wanted, `${lengths}: ${from} to ${to}`);
    }
  }
});
