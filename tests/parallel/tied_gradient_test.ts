import assert from "node:assert/strict";
import type { ModelConfig } from "../../lib/model/config.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { onBackends } from "../on_backends.ts";
import { BATCHES, type GivenBatch, SHORT_ADAMW } from "../train/optimizer_runs.ts";
import { onReplicas } from "../train/replica_program.ts";

/** A vocabulary of which the batches use a quarter. */
const MODEL: ModelConfig = {
  ...presetOf("debug").config,
  ...{ vocabSize: 1024, tieWordEmbeddings: true },
};

/** The batches with no target that counts in the last sequence, which is a rank's last micro-batch. */
const SILENT: readonly GivenBatch[] = BATCHES.map(({ input_ids, targets }) => ({
  input_ids,
  targets: targets.map((row, b) => row.map((target) => b === 3 ? -1 : target)),
}));

onBackends(
  "a tied embedding's gradient that travels early is the one that travels late",
  async (on) => {
    for (const batches of [BATCHES, SILENT]) {
      for (const microBatch of [1, 2]) {
        const common = { backend: on.name, model: MODEL, batches };
        const settings = { ...SHORT_ADAMW, microBatch, dropout: 0.1 };
        const [early, late] = await onReplicas(2, [
          { ...common, settings, mesh: "data=2" },
          { ...common, settings, mesh: "shard=2" },
        ]);
        const { steps, weights, moments } = late![0]!;
        for (const rank of early!) {
          assert.deepEqual(rank.steps, steps);
          assert.deepEqual(rank.weights, weights);
          assert.deepEqual(rank.moments, moments);
        }
      }
    }
  },
  { quickest: true },
);

onBackends("but for the tokens' rows it is sent once", async (on) => {
  const settings = { ...SHORT_ADAMW, microBatch: 2 };
  const common = { backend: on.name, batches: BATCHES, settings, mesh: "data=2" };
  const [tied, untied] = await onReplicas(2, [
    { ...common, model: MODEL },
    { ...common, model: { ...MODEL, tieWordEmbeddings: false } },
  ]);
  const { vocabSize, hiddenSize } = MODEL;
  const { allReduce: less = 0, allGather: ids } = tied![0]!.sent.data;
  const { allReduce: more = 0 } = untied![0]!.sent.data;
  // An all-reduce among two sends each element once; of 128 tokens at most 128 rows are sent again.
  const again = less - (more - 4 * vocabSize * hiddenSize);
  assert.ok(again > 0 && again <= 4 * 128 * hiddenSize, `${again} bytes`);
  assert.equal(ids, 4 * 64);
}, { quickest: true });
