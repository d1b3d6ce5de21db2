import assert from "node:assert/strict";
import { DTYPE_CODES } from "../../kernels/abi.ts";
import { onBackends } from "../on_backends.ts";
import { CASES, type KernelCase } from "./cases.ts";
import { argumentsOf, decode, run, valuesOf } from "./harness.ts";

/** Rows, [query heads, key and value heads, head size], and whether all rows are one document. */
type Shape = readonly [rows: number, heads: readonly [number, number, number], one: 0 | 1];

/** Groups of 1, 4 and 8 query heads; rows that end within a tile of any size; sizes that fill no tile. */
const SHAPES: readonly Shape[] = [
  [150, [2, 2, 64], 1],
  [197, [4, 1, 64], 0],
  [130, [8, 1, 80], 0],
  [141, [1, 1, 128], 1],
  [67, [4, 1, 128], 0],
  [97, [1, 1, 256], 1],
  [75, [8, 1, 256], 0],
];

const caseOf = ([rows, [heads, kv_heads, head_dim], one_document]: Shape): KernelCase => ({
  sizes: {
    ...{ rows, heads, kv_heads, head_dim, one_document },
    ...{ scale: 1 / Math.sqrt(head_dim), precision: DTYPE_CODES.bf16 },
  },
});

/** ||got - want|| / ||want|| and the cosine of the angle between them. */
function distance(got: Float64Array, want: Float64Array): { apart: number; cosine: number } {
  let [off, square, length, along] = [0, 0, 0, 0];
  want.forEach((w, i) => {
    const g = got[i]!;
    off += (g - w) ** 2;
    square += w * w;
    length += g * g;
    along += g * w;
  });
  return { apart: Math.sqrt(off / square), cosine: along / Math.sqrt(square * length) };
}

for (const kernel of ["attention_forward", "attention_backward"] as const) {
  for (const shape of SHAPES) {
    const [rows, [heads, kvHeads, size], one] = shape;
    const what = `${rows} rows of ${one ? "one document" : "documents"}, ${heads} heads of ${size}`;
    onBackends(
      `${kernel} in bf16 is near exact attention: ${what}, ${kvHeads} of keys`,
      async (on) => {
        using opened = await on.open(1);
        const [entry, each] = [CASES[kernel]!, caseOf(shape)];
        const made = argumentsOf(kernel, { entry, one: each });
        const results = run(opened.backend, kernel, { made, scalars: each.sizes });
        const exact = { ...each.sizes, precision: DTYPE_CODES.f32 };
        for (const [name, truth] of Object.entries(entry.results)) {
          const got = decode("f32", results[name]!);
          const { apart, cosine } = distance(got, truth(valuesOf(made), exact));
          assert.ok(apart <= 2e-2 && cosine >= 0.9995, `${name}: ${apart} apart, cosine ${cosine}`);
        }
        const again = run(opened.backend, kernel, { made, scalars: each.sizes });
        assert.deepEqual(again, results, "a second call gives other bits");
      },
      { gpu: true },
    );
  }
}
