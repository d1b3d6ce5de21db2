import assert from "node:assert/strict";
import { ConfigError } from "../../lib/base/errors.ts";
import { presetOf } from "../../lib/model/presets.ts";
import {
  balanceStages,
  costOfStage,
  inFlightOfRank,
  partsOfRank,
  type StageCosts,
  stageCosts,
} from "../../lib/parallel/pipeline_stages.ts";

const counts = (layers: number, stages: number, costs: StageCosts) =>
  balanceStages({ layers, stages }, costs).map((stage) => stage.layers);

/** The least possible cost of the most expensive stage, by trying every cut. */
function leastCost(layers: number, stages: number, costs: StageCosts): number {
  const cost = (stage: number, count: number) =>
    costOfStage({
      firstLayer: 0,
      layers: count,
      embedding: stage === 0,
      head: stage === stages - 1,
    }, costs);
  const best = (stage: number, left: number): number => {
    if (stage === stages - 1) return cost(stage, left);
    let least = Infinity;
    for (let count = stage === 0 ? 0 : 1; count <= left; count++) {
      least = Math.min(least, Math.max(cost(stage, count), best(stage + 1, left - count)));
    }
    return least;
  };
  return best(0, layers);
}

Deno.test("stages are cut so that the most expensive one costs the least", () => {
  for (const embedding of [0, 0.4, 2]) {
    for (const head of [0, 0.6, 1, 3.5]) {
      const costs = { layer: 1, embedding, head };
      for (let stages = 1; stages <= 5; stages++) {
        for (let layers = Math.max(1, stages - 2); layers <= 9; layers++) {
          const cut = balanceStages({ layers, stages }, costs);
          const most = Math.max(...cut.map((stage) => costOfStage(stage, costs)));
          assert.equal(
            most,
            leastCost(layers, stages, costs),
            JSON.stringify({ layers, stages, costs }),
          );
        }
      }
    }
  }
});

Deno.test("stages follow each other; the first has the embedding, the last the head", () => {
  const cut = balanceStages({ layers: 5, stages: 3 }, { layer: 1, embedding: 0, head: 0 });
  assert.deepEqual(cut, [
    { firstLayer: 0, layers: 1, embedding: true, head: false },
    { firstLayer: 1, layers: 2, embedding: false, head: false },
    { firstLayer: 3, layers: 2, embedding: false, head: true },
  ]);
  const [whole] = balanceStages({ layers: 5, stages: 1 }, { layer: 1, embedding: 1, head: 1 });
  assert.deepEqual(whole, { firstLayer: 0, layers: 5, embedding: true, head: true });
});

Deno.test("Llama 3 405B has a layer less on the first rank and on the last", () => {
  // 126 layers on 16 ranks: 8 each but for the first and the last (arXiv:2407.21783, section 3.3.2).
  const cut = counts(126, 16, { layer: 1, embedding: 0.9, head: 0.9 });
  assert.deepEqual(cut, [7, ...new Array(14).fill(8), 7]);
});

Deno.test("a large vocabulary takes layers from the last stage, recomputation gives them back", () => {
  const { config } = presetOf("llama-15m");
  const costs = stageCosts(config, { seqLen: 256 });
  const cut = counts(config.numHiddenLayers, 2, costs);
  assert.ok(cut[0]! > cut[1]!, `${cut}`);
  const again = stageCosts(config, { seqLen: 256, recompute: "full" });
  assert.equal(again.layer, (4 / 3) * costs.layer);
  assert.equal(again.head, costs.head);
});

Deno.test("more stages than layers are refused with both numbers", () => {
  const cut = () => balanceStages({ layers: 2, stages: 5 }, { layer: 1, embedding: 0, head: 0 });
  assert.throws(cut, (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /2 layers into 5 stages/);
    return true;
  });
  assert.deepEqual(counts(2, 4, { layer: 1, embedding: 0, head: 0 }), [0, 1, 1, 0]);
});

Deno.test("what is in flight is the most of any step, layers by the stages they belong to", () => {
  const cut = balanceStages({ layers: 5, stages: 4 }, { layer: 1, embedding: 0, head: 0 });
  assert.deepEqual(cut.map(({ layers }) => layers), [1, 1, 1, 2]);
  const pipeline = { ranks: 2, chunks: 2, stages: cut };
  // By hand, rank 0: F0.0 F0.1 F2.0 F2.1 | F0.2 B2.0 F0.3 B2.1 F2.2 B0.0 …: five passes are on their way
  // after each of the forwards from F0.2 on, and all four micro-batches before B0.0. Rank 1:
  // F1.0 F1.1 | F3.0 B3.0 F3.1 B3.1 F1.2 B1.0 …: two of one layer and one of two, and three
  // micro-batches before B1.0.
  const planned = [0, 1].map((rank) => inFlightOfRank(rank, { ...pipeline, microBatches: [4, 1] }));
  assert.deepEqual(planned[0], { layers: 5, heads: 0, batches: 4 });
  assert.deepEqual(planned[1], { layers: 4, heads: 1, batches: 3 });
  assert.deepEqual(
    partsOfRank(1, { ...pipeline, microBatches: [4] }),
    [cut[1], cut[3]],
  );
  const few = inFlightOfRank(0, { ...pipeline, microBatches: [1] });
  assert.deepEqual(few, { layers: 2, heads: 0, batches: 1 });
});
