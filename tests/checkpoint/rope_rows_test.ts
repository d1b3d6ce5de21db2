import assert from "node:assert/strict";
import { reorderRows, ropeRows } from "../../lib/checkpoint/rope_rows.ts";

/** `x.view(heads, a, b, width).transpose(1, 2)` of transformers' converter, on flat numbers. */
function transposed(
  x: readonly number[],
  [heads, a, b, width]: readonly [number, number, number, number],
): number[] {
  const out: number[] = [];
  for (let head = 0; head < heads; head++) {
    for (let j = 0; j < b; j++) {
      for (let i = 0; i < a; i++) {
        for (let k = 0; k < width; k++) out.push(x[((head * a + i) * b + j) * width + k]!);
      }
    }
  }
  return out;
}

for (const [heads, headDim, width] of [[1, 2, 1], [2, 4, 3], [3, 8, 5], [5, 6, 2]] as const) {
  Deno.test(`rows of ${heads} heads of ${headDim} go to halves and back as transformers takes them`, () => {
    const meta = Array.from({ length: heads * headDim * width }, (_, i) => i & 255);
    const huggingFace = transposed(meta, [heads, headDim / 2, 2, width]);
    const options = { headDim, rowBytes: width };
    for (const cut of [1, 7, meta.length]) {
      const chunks = function* (values: readonly number[]) {
        for (let at = 0; at < values.length; at += cut) {
          yield Uint8Array.from(values.slice(at, at + cut));
        }
      };
      const all = (stream: Iterable<Uint8Array>) => [...stream].flatMap((chunk) => [...chunk]);
      assert.deepEqual(all(reorderRows(chunks(meta), { ...options, to: "half" })), huggingFace);
      const back = reorderRows(chunks(huggingFace), { ...options, to: "interleaved" });
      assert.deepEqual(all(back), meta);
    }
    assert.deepEqual(transposed(huggingFace, [heads, 2, headDim / 2, width]), meta);
  });
}

Deno.test("row 2i + j of interleaved pairs is row i + j d/2 of halves", () => {
  assert.deepEqual([...ropeRows(8, "half")], [0, 2, 4, 6, 1, 3, 5, 7]);
  assert.deepEqual([...ropeRows(8, "interleaved")], [0, 4, 1, 5, 2, 6, 3, 7]);
});
