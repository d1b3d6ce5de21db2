import assert from "node:assert/strict";
import { openBackend } from "../../lib/backend/open.ts";
import { runLocal } from "../../lib/comm/local/run.ts";
import { TrainableModel } from "../../lib/model/training/trainable_model.ts";
import { pipelinePasses } from "../../lib/parallel/pipeline_schedule.ts";
import { type GoldenModel, goldenSource } from "../model/golden_models.ts";
import { onBackends } from "../on_backends.ts";
import { PATIENCE_MS } from "../time_limits.ts";
import { pipelineBytes } from "./pipeline_bytes.ts";
import {
  fiveLayers,
  oddBatches,
  type PipelineInput,
  type PipelineRankResult,
} from "./pipeline_program.ts";

const MODULE = new URL("./pipeline_program.ts", import.meta.url);

function pipelined(ranks: number, input: PipelineInput): Promise<PipelineRankResult[]> {
  return runLocal<PipelineRankResult, PipelineInput>(MODULE, {
    ranks,
    input,
    timeLimitMs: PATIENCE_MS,
  });
}

interface Whole {
  readonly gradients: ReadonlyMap<string, Float32Array>;
  readonly losses: readonly { readonly ce: number; readonly z: number; readonly weight: number }[];
  readonly evaluated: readonly number[];
}

/** The same micro-batches through a whole model, one after the other, by `forwardBackward`. */
async function whole({ backend: name, ...input }: PipelineInput): Promise<Whole> {
  const backend = await openBackend({ backend: name, threads: 1 });
  await backend.ready();
  try {
    const five = input.model.startsWith("five");
    const source = five ? undefined : await goldenSource(input.model as GoldenModel);
    const config = source?.config ?? fiveLayers(input.model === "five tied");
    const { dropout, recompute } = input;
    const options = { maxRows: 24, dropout, recompute };
    const model = new TrainableModel(backend, source ?? { config }, options);
    if (source === undefined) model.initialize(5);
    else await model.load(source);
    const batches = oddBatches(config.vocabSize, input.microBatches);
    let firstRow = 24;
    const losses = batches.map((batch, index) => {
      const state = dropout === undefined ? undefined : { seed: 3, step: 4, firstRow };
      firstRow += batch.tokens.length;
      const accumulate = index > 0;
      return model.forwardBackward(batch, {
        ...{ weightScale: 1 / 50, zLoss: 0.01, accumulate, dropout: state },
      });
    });
    return {
      losses,
      gradients: new Map(model.parameters.map((p) => [p.spec.name, model.gradient(p)])),
      evaluated: batches.map((batch) => model.evaluate(batch, { zLoss: 0 }).ce),
    };
  } finally {
    backend.close();
  }
}

/** Every weight is on one rank, with the bits of one process; a tied one near, and twice the same. */
function assertSame(results: readonly PipelineRankResult[], wanted: Whole, tied: boolean): void {
  const found = new Map<string, Float32Array>();
  for (const { gradients } of results) {
    for (const [name, gradient] of Object.entries(gradients)) {
      assert.ok(!found.has(name), `${name} is on two ranks`);
      found.set(name, gradient);
    }
  }
  const copy = found.get("copy of embedding");
  assert.equal(copy !== undefined, tied && results.length > 1);
  found.delete("copy of embedding");
  assert.deepEqual([...found.keys()].toSorted(), [...wanted.gradients.keys()].toSorted());
  for (const [name, gradient] of found) {
    const expected = wanted.gradients.get(name)!;
    if (copy === undefined || name !== "embedding") {
      assert.deepEqual(gradient, expected, name);
      continue;
    }
    assert.deepEqual(gradient, copy);
    const largest = expected.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
    assert.ok(largest > 0);
    gradient.forEach((g, i) => assert.ok(Math.abs(g - expected[i]!) <= 2e-5 * largest));
  }
  for (const { losses, evaluated } of results) {
    assert.deepEqual(losses, wanted.losses);
    assert.deepEqual(evaluated, wanted.evaluated);
  }
}

const GOLDEN = ["llama_mha", "llama_gqa", "llama_gqa_tied", "llama31", "palm"] as const;

for (const model of GOLDEN) {
  onBackends(`stages of ${model} give the bits of one rank`, async (on) => {
    const input = { backend: on.name, model, chunks: 1, microBatches: 5 } as const;
    const wanted = await whole(input);
    for (const ranks of [1, 2, 3, 4]) {
      assertSame(await pipelined(ranks, input), wanted, model.endsWith("tied") || model === "palm");
    }
  });
}

for (const model of ["five", "five tied"] as const) {
  onBackends(`five layers on any ranks, interleaved or not: ${model}`, async (on) => {
    for (const microBatches of model === "five" ? [1, 7] : [4]) {
      const input = { backend: on.name, model, microBatches } as const;
      const wanted = await whole({ ...input, chunks: 1 });
      for (const [ranks, chunks] of [[2, 1], [2, 2], [2, 3], [3, 1], [3, 2], [4, 1]] as const) {
        const results = await pipelined(ranks, { ...input, chunks });
        assertSame(results, wanted, model === "five tied");
        const layers = results.flatMap((result) => result.layers);
        assert.equal(layers.length, ranks * chunks);
        assert.equal(layers.reduce((sum, own) => sum + own), 5);
      }
    }
  });
}

onBackends("what is dropped and what is computed again are those of one rank", async (on) => {
  for (const recompute of ["none", "selective", "full"] as const) {
    const input = { backend: on.name, model: "five", microBatches: 4, dropout: 0.2 } as const;
    const wanted = await whole({ ...input, recompute, chunks: 1 });
    assertSame(await pipelined(2, { ...input, recompute, chunks: 2 }), wanted, false);
  }
}, { quickest: true });

onBackends("memory, messages and bytes of every rank are those that were planned", async (on) => {
  for (const [ranks, chunks, microBatches] of [[2, 1, 6], [3, 1, 6], [2, 2, 5]] as const) {
    const input = { backend: on.name, model: "five", chunks, microBatches } as const;
    const results = await pipelined(ranks, input);
    const shape = { ranks, chunks, microBatches };
    const batches = oddBatches(71, microBatches);
    results.forEach(({ bytes, sent }, rank) => {
      assert.equal(bytes.taken, bytes.planned);
      const passes = pipelinePasses(rank, shape);
      const messageBytes = (index: number) => 4 * batches[index]!.tokens.length * 32;
      assert.equal(sent.bytes, pipelineBytes(passes, { ...shape, messageBytes }));
      const borders = 2 * chunks - Number(rank === 0) - Number(rank === ranks - 1);
      assert.equal(sent.messages, borders * microBatches);
    });
  }
}, { quickest: true });

Deno.test("the first rank keeps more micro-batches than the last, and its memory shows it", async () => {
  const input = { backend: "wasm", model: "five", chunks: 1, microBatches: 8 } as const;
  const [few, many] = [
    await pipelined(2, { ...input, microBatches: 2 }),
    await pipelined(2, input),
  ];
  // 1F1B: no more of them with eight micro-batches than with two.
  assert.deepEqual(many.map(({ bytes }) => bytes), few.map(({ bytes }) => bytes));
});

Deno.test("the time of a step is told: computing, waiting, and what of it is bubble", async () => {
  const input = { backend: "wasm", model: "five", chunks: 2, microBatches: 8 } as const;
  const results = await pipelined(2, input);
  for (const { times, report } of results) {
    const { steps, totalMs, forwardMs, backwardMs, waitedMs, microBatches } = times;
    assert.deepEqual([steps, microBatches, forwardMs.length], [2, 16, 2]);
    const computedMs = [...forwardMs, ...backwardMs].reduce((sum, ms) => sum + ms);
    assert.ok(waitedMs > 0 && [...forwardMs, ...backwardMs].every((ms) => ms > 0));
    assert.ok(computedMs + waitedMs <= totalMs);
    assert.deepEqual(report, results[0]!.report);
    assert.equal(report.formula, 1 / 16);
    assert.equal(report.stageMs.length, 4);
    // Stages that differ wait for each other besides.
    assert.ok(report.bubble >= report.formula, `${report.bubble}`);
    assert.equal(report.exposed, report.waited - report.bubble);
  }
  const waited = results.reduce(
    (sum, { times: { waitedMs, forwardMs, backwardMs } }) =>
      sum + waitedMs / [...forwardMs, ...backwardMs].reduce((all, ms) => all + ms) / 2,
    0,
  );
  assert.ok(Math.abs(results[0]!.report.waited / waited - 1) < 1e-9);
});
