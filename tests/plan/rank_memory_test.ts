import assert from "node:assert/strict";
import { countParameters } from "../../lib/model/parameters.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { layOut } from "../../lib/model/training/parameters.ts";
import { hardwareOf } from "../../lib/plan/hardware.ts";
import { USABLE_MEMORY } from "../../lib/plan/mesh_search.ts";
import { pieceParameters } from "../../lib/plan/piece_parameters.ts";
import { PUBLISHED_RUNS } from "../../lib/plan/published.ts";
import { RankMemory } from "../../lib/plan/rank_memory.ts";
import type { StepShape, ZeroStage } from "../../lib/plan/step_shape.ts";
import { near, ONE, stepOf } from "./steps.ts";

const STEP = stepOf("llama3-8b", 1024);
const planRankBytes = (shape: StepShape) => new RankMemory().plan(shape);

for (const name of ["llama3-8b", "llama2-7b", "palm-8b", "llama3.2-1b"]) {
  for (const tensor of [1, 2, 8]) {
    Deno.test(`parameters of ${name} on one of ${tensor} tensor ranks are those that are laid out`, () => {
      const { config: model } = presetOf(name);
      const shape = { ...STEP, model, mesh: { ...ONE, tensor } };
      const planned = pieceParameters("embedding", shape) + pieceParameters("head", shape) +
        model.numHiddenLayers * pieceParameters("block", shape);
      const { elements } = layOut(model, { tensor: { rank: 0, size: tensor } });
      near(planned, elements, 1e-4);
    });
  }
}

Deno.test("training in bf16 takes 18 bytes per parameter, of which ZeRO shares 12, 16 and all", () => {
  const { total } = countParameters(STEP.model);
  const of = (zero: ZeroStage) => {
    const shard = zero === 0 ? 1 : 8;
    const { weights, gradients, moments, compute } = planRankBytes({
      ...STEP,
      sequences: shard,
      mesh: { ...ONE, shard },
      zero,
    });
    return weights + gradients + moments + compute;
  };
  near(of(0), 18 * total);
  near(of(1), (12 / 8 + 6) * total);
  near(of(2), (16 / 8 + 2) * total);
  near(of(3), 18 / 8 * total);
});

Deno.test("gradients of several micro-batches stay whole: they are added up before ranks are", () => {
  const { total } = countParameters(STEP.model);
  const { gradients } = planRankBytes({ ...STEP, mesh: { ...ONE, shard: 8 }, zero: 3 });
  near(gradients, 4 * total);
});

Deno.test("1F1B keeps a micro-batch for every rank that comes after, and not all of the step", () => {
  const kept = (pipeline: number) => planRankBytes({ ...STEP, mesh: { ...ONE, pipeline } }).kept;
  // A rank of p has 1/p of the layers (here evenly, but for the head's share), the first one p batches.
  near(kept(4), kept(1), 0.15);
  near(kept(8), kept(1), 0.15);
});

Deno.test("what is computed again is not kept", () => {
  const kept = (["none", "selective", "full"] as const).map((recompute) =>
    planRankBytes({ ...STEP, recompute }).kept
  );
  assert.ok(kept[0]! > kept[1]! && kept[1]! > 4 * kept[2]!);
  // Full recomputation keeps a block's input alone, in bf16.
  near(kept[2]!, 32 * 4096 * 4096 * 2);
});

Deno.test("tensor-parallel ranks share activations too: of rows of D a part each", () => {
  const kept = (tensor: number) => planRankBytes({ ...STEP, mesh: { ...ONE, tensor } }).kept;
  near(kept(8), kept(1) / 8);
});

for (const { preset, devices, step, hardware } of PUBLISHED_RUNS) {
  Deno.test(`the step of ${preset} on ${devices} devices fits their memory`, () => {
    const { total } = planRankBytes({ ...step, model: presetOf(preset).config });
    assert.ok(total <= USABLE_MEMORY * hardwareOf(hardware).memory, `${total}`);
  });
}
