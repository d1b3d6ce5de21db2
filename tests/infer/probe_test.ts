import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { ConfigError } from "../../lib/base/errors.ts";
import { probe, type ProbeOptions, type ProbeResult } from "../../lib/infer/probe.ts";
import type { ProbeBatch } from "../../lib/infer/probe_batch.ts";
import type { ModelConfig } from "../../lib/model/config.ts";
import { Decoder } from "../../lib/model/decoder.ts";
import type { DecoderSource } from "../../lib/model/load_weights.ts";
import {
  assertNear,
  GOLDEN_MODELS,
  goldenBatch,
  goldenExpected,
  goldenOutput,
  goldenSource,
  LOGIT_TOLERANCE,
  LOSS_TOLERANCE,
} from "../model/golden_models.ts";
import { onBackends } from "../on_backends.ts";

interface Probed extends ProbeResult {
  readonly logits: Float32Array;
}

async function run(
  backend: Backend,
  source: DecoderSource,
  options: ProbeOptions & { readonly batch: ProbeBatch },
): Promise<Probed> {
  const decoder = await Decoder.load(backend, source, { activations: "f32" });
  const { batch } = options;
  const tokens = batch.inputIds.length * batch.inputIds[0]!.length;
  const logits = new Float32Array(tokens * source.config.vocabSize);
  let filled = 0;
  const chunks = probe(decoder, batch, options);
  for (;;) {
    const next = await chunks.next();
    if (next.done) {
      strictEqual(filled, logits.length);
      decoder.close();
      return { ...next.value, logits };
    }
    logits.set(next.value, filled);
    filled += next.value.length;
  }
}

function batchOf(name: typeof GOLDEN_MODELS[number]): ProbeBatch {
  const { input_ids, targets } = goldenBatch(name);
  return { inputIds: input_ids, targets };
}

for (const name of GOLDEN_MODELS) {
  onBackends(`${name}: logits, losses and z-loss match the reference`, async (on) => {
    using opened = await on.open(2);
    const expected = goldenExpected(name);
    const source = await goldenSource(name);
    const result = await run(opened.backend, source, { batch: batchOf(name), zLoss: 1e-4 });
    assertNear(result.logits, await goldenOutput(name, "logits_f64"), LOGIT_TOLERANCE);
    strictEqual(result.count, expected.loss.n_counted);
    assertNear(
      [result.ce!, result.z!, result.loss!],
      [expected.z_loss.ce_f64, expected.z_loss.z_f64, expected.z_loss.total_f64],
      LOSS_TOLERANCE,
    );
    assertNear(
      result.logProb.map((value) => -value),
      expected.loss.per_token_f64.flat(),
      LOGIT_TOLERANCE,
    );
  }, { gpu: true });

  onBackends(`${name}: documents of a row do not see each other`, async (on) => {
    using opened = await on.open(2);
    const { input_ids, docmask } = goldenBatch(name);
    const result = await run(opened.backend, await goldenSource(name), {
      batch: { inputIds: input_ids, targets: docmask.targets, documentIds: docmask.doc_ids },
      documentMask: true,
      zLoss: 0,
    });
    const expected = goldenExpected(name).docmask;
    assertNear(result.logits, await goldenOutput(name, "docmask_logits"), LOGIT_TOLERANCE);
    assertNear([result.loss!], [expected.ce_f64], LOSS_TOLERANCE);
    strictEqual(result.count, expected.n_counted);
  });
}

onBackends("bfloat16 weights give the logits of the rounded weights", async (on) => {
  using opened = await on.open(2);
  const source = await goldenSource("llama_gqa_tied", "model_bf16.safetensors");
  const result = await run(opened.backend, source, { batch: batchOf("llama_gqa_tied") });
  const wanted = await goldenOutput("llama_gqa_tied", "logits_bf16_weights");
  assertNear(result.logits, wanted, LOGIT_TOLERANCE);
  const { ce_f64 } = goldenExpected("llama_gqa_tied").bf16_weights;
  assertNear([result.ce!], [ce_f64], LOSS_TOLERANCE);
});

onBackends("Llama 3.1's scaled rotary positions hold up to position 9917", async (on) => {
  using opened = await on.open(2);
  const positionIds = goldenBatch("llama31").strided_position_ids!;
  strictEqual(Math.max(...positionIds.flat()), 9917);
  const batch = { ...batchOf("llama31"), positionIds };
  const result = await run(opened.backend, await goldenSource("llama31"), { batch });
  assertNear(result.logits, await goldenOutput("llama31", "strided_logits"), LOGIT_TOLERANCE);
  const { ce_f64 } = goldenExpected("llama31").strided_positions;
  assertNear([result.ce!], [ce_f64], LOSS_TOLERANCE);
});

interface LogitsProbe {
  readonly l2: number;
  readonly sum: number;
  readonly sin: number;
  readonly head: readonly number[];
}

/** Checks logits against l2, sum, sum of x_i sin(i + 1) and the first four. */
function assertProbe(logits: Float32Array, wanted: LogitsProbe): void {
  let [squares, sum, sin] = [0, 0, 0];
  logits.forEach((x, i) => {
    squares += x * x;
    sum += x;
    sin += x * Math.sin(i + 1);
  });
  const l2 = Math.sqrt(squares);
  ok(Math.abs(l2 / wanted.l2 - 1) <= 1e-5, `l2 ${l2} instead of ${wanted.l2}`);
  assertNear([sum / wanted.l2, sin / wanted.l2], [
    wanted.sum / wanted.l2,
    wanted.sin / wanted.l2,
  ], 5e-5);
  assertNear(logits.subarray(0, 4), wanted.head, LOGIT_TOLERANCE);
}

for (
  const [name, variant] of [["palm", "big_eps"], ["llama_mha", "llama1_eps"]] as const
) {
  onBackends(`${name}: the norm's eps is the config's (variant ${variant})`, async (on) => {
    using opened = await on.open();
    const expected = goldenExpected(name).variants[variant];
    const source = await goldenSource(name);
    const config: ModelConfig = { ...source.config, normEps: expected.change.norm_eps };
    const result = await run(opened.backend, { ...source, config }, { batch: batchOf(name) });
    assertProbe(result.logits, expected.logits_probe);
    assertNear([result.ce!], [expected.ce_f64], LOSS_TOLERANCE);
    const { vocabSize } = config;
    const length = goldenBatch(name).input_ids[0]!.length;
    const last = result.logits.subarray((length - 1) * vocabSize, length * vocabSize);
    assertNear(last, expected.last_logits_row0, LOGIT_TOLERANCE);
  });
}

onBackends("the z-loss is the config's unless one is given", async (on) => {
  using opened = await on.open();
  const source = await goldenSource("palm");
  const batch = batchOf("palm");
  const own = await run(opened.backend, source, { batch });
  assertNear([own.z!], [goldenExpected("palm").z_loss.z_f64], LOSS_TOLERANCE);
  strictEqual((await run(opened.backend, source, { batch, zLoss: 0 })).z, 0);
});

onBackends("small batches of rows give the same bits as one large one", async (on) => {
  using opened = await on.open(2);
  const source = await goldenSource("llama_gqa");
  const { input_ids, docmask } = goldenBatch("llama_gqa");
  const batch = { inputIds: input_ids, documentIds: docmask.doc_ids };
  for (const documentMask of [false, true]) {
    const whole = await run(opened.backend, source, { batch, documentMask });
    for (const rows of [1, 7, 33]) {
      const cut = await run(opened.backend, source, { batch, documentMask, rows });
      deepStrictEqual(cut.logits, whole.logits, `${rows} rows`);
    }
  }
});

onBackends("a batch without targets that count has logits and no loss", async (on) => {
  using opened = await on.open();
  const { input_ids } = goldenBatch("llama_mha");
  const result = await run(opened.backend, await goldenSource("llama_mha"), {
    batch: { inputIds: input_ids },
  });
  deepStrictEqual([result.loss, result.ce, result.z, result.count], [
    undefined,
    undefined,
    undefined,
    0,
  ]);
});

onBackends(
  "a document mask without documents, or with one that comes back, is refused",
  async (on) => {
    using opened = await on.open();
    const source = await goldenSource("llama_mha");
    const inputIds = [[1, 2, 3]];
    const refused = async (batch: ProbeBatch, message: RegExp) => {
      await rejects(run(opened.backend, source, { batch, documentMask: true }), (error: Error) => {
        return error instanceof ConfigError && message.test(error.message);
      });
    };
    await refused({ inputIds }, /no "document_ids"/);
    await refused(
      { inputIds, documentIds: [[0, 1, 0]] },
      /document 0 of row 0 comes back at token 2/,
    );
  },
);

/** The last row's first logits of llama_gqa under other positions, by transformers 5.18 in float64. */
const STRETCHED: Readonly<Record<string, readonly [Partial<ModelConfig>, readonly number[]]>> = {
  "YaRN": [{
    ropeScaling: {
      type: "yarn",
      factor: 4,
      betaFast: 32,
      betaSlow: 1,
      originalMaxPositionEmbeddings: 16,
      attentionFactor: 1 + 0.1 * Math.log(4),
      truncate: true,
    },
  }, [0.1266139, -0.5726138, -0.09809206, 2.047599, -1.30576, 0.6949833]],
  "YaRN with bounds and an attention factor": [{
    ropeScaling: {
      type: "yarn",
      factor: 4,
      betaFast: 8,
      betaSlow: 2,
      originalMaxPositionEmbeddings: 16,
      attentionFactor: 0.7,
      truncate: false,
    },
  }, [-0.4526864, 0.6450908, 0.1215006, 1.344168, -2.512632, -0.89026]],
  "a base that has grown": [{
    ropeScaling: { type: "dynamic", factor: 4, originalMaxPositionEmbeddings: 8 },
  }, [0.05531361, -0.3394993, -0.02938353, 2.019274, -1.827788, 0.3824329]],
  "a base that has not grown yet": [{
    ropeScaling: { type: "dynamic", factor: 4, originalMaxPositionEmbeddings: 64 },
  }, [-0.2668804, -0.5563078, -0.9232933, 2.178549, -1.004755, -0.06349445]],
};
for (const [name, [change, wanted]] of Object.entries(STRETCHED)) {
  onBackends(`logits by ${name} are those of transformers`, async (on) => {
    using opened = await on.open(2);
    const source = await goldenSource("llama_gqa");
    const config = { ...source.config, ...change };
    const batch = batchOf("llama_gqa");
    const { logits } = await run(opened.backend, { ...source, config }, { batch });
    const last = logits.subarray(logits.length - config.vocabSize);
    wanted.forEach((value, i) => {
      // Its frequencies are in single precision.
      ok(Math.abs(last[i]! - value) <= 2e-5, `logit ${i} is ${last[i]}, not ${value}`);
    });
  });
}
