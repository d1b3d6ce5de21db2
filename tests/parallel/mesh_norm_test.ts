import assert from "node:assert/strict";
import { runLocal } from "../../lib/comm/local/run.ts";
import type { MeshNumbers } from "../../lib/comm/mesh.ts";
import { heldWeights } from "../../lib/model/training/parts.ts";
import { PATIENCE_MS } from "../time_limits.ts";
import { squareOf } from "./mesh_norm_program.ts";
import { fiveLayers } from "./pipeline_program.ts";

function totals(sizes: Partial<MeshNumbers>): Promise<number[]> {
  const input = { data: 1, shard: 1, tensor: 1, pipeline: 1, ...sizes };
  const ranks = Object.values(input).reduce((product, size) => product * size);
  const module = new URL("./mesh_norm_program.ts", import.meta.url);
  return runLocal(module, { ranks, input, timeLimitMs: PATIENCE_MS });
}

Deno.test("stages add up to the bits of one rank, a tied embedding counted once", async () => {
  const weights = heldWeights(fiveLayers(true));
  const wanted = weights.reduce((sum, { index }) => sum + squareOf(index, 0), 0);
  assert.deepEqual(await totals({}), [wanted]);
  assert.deepEqual(await totals({ pipeline: 2 }), [wanted, wanted]);
  assert.deepEqual(await totals({ pipeline: 4 }), new Array(4).fill(wanted));
  assert.deepEqual(await totals({ data: 2, pipeline: 2 }), new Array(4).fill(wanted));
});

Deno.test("slices are added in the order of their ranks, what every rank has is counted once", async () => {
  // By the definition: the slices of a weight first, then the weights.
  const parts = [0, 1].map((rank) => heldWeights(fiveLayers(true), { tensor: { rank, size: 2 } }));
  const wanted = parts[0]!.reduce((sum, { index, slice }, i) => {
    const first = squareOf(index, slice?.first ?? 0);
    const other = parts[1]![i]!;
    return sum + (other.copy > 0 ? first : first + squareOf(index, other.slice!.first));
  }, 0);
  assert.deepEqual(await totals({ tensor: 2 }), [wanted, wanted]);
  assert.deepEqual(await totals({ tensor: 2, pipeline: 2 }), new Array(4).fill(wanted));
});
