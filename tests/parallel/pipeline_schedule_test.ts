import assert from "node:assert/strict";
import {
  forwardPasses,
  messageTag,
  passBefore,
  type PipelineAction,
  pipelineActions,
  type PipelinePass,
  pipelinePasses,
  type PipelineShape,
  rankOfStage,
  warmUpPasses,
} from "../../lib/parallel/pipeline_schedule.ts";

/** Every shape of up to 6 ranks, 4 stages each and 19 micro-batches. */
function* shapes(): Generator<PipelineShape> {
  for (let ranks = 1; ranks <= 6; ranks++) {
    for (let chunks = 1; chunks <= (ranks === 1 ? 1 : 4); chunks++) {
      for (let microBatches = 1; microBatches <= 19; microBatches++) {
        yield { ranks, chunks, microBatches };
      }
    }
  }
}

/** "F0.1": micro-batch 1 forward through stage 0. */
const short = ({ kind, stage, microBatch }: PipelinePass) =>
  `${kind[0]!.toUpperCase()}${stage}.${microBatch}`;

Deno.test("1F1B is the paper's figure 4 for four ranks and eight micro-batches", () => {
  const numbers = (rank: number) =>
    pipelinePasses(rank, { ranks: 4, chunks: 1, microBatches: 8 })
      .map(({ kind, microBatch }) => `${kind === "forward" ? "" : "b"}${microBatch + 1}`).join(" ");
  assert.equal(numbers(0), "1 2 3 4 b1 5 b2 6 b3 7 b4 8 b5 b6 b7 b8");
  assert.equal(numbers(1), "1 2 3 b1 4 b2 5 b3 6 b4 7 b5 8 b6 b7 b8");
  assert.equal(numbers(3), "1 b1 2 b2 3 b3 4 b4 5 b5 6 b6 7 b7 8 b8");
});

Deno.test("interleaved is the paper's figure 4 for two stages a rank", () => {
  const shape = { ranks: 4, chunks: 2, microBatches: 8 };
  const forwards = pipelinePasses(0, shape).filter(({ kind }) => kind === "forward").map(short);
  assert.deepEqual(forwards, [
    ...["F0.0", "F0.1", "F0.2", "F0.3", "F4.0", "F4.1", "F4.2", "F4.3"],
    ...["F0.4", "F0.5", "F0.6", "F0.7", "F4.4", "F4.5", "F4.6", "F4.7"],
  ]);
  // Rank 0 goes 11 times forward before its first backward, rank 3 five times: Megatron's counts and one.
  for (const [rank, before] of [[0, 11], [1, 9], [2, 7], [3, 5]] as const) {
    const first = pipelinePasses(rank, shape).findIndex(({ kind }) => kind === "backward");
    assert.equal(first, before);
    assert.equal(warmUpPasses(rank, shape), before - 1);
  }
});

Deno.test("every micro-batch goes once through every stage each way, backward in order", () => {
  for (const shape of shapes()) {
    const seen = new Set<string>();
    for (let rank = 0; rank < shape.ranks; rank++) {
      const next = new Map<number, number>();
      for (const pass of pipelinePasses(rank, shape)) {
        assert.equal(rankOfStage(pass.stage, shape), rank);
        if (pass.kind === "backward") {
          assert.ok(seen.has(short({ ...pass, kind: "forward" })), "backward before forward");
          assert.equal(pass.microBatch, next.get(pass.stage) ?? 0, JSON.stringify(shape));
          next.set(pass.stage, pass.microBatch + 1);
        }
        assert.ok(!seen.has(short(pass)));
        seen.add(short(pass));
      }
    }
    assert.equal(seen.size, 2 * shape.ranks * shape.chunks * shape.microBatches);
  }
});

Deno.test("every message that is sent is received, under a tag of its own", () => {
  const describe = (
    from: number,
    to: number,
    { reader }: Extract<PipelineAction, { peer: number }>,
  ) => `${from} to ${to}: ${short(reader)}`;
  for (const shape of shapes()) {
    const [sent, received]: [string[], string[]] = [[], []];
    const tags = new Set<string>();
    for (let rank = 0; rank < shape.ranks; rank++) {
      for (const action of pipelineActions(pipelinePasses(rank, shape), shape)) {
        if (action.kind === "send") {
          assert.notEqual(action.peer, rank);
          sent.push(describe(rank, action.peer, action));
          const tag = `${rank} ${action.peer} ${messageTag(action.reader, shape)}`;
          assert.ok(!tags.has(tag));
          tags.add(tag);
        }
        if (action.kind === "receive") received.push(describe(action.peer, rank, action));
      }
    }
    assert.deepEqual(received.toSorted(), sent.toSorted());
  }
});

Deno.test("a receive begins before the pass that precedes its reader", () => {
  const shape = { ranks: 3, chunks: 1, microBatches: 3 };
  const actions = pipelineActions(pipelinePasses(1, shape), shape);
  const told = actions.map((action) =>
    "reader" in action ? `${action.kind} ${short(action.reader)}` : short(action)
  );
  assert.deepEqual(told, [
    ...["receive F1.0", "receive F1.1", "F1.0", "send F2.0", "receive B1.0", "F1.1", "send F2.1"],
    ...["receive F1.2", "B1.0", "send B0.0", "receive B1.1", "F1.2", "send F2.2"],
    ...["receive B1.2", "B1.1", "send B0.1", "B1.2", "send B0.2"],
  ]);
});

Deno.test("an evaluation goes forward alone, and the same way", () => {
  const shape = { ranks: 2, chunks: 2, microBatches: 3 };
  assert.deepEqual(forwardPasses(1, shape).map(short), [
    ...["F1.0", "F1.1", "F1.2", "F3.0", "F3.1", "F3.2"],
  ]);
  const reader = { kind: "forward", stage: 2, microBatch: 1 } as const;
  assert.deepEqual(passBefore(reader, shape), { ...reader, stage: 1 });
});

Deno.test("a shape that is none is refused", () => {
  for (const shape of [{ ranks: 0, chunks: 1 }, { ranks: 2, chunks: 1.5 }]) {
    assert.throws(() => pipelinePasses(0, { microBatches: 2, ...shape }), /of a pipeline is/);
  }
  const alone = { ranks: 1, chunks: 2, microBatches: 2 };
  assert.throws(() => pipelinePasses(0, alone), /one rank interleaves nothing/);
});
