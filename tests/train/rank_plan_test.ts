import assert from "node:assert/strict";
import type { BackendName } from "../../lib/backend/backend.ts";
import { parseMesh } from "../../lib/comm/mesh.ts";
import type { ModelConfig } from "../../lib/model/config.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { multipliesBf16 } from "../../lib/backend/features.ts";
import { placeOf, planMesh, planRank, planRanks } from "../../lib/train/rank_plan.ts";
import { resolveRun } from "../../lib/train/run_config.ts";
import type { TrainSettings } from "../../lib/train/settings.ts";
import { onBackends } from "../on_backends.ts";
import { onMesh } from "./rank_plan_program.ts";

const MODEL: ModelConfig = {
  ...presetOf("debug").config,
  ...{ hiddenSize: 192, intermediateSize: 512, numHiddenLayers: 4, vocabSize: 640 },
  ...{ numAttentionHeads: 6, numKeyValueHeads: 2, headDim: 32, tieWordEmbeddings: false },
};

/** What differs from the settings that all have. */
type Changes = Partial<TrainSettings> & { readonly tied?: boolean };

function configOf(mesh: string, { tied = false, ...changes }: Changes = {}) {
  const settings = {
    ...{ preset: "debug", seqLen: 64, batchTokens: 512, microBatch: 2, steps: 10, warmup: 0 },
    ...{ mesh, ...changes },
  };
  const { settings: resolved } = resolveRun([{ settings, origin: () => "test" }], {
    vocabulary: {},
  });
  return { model: { ...MODEL, tieWordEmbeddings: tied }, settings: resolved };
}

type Case = readonly [string, Changes];

const CASES: readonly Case[] = [
  ["data=2", {}],
  ["data=2", { reduce: "tree", microBatch: 1 }],
  // Six micro-batches of each replica have no tree of their own: gradients travel after every one.
  ["data=2", { reduce: "tree", microBatch: 1, batchTokens: 768 }],
  ["shard=2", { zero: 2, reduce: "tree", microBatch: 1 }],
  ["shard=2", { zero: 1 }],
  ["shard=2", { zero: 2, microBatch: 4 }],
  ["shard=2", { zero: 3 }],
  ["shard=4", { zero: 3, recompute: "full" }],
  ["data=2,shard=2", { zero: 3, microBatch: 1 }],
  ["tensor=2", {}],
  ["tensor=2", { recompute: "full" }],
  ["data=2,tensor=2", { recompute: "selective" }],
  ["pipeline=2", {}],
  ["pipeline=2", { pipelineSchedule: "interleaved", microBatch: 1 }],
  ["pipeline=2", { stagesPerRank: 3, microBatch: 1 }],
  ["shard=2,pipeline=2", { zero: 2, reduce: "tree", microBatch: 1 }],
  ["tensor=2,pipeline=2", {}],
  ["shard=2,pipeline=2", { zero: 1 }],
  ["data=2,tensor=2,pipeline=2", {}],
  ["pipeline=2", { tied: true }],
  ["shard=2", { tied: true, zero: 3 }],
];

/** Fails unless ranks take and send what the plan says. */
async function assertPlanned(
  backend: BackendName,
  [mesh, changes]: Case,
): Promise<void> {
  const config = configOf(mesh, changes);
  const ranks = await onMesh({ backend, config });
  ranks.forEach(({ taken, planned }, rank) => {
    assert.ok(Math.abs(taken / planned - 1) < 0.05, `rank ${rank} took ${taken} of ${planned}`);
  });
  const sent = ranks.reduce((sum, rank) => sum + rank.sent, 0) / ranks.length;
  const { total: formula } = planMesh(config, parseMesh(mesh)).traffic;
  assert.ok(Math.abs(sent / formula - 1) < 0.05, `sent ${sent}, the formulas say ${formula}`);
}

for (const [mesh, changes] of CASES) {
  const how = Object.entries(changes).map(([name, value]) => `${name} ${value}`).join(", ");
  onBackends(`memory and bytes sent on ${mesh} ${how} are the plan's within 5%`, async (on) => {
    await assertPlanned(on.name, [mesh, changes]);
  }, { quickest: true });
}

onBackends(
  "in bf16 tensor ranks take and send what is planned",
  async (on) => {
    using opened = await on.open(1);
    if (!multipliesBf16(opened.backend.info)) return;
    await assertPlanned(on.name, ["tensor=2", { dtype: "bf16" }]);
  },
  { only: "native" },
);

Deno.test("a rank on paper is planned as one that is open: by its place alone", () => {
  const config = configOf("shard=2,pipeline=2");
  const sizes = parseMesh("shard=2,pipeline=2");
  const all = planRanks(config, sizes);
  assert.deepEqual(all.map(({ rank }) => rank), [0, 1, 2, 3]);
  for (const { rank, bytes } of all) {
    assert.deepEqual(bytes, planRank(config, placeOf(rank, sizes)));
    const { total, ...kinds } = bytes;
    assert.equal(Object.values(kinds).reduce((sum, one) => sum + one, 0), total);
  }
});

Deno.test("the bubble of a plan is that of its schedule", () => {
  const bubble = (changes: Partial<TrainSettings>) => {
    const config = configOf("pipeline=2", { microBatch: 1, ...changes });
    return planMesh(config, parseMesh("pipeline=2")).bubble;
  };
  // (p - 1) / (v m) with 8 micro-batches, where stages were equal; layers go to stages whole.
  assert.ok(Math.abs(bubble({}) - 1 / 8) < 0.15);
  assert.ok(bubble({ pipelineSchedule: "interleaved" }) < bubble({}));
  assert.equal(planMesh(configOf("data=2"), parseMesh("data=2")).bubble, 0);
});
