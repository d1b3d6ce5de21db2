import assert from "node:assert/strict";
import { efficiencyOf } from "../../lib/plan/efficiency.ts";
import { hardwareOf } from "../../lib/plan/hardware.ts";
import { collectiveSeconds, groupOf, sentBytes } from "../../lib/plan/links.ts";
import { parseMesh } from "../../lib/comm/mesh.ts";

const { fabric } = hardwareOf("a100-80gb");
/** Links that reach what their maker says, at once. */
const efficiency = { node: 1, nodeLatency: 0, network: 1, networkLatency: 0 };
const GB = 1e9;

Deno.test("a rank sends (N - 1) / N of a vector, twice for an all-reduce", () => {
  assert.equal(sentBytes("allGather", { bytes: 800, size: 8 }), 700);
  assert.equal(sentBytes("reduceScatter", { bytes: 800, size: 8 }), 700);
  assert.equal(sentBytes("allReduce", { bytes: 800, size: 8 }), 1400);
  assert.equal(sentBytes("send", { bytes: 800, size: 8 }), 800);
  assert.equal(sentBytes("allReduce", { bytes: 800, size: 1 }), 0);
});

Deno.test("neighbours of a mesh share a node, tensor first", () => {
  const mesh = parseMesh("tensor=4,shard=4,data=2,pipeline=2");
  assert.deepEqual(groupOf("tensor", { mesh, fabric }), { size: 4, perNode: 4, axes: 1 });
  assert.deepEqual(groupOf("shard", { mesh, fabric }), { size: 4, perNode: 2, axes: 1 });
  assert.deepEqual(groupOf("data", { mesh, fabric }), { size: 2, perNode: 1, axes: 1 });
  assert.deepEqual(groupOf("pipeline", { mesh, fabric }), { size: 2, perNode: 1, axes: 1 });
});

Deno.test("two pods of TPUs are two nodes of 3072, and shard has two axes of the torus", () => {
  const mesh = parseMesh("tensor=12,shard=256,data=2");
  const tpu = hardwareOf("tpu-v4").fabric;
  assert.deepEqual(groupOf("shard", { mesh, fabric: tpu }), { size: 256, perNode: 256, axes: 2 });
  assert.deepEqual(groupOf("data", { mesh, fabric: tpu }), { size: 2, perNode: 1, axes: 2 });
});

Deno.test("a gather within a node takes its bytes over NVLink", () => {
  const group = { size: 8, perNode: 8, axes: 1 };
  const seconds = collectiveSeconds("allGather", 8 * GB, { group, fabric, efficiency });
  assert.ok(Math.abs(seconds - 7 / 300) < 1e-12);
});

Deno.test("a gather over two nodes brings half into each, through all its cards", () => {
  const group = { size: 16, perNode: 8, axes: 1 };
  const seconds = collectiveSeconds("allGather", 16 * GB, { group, fabric, efficiency });
  // 15 GB of NVLink at 300 GB/s take longer than 8 GB through 8 cards of 25 GB/s.
  assert.ok(Math.abs(seconds - 15 / 300) < 1e-12);
  const sparse = { size: 16, perNode: 1, axes: 1 };
  const alone = collectiveSeconds("allGather", 16 * GB, { group: sparse, fabric, efficiency });
  assert.ok(Math.abs(alone - 15 / 25) < 1e-12);
});

Deno.test("an all-reduce of 8 A100s takes what nccl-tests measured, within a third", () => {
  const group = { size: 8, perNode: 8, axes: 1 };
  const own = efficiencyOf("a100");
  const measured = [[2 ** 23, 133.5e-6], [2 ** 26, 684.6e-6], [2 ** 30, 8203.9e-6]] as const;
  for (const [bytes, seconds] of measured) {
    const planned = collectiveSeconds("allReduce", bytes, { group, fabric, efficiency: own });
    assert.ok(planned / seconds > 2 / 3 && planned / seconds < 4 / 3, `${bytes}: ${planned}`);
  }
});
