import { ok, throws } from "node:assert/strict";
import { RandomStream } from "../../../lib/base/random.ts";
import { checkConfig, type ModelConfig } from "../../../lib/model/config.ts";
import type { TrainBatch, TrainingOptions } from "../../../lib/model/training/trainable.ts";
import { TrainableModel } from "../../../lib/model/training/trainable_model.ts";
import { onBackends } from "../../on_backends.ts";
import { LOSS_TOLERANCE } from "../golden_models.ts";
import { GRADIENT_TOLERANCE } from "./golden_training.ts";
import { centralDifference, referenceLoss, type ReferenceOptions } from "./reference_loss.ts";

const LLAMA: ModelConfig = {
  architecture: "llama",
  vocabSize: 13,
  hiddenSize: 10,
  intermediateSize: 7,
  numHiddenLayers: 2,
  numAttentionHeads: 3,
  numKeyValueHeads: 1,
  headDim: 6,
  maxPositionEmbeddings: 64,
  norm: "rms",
  normEps: 1e-5,
  ropeTheta: 10000,
  tieWordEmbeddings: false,
  parallelBlock: false,
  logitsScale: 1,
  zLoss: 0,
  eosTokenIds: [],
};

const PALM: ModelConfig = {
  ...LLAMA,
  architecture: "palm",
  norm: "layer",
  parallelBlock: true,
  tieWordEmbeddings: true,
  logitsScale: 1 / Math.sqrt(10),
};

/** What is drawn for a test: sizes of a batch, documents in it, and what is different. */
interface Case {
  readonly config: ModelConfig;
  readonly sequences: number;
  readonly length: number;
  /** Tokens of a document, or whole sequences. */
  readonly document?: number;
  readonly weighted?: boolean;
  readonly zLoss?: number;
  readonly dropout?: number;
  readonly training?: Partial<TrainingOptions>;
}

const CASES: Readonly<Record<string, Case>> = {
  "three heads of six on one, nothing a multiple of four": {
    config: LLAMA,
    sequences: 2,
    length: 5,
  },
  "one token": { config: LLAMA, sequences: 1, length: 1 },
  "documents of one token": { config: LLAMA, sequences: 2, length: 4, document: 1 },
  "documents of three tokens over rows of seventeen": {
    config: { ...LLAMA, numKeyValueHeads: 3 },
    sequences: 2,
    length: 17,
    document: 3,
    zLoss: 1e-2,
  },
  "heads of two": {
    config: { ...LLAMA, headDim: 2, numAttentionHeads: 6, numKeyValueHeads: 2 },
    sequences: 1,
    length: 9,
  },
  "one layer, one of everything": {
    config: {
      ...LLAMA,
      hiddenSize: 1,
      intermediateSize: 1,
      numAttentionHeads: 1,
      headDim: 2,
      vocabSize: 2,
      numHiddenLayers: 1,
    },
    sequences: 1,
    length: 3,
  },
  "rope scaling and a tied head": {
    config: {
      ...LLAMA,
      tieWordEmbeddings: true,
      ropeTheta: 500,
      ropeScaling: {
        type: "llama3",
        factor: 8,
        lowFreqFactor: 1,
        highFreqFactor: 4,
        originalMaxPositionEmbeddings: 32,
      },
    },
    sequences: 1,
    length: 19,
  },
  "positions stretched by a factor": {
    config: { ...LLAMA, ropeScaling: { type: "linear", factor: 2.5 } },
    sequences: 2,
    length: 11,
  },
  "YaRN": {
    config: {
      ...LLAMA,
      ropeTheta: 20,
      ropeScaling: {
        type: "yarn",
        factor: 4,
        betaFast: 3,
        betaSlow: 1,
        originalMaxPositionEmbeddings: 40,
        attentionFactor: 1.3,
        truncate: true,
      },
    },
    sequences: 1,
    length: 13,
  },
  "LayerNorm in serial blocks, RMSNorm elsewhere": {
    config: { ...LLAMA, norm: "layer", logitsScale: 0.5 },
    sequences: 2,
    length: 6,
  },
  "PaLM with z-loss": { config: PALM, sequences: 2, length: 7, document: 4, zLoss: 1e-2 },
  "PaLM with RMSNorm and a head of its own": {
    config: { ...PALM, norm: "rms", tieWordEmbeddings: false },
    sequences: 1,
    length: 5,
  },
  "weights of targets": { config: LLAMA, sequences: 2, length: 5, weighted: true, zLoss: 1e-2 },
  "dropout": { config: LLAMA, sequences: 2, length: 5, dropout: 0.3 },
  "dropout in a parallel block, all computed again": {
    config: PALM,
    sequences: 2,
    length: 5,
    dropout: 0.5,
    training: { recompute: "full" },
  },
  "dropout, the cheap layers computed again, weights packed": {
    config: LLAMA,
    sequences: 2,
    length: 5,
    dropout: 0.2,
    training: { recompute: "selective", packWeights: true },
  },
};

/** Tokens, targets (every fourth not counted), documents and weights from a stream. */
function drawBatch({ config, sequences, length, document, weighted }: Case): TrainBatch {
  const stream = new RandomStream(7, 1000);
  const rows = sequences * length;
  const draw = (offset: number) =>
    Int32Array.from(
      { length: rows },
      (_, row) => Math.floor(stream.uniform(offset + row) * config.vocabSize),
    );
  const starts = Int32Array.from({ length: rows }, (_, row) => {
    const t = row % length;
    return row - (document === undefined ? t : t % document);
  });
  return {
    sequences,
    length,
    tokens: draw(0),
    targets: draw(1000).map((target, row) => row % 4 === 3 ? -100 : target),
    weights: weighted
      ? Float32Array.from({ length: rows }, (_, row) => Math.fround(stream.uniform(2000 + row)))
      : undefined,
    starts,
    positions: starts.map((start, row) => row - start),
  };
}

/** Loud weights, so that every part of the model matters: as single precision has them. */
function drawWeights(model: TrainableModel): Map<string, Float64Array> {
  const weights = new Map<string, Float64Array>();
  model.parameters.forEach((parameter, index) => {
    const { spec, count } = parameter;
    const values = new Float32Array(count);
    new RandomStream(11, index).fillNormal(values, { deviation: 0.5 });
    if (spec.shape.length === 1) values.forEach((value, i) => values[i] = 1 + value);
    model.setWeight(parameter, values);
    weights.set(spec.name, Float64Array.from(values));
  });
  return weights;
}

/** Elements of a tensor whose gradients are compared: all of a small one, some of a large one. */
function* sampled(count: number): Generator<number> {
  for (let at = 0; at < count; at += Math.max(1, Math.floor(count / 6))) yield at;
}

/** Fails unless sampled gradients are `factor` times the differences of a loss. */
function assertDifferences(
  model: TrainableModel,
  { weights, loss, factor }: {
    readonly weights: ReadonlyMap<string, Float64Array>;
    readonly loss: () => number;
    readonly factor: number;
  },
): void {
  for (const parameter of model.parameters) {
    const values = weights.get(parameter.spec.name)!;
    const gradient = model.gradient(parameter);
    const largest = gradient.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
    for (const at of sampled(parameter.count)) {
      const difference = factor * centralDifference(values, at, loss);
      const error = Math.abs(gradient[at]! - difference);
      ok(
        error <= GRADIENT_TOLERANCE * largest + 1e-7,
        `${parameter.spec.name}[${at}] is ${gradient[at]}, ${difference} wanted (max ${largest})`,
      );
    }
  }
}

for (const [name, given] of Object.entries(CASES)) {
  onBackends(`gradients are the differences of a plain loss: ${name}`, async (on) => {
    using opened = await on.open(2);
    const { zLoss = 0, dropout: probability = 0 } = given;
    const config = checkConfig(given.config, { file: name });
    const batch = drawBatch(given);
    const model = new TrainableModel(opened.backend, { config }, {
      maxRows: batch.tokens.length,
      dropout: probability,
      ...given.training,
    });
    const weights = drawWeights(model);
    const state = { seed: 3, step: 5, firstRow: 2 };
    const options: ReferenceOptions = {
      zLoss,
      ...probability > 0 ? { dropout: { ...state, probability } } : {},
    };
    const loss = () => referenceLoss(config, weights, batch, options);
    const weightScale = 0.25;
    const dropout = probability > 0 ? state : undefined;
    const sums = model.forwardBackward(batch, { weightScale, accumulate: false, zLoss, dropout });
    const wanted = loss();
    const scale = Math.max(1, batch.targets.length);
    ok(Math.abs(sums.ce + sums.z - wanted) <= LOSS_TOLERANCE * scale, `loss ${sums.ce} ${wanted}`);
    assertDifferences(model, { weights, loss, factor: weightScale });
  });
}

for (const config of [LLAMA, PALM]) {
  const name = `weights of either sign over tempered logits go backward: ${config.architecture}`;
  onBackends(name, async (on) => {
    using opened = await on.open(2);
    const drawn = drawBatch({ config, sequences: 2, length: 5 });
    const [zLoss, temperature] = [1e-2, 0.7];
    const model = new TrainableModel(opened.backend, { config }, { maxRows: 10 });
    const weights = drawWeights(model);
    const signed = Float32Array.from({ length: 10 }, (_, row) => (row - 4) / 8);
    const batch = { ...drawn, weights: signed };
    const loss = () => {
      return referenceLoss(config, weights, batch, { zLoss, temperature });
    };
    model.forward(batch);
    const { logProb, logZ } = model.score({ temperature });
    const scored = logProb.reduce((sum, value, row) => {
      return batch.targets[row]! < 0 ? sum : sum + signed[row]! * (zLoss * logZ[row]! ** 2 - value);
    }, 0);
    ok(Math.abs(scored - loss()) <= 10 * LOSS_TOLERANCE, `${scored}, ${loss()} wanted`);
    model.backward({ weights: signed, zLoss, temperature, accumulate: false });
    assertDifferences(model, { weights, loss, factor: 1 });
    throws(() => model.backward({ weights: signed }), /wants a forward of its own/);
  });
}
