import assert from "node:assert/strict";
import { presetOf } from "../../lib/model/presets.ts";
import type { Efficiency } from "../../lib/plan/efficiency.ts";
import { efficiencyOf } from "../../lib/plan/efficiency.ts";
import { flopsPerToken } from "../../lib/plan/flops.ts";
import { hardwareOf } from "../../lib/plan/hardware.ts";
import type { Device } from "../../lib/plan/kernel_time.ts";
import type { RankRecorder } from "../../lib/plan/rank_replay.ts";
import { replayLongStep, replayStep } from "../../lib/plan/step_replay.ts";
import type { StepShape } from "../../lib/plan/step_shape.ts";
import { near, stepOf } from "./steps.ts";

const A100: Device = { hardware: hardwareOf("a100-80gb"), efficiency: efficiencyOf("a100") };

/** A device whose memory and links take no time and whose products reach the peak in any shape. */
const IDEAL: Device = {
  hardware: {
    ...A100.hardware,
    memoryBandwidth: 1e30,
    fabric: { ...A100.hardware.fabric, nodeBandwidth: 1e30, networkBandwidth: 1e30 },
  },
  efficiency: {
    ...A100.efficiency,
    ...({
      matmul: 1,
      sustained: 1,
      tile: [1, 1],
      processors: 1,
      attentionForward: 1,
      attentionBackward: 1,
      launch: 0,
      nodeLatency: 0,
      networkLatency: 0,
    } satisfies Partial<Efficiency>),
  },
};

const STEP: StepShape = { ...stepOf("llama2-7b", 32), seqLen: 2048 };

Deno.test("on an ideal device a step takes its operations over the peak", () => {
  const { step } = replayStep(STEP, IDEAL);
  const { matrices, attention } = flopsPerToken(STEP.model, STEP.seqLen);
  // Causal attention does half of what is counted, and its backward pass 5 products for every 2.
  const flops = 32 * 2048 * (matrices + attention / 3 / 2 * (1 + 2.5));
  near(step, flops / IDEAL.hardware.peakFlops, 1e-3);
});

Deno.test("the seconds of a step are those of its kinds", () => {
  const mesh = { data: 2, shard: 4, tensor: 4, pipeline: 4 };
  const replay = replayStep({ ...STEP, sequences: 64, mesh, zero: 2, chunks: 2 }, A100);
  const { step, computing, tensor, replicas, pipeline, optimizer } = replay;
  near(computing + tensor + replicas + pipeline + optimizer, step);
  for (const part of [computing, tensor, replicas, pipeline, optimizer]) assert.ok(part > 0);
});

/** A model without embedding and head to speak of: all stages are equal. */
const EVEN = { ...STEP.model, vocabSize: 8 };

for (const [pipeline, chunks] of [[4, 1], [8, 1], [4, 2], [8, 4]] as const) {
  Deno.test(`the bubble of ${pipeline} ranks with ${chunks} stages each is (p - 1) / (v m)`, () => {
    const mesh = { ...STEP.mesh, pipeline };
    const { bubble } = replayStep({ ...STEP, model: EVEN, mesh, chunks }, IDEAL);
    near(bubble, (pipeline - 1) / (chunks * 32), 1e-3);
  });
}

Deno.test("links that take time make no rank compute more, and the step longer", () => {
  const mesh = { data: 1, shard: 64, tensor: 8, pipeline: 1 };
  const shape: StepShape = { ...STEP, sequences: 64, mesh, zero: 3 };
  const [slow, fast] = [
    replayStep(shape, A100),
    replayStep(shape, {
      ...A100,
      hardware: { ...A100.hardware, fabric: IDEAL.hardware.fabric },
      efficiency: { ...A100.efficiency, nodeLatency: 0, networkLatency: 0 },
    }),
  ];
  near(slow.computing, fast.computing);
  assert.ok(slow.step > fast.step);
  assert.ok(fast.tensor < 1e-9 && fast.replicas < 1e-9);
});

Deno.test("communication that is hidden is less than all of it", () => {
  const mesh = { ...STEP.mesh, shard: 16 };
  const { communication, replicas } = replayStep({ ...STEP, mesh, microBatch: 2, zero: 3 }, A100);
  assert.ok(replicas < communication.replicas / 2);
});

Deno.test("computing again takes longer: nothing, norms and activations, all but products' ends", () => {
  const seconds = (["none", "selective", "full"] as const).map((recompute) =>
    replayStep({ ...STEP, recompute }, A100).step
  );
  assert.ok(seconds[0]! < seconds[1]! && seconds[1]! < seconds[2]!);
  assert.ok(seconds[2]! < seconds[0]! * 4 / 3);
});

Deno.test("a long step is what its beginning and end say", () => {
  const meshes = [
    { data: 1, shard: 8, tensor: 2, pipeline: 1 },
    { data: 2, shard: 1, tensor: 1, pipeline: 4 },
    { data: 1, shard: 2, tensor: 2, pipeline: 8 },
  ];
  for (const mesh of meshes) {
    for (const [zero, chunks] of [[1, 1], [3, 1], [1, 2]] as const) {
      if (chunks > 1 && mesh.pipeline === 1) continue;
      const shape: StepShape = { ...STEP, mesh, zero, chunks, sequences: 624 };
      const [whole, short] = [replayStep(shape, A100), replayLongStep(shape, A100)];
      assert.ok(short.tasks < whole.tasks / 2);
      near(short.step, whole.step, 1e-3);
      near(short.computing, whole.computing, 1e-6);
    }
  }
});

Deno.test("a long step of unequal stages is not shorter than what its busiest rank computes", () => {
  const { config: model } = presetOf("llama3.2-1b");
  const mesh = { data: 1, shard: 1, tensor: 1, pipeline: 2 };
  for (const chunks of [1, 2]) {
    const shape: StepShape = { ...STEP, model, mesh, chunks, sequences: 512 };
    const [whole, short] = [replayStep(shape, A100), replayLongStep(shape, A100)];
    assert.ok(short.step > short.busiest && whole.step > whole.busiest);
    assert.ok(short.pipeline > 0);
    near(short.step, whole.step, 0.01);
  }
});

Deno.test("tasks of a lane follow one another, and a stage begins when its message has come", () => {
  const mesh = { data: 1, shard: 4, tensor: 2, pipeline: 4 };
  const shape: StepShape = { ...STEP, mesh, zero: 3, chunks: 2 };
  const ends = new Map<string, number>();
  const began = new Map<string, number>();
  const ended = new Map<string, number>();
  let last = 0;
  const record: RankRecorder = (rank, { lane, name, start, end }) => {
    const place = `${rank} ${lane}`;
    assert.ok(start >= (ends.get(place) ?? 0) - 1e-12 && end > start, `${place}: ${name}`);
    ends.set(place, end);
    last = Math.max(last, end);
    const [, pass, stage] = /^(\w+) \w+, stage (\d+, micro-batch \d+)$/.exec(name) ?? [];
    if (lane !== "compute") return;
    const key = `${pass} ${stage}`;
    began.set(key, Math.min(start, began.get(key) ?? Infinity));
    ended.set(key, end);
  };
  const { step, optimizer } = replayStep(shape, { ...A100, record });
  assert.ok(Math.abs(last + optimizer - step) < 1e-9);
  assert.equal(began.size, 2 * 8 * 8);
  for (let stage = 1; stage < 8; stage++) {
    for (let microBatch = 0; microBatch < 8; microBatch++) {
      const at = (pass: string, of: number) => `${pass} ${of}, micro-batch ${microBatch}`;
      assert.ok(began.get(at("forward", stage))! > ended.get(at("forward", stage - 1))!);
      assert.ok(began.get(at("backward", stage - 1))! > ended.get(at("backward", stage))!);
    }
  }
});
