/**
 * Puts passes together from a model's planned memory: records of layers, seats before the head, places
 * of batches.
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import { evenParts } from "../../comm/parts.ts";
import type { ModelConfig } from "../config.ts";
import type { TrainingProducts } from "./linear.ts";
import type { RopeLayout } from "../rope.ts";
import { recordsOf } from "./arenas.ts";
import { BatchPlace } from "./batch.ts";
import type { WorkingBuffers } from "./block_run.ts";
import { DeviceEmbedding } from "./device_embedding.ts";
import { type HeadSeat, Lending } from "./flights.ts";
import { TrainingHead, type TrainingHeadBuffers } from "./head.ts";
import { inFlightOf } from "./memory.ts";
import type { TrainedWeights } from "./parameters.ts";
import { keyValueCopies, partConfig, stagesOf } from "./parts.ts";
import { RowExchange } from "./row_exchange.ts";
import { StagePasses } from "./stage_passes.ts";
import type { Parameter, TrainingOptions } from "./trainable.ts";
import { type SharedEmbedding, VocabularyEmbedding } from "./vocabulary_embedding.ts";
import { VocabularyHead } from "./vocabulary_head.ts";
import type { VocabularyHeadBuffers } from "./vocabulary_scores.ts";

/** What passes are opened over. */
export interface PassesSource {
  /** Whose kernels run. */
  readonly backend: Backend;
  /** Sizes and constants. */
  readonly config: ModelConfig;
  /** Which coordinates of a head turn together. */
  readonly ropeLayout: RopeLayout;
  /** Products with weights. */
  readonly products: TrainingProducts;
  /** All parameters, by what they do. */
  readonly weights: TrainedWeights;
  /** All parameters. */
  readonly parameters: readonly Parameter[];
  /** Parameters by units of a pass. */
  readonly units: readonly (readonly number[])[];
  /** The buffers of activations. */
  readonly at: Readonly<Record<string, Address>>;
  /** How memory was planned. */
  readonly options: TrainingOptions;
}

/** Passes through all stages that the options name. */
export function openPasses(source: PassesSource): StagePasses {
  const { backend, config, ropeLayout, products, weights, at, options } = source;
  const { recompute = "none", dropout = 0, parts = {}, maxRows } = options;
  const inFlight = inFlightOf(config, options);
  const counted = <T>(count: number, make: (index: number) => T) =>
    Array.from({ length: count }, (_, index) => make(index));
  const exchange = exchangeOf(source);
  const { tensor } = parts;
  const vocabulary = exchange && evenParts(config.vocabSize, tensor!.size)[tensor!.rank]!;
  const place = (index: number) =>
    new BatchPlace(backend, { config, address: at[`${index}.batch`]!, maxRows, vocabulary });
  const working = at as unknown as WorkingBuffers;
  const shared = { ropeLayout, recompute, products, blocks: weights.blocks, working, exchange };
  const part = partConfig(config, parts);
  return new StagePasses({
    setup: { backend, config: part, ...shared },
    stages: stagesOf(config, parts),
    allLayers: config.numHiddenLayers,
    dropout,
    embedding: weights.embedding,
    sharedEmbedding: exchange && sharedEmbedding(source, exchange),
    units: source.units,
    parameters: source.parameters,
    headIsEmbedding: config.tieWordEmbeddings && weights.head !== undefined,
    records: new Lending(recordsOf(part, { at, count: inFlight.layers }), "layers"),
    seats: new Lending(
      counted(inFlight.heads, (index) => seat(source, { index, exchange })),
      "heads",
    ),
    places: new Lending(counted(inFlight.batches, place), "batches"),
  });
}

/** How rows go between tensor ranks; nothing where the model is whole. */
function exchangeOf({ backend, config, at, options }: PassesSource): RowExchange | undefined {
  const { parts = {}, maxRows, dtype } = options;
  const ranks = parts.tensor;
  if (ranks === undefined || ranks.size === 1) return undefined;
  const copies = keyValueCopies(config, parts);
  const halved = dtype === "bf16";
  const { numKeyValueHeads: K, headDim: E, hiddenSize: width } = partConfig(config, parts);
  return new RowExchange(backend, {
    ...{ ranks, copies, width, maxRows, gpus: parts.gpus, keyValues: 2 * K * E * width },
    halves: halved ? at.halves_TD! : 0,
    gradientHalves: halved ? at.gradientHalves_TD! : 0,
  });
}

function sharedEmbedding(
  { backend, config, weights, at }: PassesSource,
  { ranks, gpus }: RowExchange,
): SharedEmbedding | undefined {
  if (weights.embedding === undefined) return undefined;
  const { vocabSize, hiddenSize: width } = config;
  const buffers = { rows_TD: at.partial_TD!, ids_T: at.sharedIds_T! };
  const table = weights.embedding;
  const shared = { table, vocabSize, width, ...buffers };
  if (gpus === undefined) return new VocabularyEmbedding(backend, { ranks, ...shared });
  const byOwner_TD = at.gathered_TD!;
  return new DeviceEmbedding(backend, { ranks: gpus.ranks, ...shared, byOwner_TD });
}

function seat(
  source: PassesSource,
  { index, exchange }: { readonly index: number; readonly exchange: RowExchange | undefined },
): HeadSeat {
  const { backend, config: whole, products, weights, at, options } = source;
  const hidden_TD = at[`${index}.hidden_TD`]!;
  const shared = {
    config: partConfig(whole, options.parts ?? {}),
    norm: weights.finalNorm!,
    weight: weights.head!,
    products,
    hidden_TD,
    dhidden_TD: at.dhidden_TD!,
  };
  if (exchange === undefined) {
    const buffers = at as unknown as TrainingHeadBuffers;
    return { head: new TrainingHead(backend, { ...shared, buffers }), hidden_TD };
  }
  const head = new VocabularyHead(backend, {
    ...shared,
    exchange,
    buffers: at as unknown as VocabularyHeadBuffers,
    working: at as unknown as WorkingBuffers,
    largestPart: Math.ceil(whole.vocabSize / exchange.ranks.size),
  });
  return { head, hidden_TD };
}
