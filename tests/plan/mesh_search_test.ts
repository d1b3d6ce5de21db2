import assert from "node:assert/strict";
import { ConfigError } from "../../lib/base/errors.ts";
import { meshSize, meshText, parseMesh } from "../../lib/comm/mesh.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { efficiencyOf } from "../../lib/plan/efficiency.ts";
import { hardwareOf } from "../../lib/plan/hardware.ts";
import type { Device } from "../../lib/plan/kernel_time.ts";
import { meshCandidates, type OpenStep, stepCandidates } from "../../lib/plan/mesh_candidates.ts";
import { searchMesh, USABLE_MEMORY } from "../../lib/plan/mesh_search.ts";
import { EstimatedSteps } from "../../lib/plan/step_estimate.ts";
import { replayStep } from "../../lib/plan/step_replay.ts";

function device(name: string): Device {
  const hardware = hardwareOf(name);
  return { hardware, efficiency: efficiencyOf(hardware.chip) };
}

function open(preset: string, on: Device, sizes: Partial<OpenStep>): OpenStep {
  const { fabric } = on.hardware;
  const { config: model } = presetOf(preset);
  return { model, seqLen: 2048, sequences: 64, devices: 8, fabric, ...sizes };
}

Deno.test("on 16,384 H100 the best mesh for Llama 3 405B is that of its paper", () => {
  const h100 = device("h100");
  const sizes = { seqLen: 8192, sequences: 2048, devices: 16_384 };
  const { best } = searchMesh(open("llama3.1-405b", h100, sizes), h100);
  assert.equal(meshText(best.shape.mesh), "shard=128,tensor=8,pipeline=16");
});

Deno.test("what fits one device is not cut on one device", () => {
  const h200 = device("h200");
  const { best, rejected } = searchMesh(open("tinyllama-1.1b", h200, { devices: 1 }), h200);
  assert.equal(meshSize(best.shape.mesh), 1);
  assert.deepEqual(rejected, []);
});

Deno.test("the best fits, and no other mesh that was replayed is faster", () => {
  const a100 = device("a100-80gb");
  const { best, rejected } = searchMesh(open("llama2-13b", a100, { devices: 16 }), a100);
  assert.ok(best.bytes.total <= USABLE_MEMORY * a100.hardware.memory);
  assert.equal(meshSize(best.shape.mesh), 16);
  const slower = rejected.flatMap((one) => one.slower === undefined ? [] : [one.slower]);
  assert.ok(slower.length > 0 && slower.every((share) => share >= 0));
  assert.ok(rejected.every(({ reason }) => reason.length > 0));
  const large = rejected.filter((one) => one.slower === undefined);
  assert.ok(large.some(({ mesh, reason }) => mesh === "data=16" && /does not fit/.test(reason)));
});

Deno.test("where nothing fits, the mesh that needs the least is named with its memory", () => {
  const a100 = device("a100-40gb");
  const search = () => searchMesh(open("llama1-65b", a100, { devices: 8 }), a100);
  assert.throws(search, (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /8 devices: "\S+" takes the least memory, [\d.]+ GiB/);
    return true;
  });
});

Deno.test("a number of devices that divides nothing is refused", () => {
  const a100 = device("a100-40gb");
  const search = () => searchMesh(open("llama1-7b", a100, { devices: 37 }), a100);
  assert.throws(search, (error: unknown) => error instanceof ConfigError);
});

Deno.test("every candidate has all devices and divides heads, layers and batch", () => {
  const tpu = device("tpu-v4");
  const sizes = { devices: 96, sequences: 192 };
  const meshes = meshCandidates(open("palm-62b", tpu, sizes));
  assert.ok(meshes.length > 10);
  for (const { data, shard, tensor, pipeline } of meshes) {
    assert.equal(data * shard * tensor * pipeline, 96);
    assert.equal(32 % tensor, 0);
    assert.equal(192 % (data * shard), 0);
    assert.ok(pipeline <= 64);
  }
});

Deno.test("settled settings are not chosen", () => {
  const a100 = device("a100-80gb");
  const settled = {
    mesh: parseMesh("shard=4,pipeline=2"),
    microBatch: 4,
    recompute: "full",
    zero: 2,
    schedule: "interleaved",
  } as const;
  const shapes = stepCandidates(settled.mesh, open("llama2-7b", a100, { settled }));
  assert.ok(shapes.length > 0);
  for (const { microBatch, recompute, zero, chunks } of shapes) {
    assert.deepEqual([microBatch, recompute, zero], [4, "full", 2]);
    assert.ok(chunks > 1);
  }
});

Deno.test("the formula that chooses what is replayed is within a tenth of the replay", () => {
  const a100 = device("a100-80gb");
  const estimated = new EstimatedSteps(a100);
  for (const text of ["data=16", "shard=16", "shard=2,tensor=8", "shard=2,tensor=2,pipeline=4"]) {
    const mesh = parseMesh(text);
    const on = open("llama2-13b", a100, { devices: 16, sequences: 512 });
    for (const shape of stepCandidates(mesh, on).filter(({ microBatch }) => microBatch === 2)) {
      const { step } = replayStep(shape, a100);
      const share = estimated.seconds(shape) / step;
      const { zero, chunks, recompute } = shape;
      assert.ok(share > 0.9 && share < 1.1, `${text} ${zero} ${chunks} ${recompute}: ${share}`);
    }
  }
});
