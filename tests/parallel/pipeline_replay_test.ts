import assert from "node:assert/strict";
import {
  mostInFlight,
  mostMicroBatches,
  pipelineBubble,
  replayPipeline,
} from "../../lib/parallel/pipeline_replay.ts";
import { type PipelinePass, pipelinePasses } from "../../lib/parallel/pipeline_schedule.ts";
import { pipelineBytes } from "./pipeline_bytes.ts";

/** A backward takes twice a forward. */
const even = ({ kind }: PipelinePass) => kind === "forward" ? 1 : 2;

Deno.test("no schedule waits for ever, and the bubble is (p - 1) / (v m)", () => {
  for (let ranks = 1; ranks <= 8; ranks++) {
    for (let chunks = 1; chunks <= (ranks === 1 ? 1 : 5); chunks++) {
      for (let microBatches = 1; microBatches <= 33; microBatches++) {
        const shape = { ranks, chunks, microBatches };
        const { bubble, busy, total } = replayPipeline(shape, { pass: even });
        const formula = pipelineBubble(shape);
        // With fewer micro-batches than ranks the stages of a rank wait for each other as well.
        if (microBatches >= ranks || chunks === 1) {
          assert.ok(Math.abs(bubble - formula) < 1e-9, `${JSON.stringify(shape)}: ${bubble}`);
        } else assert.ok(bubble >= formula);
        for (const time of busy) assert.equal(time, 3 * chunks * microBatches);
        assert.ok(total >= busy[0]!);
      }
    }
  }
});

Deno.test("uneven stages, slow messages and odd times never stop a pipeline", () => {
  let seed = 1;
  const draw = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (let round = 0; round < 300; round++) {
    const ranks = 2 + Math.floor(7 * draw());
    const shape = {
      ranks,
      chunks: 1 + Math.floor(4 * draw()),
      microBatches: 1 + Math.floor(20 * draw()),
    };
    const times = new Map<number, number>();
    const pass = ({ kind, stage }: PipelinePass) => {
      if (!times.has(stage)) times.set(stage, draw());
      return (kind === "forward" ? 1 : 2.5) * times.get(stage)!;
    };
    const { total, busy } = replayPipeline(shape, { pass, message: draw() });
    assert.ok(total > Math.max(...busy));
  }
});

Deno.test("a pass begins after the one that it reads, wherever that was", () => {
  const shape = { ranks: 3, chunks: 2, microBatches: 5 };
  const { passes } = replayPipeline(shape, { pass: even, message: 0.25 });
  const ends = new Map(
    passes.flat().map((pass) => [`${pass.kind} ${pass.stage} ${pass.microBatch}`, pass.end]),
  );
  for (const { kind, stage, microBatch, start } of passes.flat()) {
    const before = kind === "forward" ? stage - 1 : stage + 1;
    const end = ends.get(`${kind} ${before} ${microBatch}`);
    if (end !== undefined) assert.ok(start >= end + 0.25);
  }
});

Deno.test("1F1B keeps p - r micro-batches on rank r, whatever their number", () => {
  for (const microBatches of [4, 9, 100]) {
    for (let rank = 0; rank < 4; rank++) {
      const passes = pipelinePasses(rank, { ranks: 4, chunks: 1, microBatches });
      assert.equal(mostInFlight(passes, () => 1), 4 - rank);
      assert.equal(mostMicroBatches(passes), 4 - rank);
      // A stage of three layers, and one that is not counted.
      assert.equal(mostInFlight(passes, () => 3), 3 * (4 - rank));
    }
  }
});

Deno.test("interleaving keeps 1 + (p - 1) / (p v) of 1F1B's activations on the first rank", () => {
  // Narayanan et al. 2022 (arXiv:2205.05198), section 4.2.3: L (1 + (p - 1) / (p v)) layers' worth.
  for (const [ranks, chunks] of [[4, 2], [8, 4], [3, 5]] as const) {
    const passes = pipelinePasses(0, { ranks, chunks, microBatches: 4 * ranks });
    const expected = ranks * chunks * (1 + (ranks - 1) / (ranks * chunks));
    assert.equal(mostInFlight(passes, () => 1), expected);
  }
});

Deno.test("bytes are a message for every border and micro-batch, each way", () => {
  const [p, v, m, bytes] = [4, 3, 10, 1000];
  const shape = { ranks: p, chunks: v, microBatches: m };
  const messageBytes = () => bytes;
  const sent = [0, 1, 2, 3].map((rank) =>
    pipelineBytes(pipelinePasses(rank, shape), { ...shape, messageBytes })
  );
  assert.equal(sent.reduce((sum, own) => sum + own), 2 * (p * v - 1) * m * bytes);
  assert.deepEqual(
    sent,
    [0, 1, 2, 3].map((rank) => {
      const [last, first] = [Number(rank === p - 1), Number(rank === 0)];
      return (2 * v - last - first) * m * bytes;
    }),
  );
});
