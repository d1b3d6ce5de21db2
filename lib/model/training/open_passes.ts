/**
 * Puts passes together from a model's planned memory: records of layers, seats before the head, places
 * of batches.
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import type { ModelConfig } from "../config.ts";
import type { TrainingProducts } from "../linear.ts";
import type { RopeLayout } from "../rope.ts";
import { recordsOf } from "./arenas.ts";
import { BatchPlace } from "./batch.ts";
import type { WorkingBuffers } from "./block.ts";
import { type HeadSeat, Lending } from "./flights.ts";
import { TrainingHead, type TrainingHeadBuffers } from "./head.ts";
import { inFlightOf } from "./memory.ts";
import type { TrainedWeights } from "./parameters.ts";
import { stagesOf } from "./parts.ts";
import { StagePasses } from "./stage_passes.ts";
import type { Parameter, TrainingOptions } from "./trainable.ts";

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
  const place = (index: number) =>
    new BatchPlace(backend, { config, address: at[`${index}.batch`]!, maxRows });
  const working = at as unknown as WorkingBuffers;
  return new StagePasses({
    setup: { backend, config, ropeLayout, recompute, products, blocks: weights.blocks, working },
    stages: stagesOf(config, parts),
    allLayers: config.numHiddenLayers,
    dropout,
    embedding: weights.embedding,
    units: source.units,
    parameters: source.parameters,
    headIsEmbedding: config.tieWordEmbeddings && weights.head !== undefined,
    records: new Lending(recordsOf(config, { at, count: inFlight.layers }), "layers"),
    seats: new Lending(counted(inFlight.heads, (index) => seat(source, index)), "heads"),
    places: new Lending(counted(inFlight.batches, place), "batches"),
  });
}

function seat(source: PassesSource, index: number): HeadSeat {
  const { backend, config, products, weights, at } = source;
  const hidden_TD = at[`${index}.hidden_TD`]!;
  const head = new TrainingHead(backend, {
    config,
    norm: weights.finalNorm!,
    weight: weights.head!,
    products,
    buffers: at as unknown as TrainingHeadBuffers,
    hidden_TD,
    dhidden_TD: at.dhidden_TD!,
  });
  return { head, hidden_TD };
}
