import assert from "node:assert/strict";
import { runLocal } from "../../lib/comm/local/run.ts";
import { meshSize, parseMesh } from "../../lib/comm/mesh.ts";
import { onEmulatedGpus } from "../comm/device/emulated_gpus.ts";
import { PATIENCE_MS } from "../time_limits.ts";
import type { GpuCase, GpuMeshInput, GpuMeshResult } from "./gpu_mesh_program.ts";
import { SETTINGS } from "./mesh_settings.ts";

const MODULE = new URL("./gpu_mesh_program.ts", import.meta.url);

type Case = Omit<GpuCase, "connected" | "tied"> & Partial<Pick<GpuCase, "tied">>;

/** Every kind of traffic by itself, and together. */
const CASES: readonly Case[] = [
  { mesh: "shard=2", zero: 2, reduce: "tree" },
  { mesh: "shard=2", zero: 3, microBatch: 4 },
  { mesh: "tensor=2", recompute: "full", tied: true },
  { mesh: "pipeline=2", tied: true },
  { mesh: "pipeline=2", pipelineSchedule: "interleaved" },
  { mesh: "data=2,shard=2", zero: 2, reduce: "tree", microBatch: 1 },
  { mesh: "tensor=4" },
  { mesh: "tensor=2,pipeline=2", pipelineSchedule: "interleaved" },
  { mesh: "shard=2,tensor=2,pipeline=2", zero: 3, tied: true },
];

const sizeOf = ({ mesh }: Case) => meshSize(parseMesh(mesh));

/** Results by case and rank, each of them without connected GPUs and with. */
async function onGpus(
  size: number,
  cases: readonly Case[],
): Promise<[GpuMeshResult, GpuMeshResult][][]> {
  const both = cases.flatMap((one) =>
    [false, true].map((connected) => ({ tied: false, ...one, connected }))
  );
  const ranks = await runLocal<GpuMeshResult[], GpuMeshInput>(MODULE, {
    ...{ ranks: size, timeLimitMs: PATIENCE_MS, input: { cases: both, settings: SETTINGS } },
  });
  return cases.map((_, i) => ranks.map((results) => [results[2 * i]!, results[2 * i + 1]!]));
}

for (const size of [...new Set(CASES.map(sizeOf))]) {
  const cases = CASES.filter((one) => sizeOf(one) === size);
  onEmulatedGpus(
    `${size} connected GPUs train to the bits of the processor's memory, within the plan's, on every mesh`,
    async () => {
      Deno.env.set("LLAMERO_EMULATED_GPUS", String(size));
      (await onGpus(size, cases)).forEach((ranks, i) => {
        const how = JSON.stringify(cases[i]);
        ranks.forEach(([host, device], rank) => {
          const on = `${how} on rank ${rank}`;
          assert.deepEqual(device.losses, host.losses, on);
          assert.deepEqual(device.norms, host.norms, on);
          assert.deepEqual(device.gradients, host.gradients, `${on}: gradients`);
          assert.deepEqual(device.weights, host.weights, `${on}: weights`);
          assert.equal(host.deviceBytes, 0);
          for (const { taken, planned } of [host.memory, device.memory]) {
            assert.ok(Math.abs(taken / planned - 1) < 0.05, `${on}: took ${taken} of ${planned}`);
          }
        });
        const sum = (which: 0 | 1, kind: "hostBytes" | "deviceBytes") =>
          ranks.reduce((bytes, rank) => bytes + rank[which][kind], 0);
        // What is left on the processor's way are losses, counts and sums of squares.
        const left = sum(1, "hostBytes");
        assert.ok(left < 0.05 * sum(0, "hostBytes"), `${how}: ${left} by way of the processor`);
        const before = sum(0, "hostBytes") - left;
        const share = sum(1, "deviceBytes") / before;
        assert.ok(Math.abs(share - 1) < 0.05, `${how}: ${share} of the bytes`);
      });
    },
  );
}
