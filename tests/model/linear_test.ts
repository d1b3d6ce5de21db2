import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { multipliesBf16 } from "../../lib/backend/features.ts";
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from "../../lib/base/float16.ts";
import { RandomStream } from "../../lib/base/random.ts";
import {
  activationBytes,
  type Activations,
  Products,
  stacked,
  type Weight,
  weightBytes,
} from "../../lib/model/linear.ts";
import { onBackends } from "../on_backends.ts";
import { assertNear } from "./golden_models.ts";
import { dequantizeQ8, quantizeQ8 } from "./q8_0.ts";

const [ROWS, IN] = [5, 96];

function normals(stream: number, count: number): Float32Array {
  const random = new RandomStream(11, stream);
  return Float32Array.from({ length: count }, (_, i) => random.normal(i));
}

/** One part of a weight, and what its numbers are after rounding to its type. */
interface Part {
  readonly weight: Weight;
  readonly values: Float32Array;
}

function place(backend: Backend, dtype: "f32" | "f16" | "bf16" | "q8_0", outDim: number): Part {
  const values = normals(outDim, outDim * IN);
  const stored = {
    f32: () => ({ bytes: values, values }),
    f16: () => ({ bytes: encodeF16(values), values: decodeF16(encodeF16(values)) }),
    bf16: () => ({ bytes: encodeBf16(values), values: decodeBf16(encodeBf16(values)) }),
    q8_0: () => ({ bytes: quantizeQ8(values), values: dequantizeQ8(quantizeQ8(values)) }),
  }[dtype]();
  const address = backend.alloc(stored.bytes.byteLength);
  backend.upload(address, stored.bytes);
  const weight = { inDim: IN, outDim, parts: [{ dtype, outDim, address }] };
  return { weight, values: stored.values };
}

/** Products in double precision [ROWS, out] of rows with the parts, one below the other. */
function reference(x: Float32Array, parts: readonly Part[]): number[] {
  const out: number[] = [];
  for (let row = 0; row < ROWS; row++) {
    for (const { values, weight } of parts) {
      for (let n = 0; n < weight.outDim; n++) {
        let sum = 0;
        for (let k = 0; k < IN; k++) sum += x[row * IN + k]! * values[n * IN + k]!;
        out.push(sum);
      }
    }
  }
  return out;
}

function multiply(
  backend: Backend,
  weight: Weight,
  options: {
    readonly x: Float32Array;
    readonly activations: Activations;
    readonly twice?: boolean;
  },
): Float32Array {
  const x = backend.alloc(options.x.byteLength);
  backend.upload(x, options.x);
  const out = backend.alloc(4 * ROWS * weight.outDim);
  const scratch = backend.alloc(activationBytes(ROWS, IN));
  const products = new Products(backend, { activations: options.activations, scratch });
  products.multiply(weight, { out, x, rows: ROWS });
  if (options.twice) products.multiply(weight, { out, x, rows: ROWS, accumulate: true });
  const result = new Float32Array(ROWS * weight.outDim);
  backend.download(result, out);
  return result;
}

onBackends("weights of every type, stacked, fill their columns of one result", async (on) => {
  using opened = await on.open(2);
  const { backend } = opened;
  const parts = [
    place(backend, "q8_0", 7),
    place(backend, "f32", 9),
    place(backend, "f16", 1),
    place(backend, "bf16", 16),
  ];
  const weight = stacked(parts.map((part) => part.weight));
  deepStrictEqual([weight.outDim, weight.parts.length], [33, 4]);
  const x = normals(0, ROWS * IN);
  // Sums of 96 products of numbers around 1 in single precision.
  const exact = multiply(backend, weight, { x, activations: "f32" });
  assertNear(exact, reference(x, parts), 2e-5);
  const twice = multiply(backend, weight, { x, activations: "f32", twice: true });
  assertNear(twice, reference(x, parts).map((value) => 2 * value), 4e-5);
});

onBackends("quantized weights multiply activations that are rounded to blocks too", async (on) => {
  using opened = await on.open(2);
  const { backend } = opened;
  const parts = [place(backend, "q8_0", 33), place(backend, "f32", 4)];
  const x = normals(0, ROWS * IN);
  const rounded = dequantizeQ8(quantizeQ8(x));
  const weight = stacked(parts.map((part) => part.weight));
  const got = multiply(backend, weight, { x, activations: "auto" });
  const exact = reference(x, parts);
  const wanted = reference(rounded, parts).map((value, i) => i % 37 < 33 ? value : exact[i]!);
  assertNear(got, wanted, 2e-5);
});

onBackends("weights of bf16 multiply rounded activations where that is native", async (on) => {
  using opened = await on.open(2);
  const { backend } = opened;
  const parts = [place(backend, "bf16", 33), place(backend, "q8_0", 5), place(backend, "bf16", 4)];
  const x = normals(0, ROWS * IN);
  const weight = stacked(parts.map((part) => part.weight));
  const got = multiply(backend, weight, { x, activations: "auto" });
  const inBf16 = multipliesBf16(backend.info) ? decodeBf16(encodeBf16(x)) : x;
  const overBf16 = reference(inBf16, parts);
  const overBlocks = reference(dequantizeQ8(quantizeQ8(x)), parts);
  const isBlocks = (i: number) => i % 42 >= 33 && i % 42 < 38;
  assertNear(got, overBf16.map((value, i) => isBlocks(i) ? overBlocks[i]! : value), 2e-5);
});

Deno.test("neighbours in memory become one part, others stay apart", () => {
  const at = (address: number, outDim: number, dtype: "f32" | "bf16" = "f32"): Weight => ({
    inDim: 8,
    outDim,
    parts: [{ dtype, outDim, address }],
  });
  deepStrictEqual(stacked([at(64, 2), at(128, 1), at(160, 3)]).parts, [
    { dtype: "f32", outDim: 6, address: 64 },
  ]);
  strictEqual(stacked([at(64, 2), at(132, 1)]).parts.length, 2, "a gap");
  strictEqual(stacked([at(64, 2), at(128, 1, "bf16")]).parts.length, 2, "another type");
  strictEqual(weightBytes(stacked([at(64, 2), at(128, 1, "bf16")])), 64 + 16);
});
