/**
 * What of a model one rank has: the layers of its stage of a pipeline, and of every matrix the slice
 * that tensor parallelism gives it.
 *
 * The slices are Megatron's (Shoeybi et al. 2019, arXiv:1909.08053, section 3): queries, keys, values,
 * gate and up are cut by their outputs, whole heads at a time; attention's output and down by their
 * inputs; embedding and head by the vocabulary, whose slices may differ by a row. Where there are fewer
 * key and value heads than ranks, several ranks have the same one (as Pope et al. 2022,
 * arXiv:2211.05102, section 3.3); norms are whole everywhere.
 *
 * @module
 */

import { ConfigError } from "../../base/errors.ts";
import type { Communicator } from "../../comm/communicator.ts";
import type { DeviceRanks } from "../../comm/device/ranks.ts";
import { evenParts } from "../../comm/parts.ts";
import type { ModelConfig } from "../config.ts";
import { type WeightSpec, weightSpecs } from "../weights.ts";

/** A stage of a pipeline: layers that follow one another, and what stands before and behind them. */
export interface StageParts {
  /** The first layer of the whole model that it has. */
  readonly firstLayer: number;
  /** How many it has. */
  readonly layers: number;
  /** Whether it turns tokens into hidden states. */
  readonly embedding: boolean;
  /** Whether it has final norm, head and loss; where the head is tied, a copy of the embedding too. */
  readonly head: boolean;
}

/** What a rank has, as far as memory can be planned by it. */
export interface PlannedParts {
  /** The place among the ranks that share every matrix; absent or of size 1 for whole ones. */
  readonly tensor?: Pick<Communicator, "rank" | "size"> | undefined;
  /** The stages, first to last: several where a pipeline is interleaved; absent for the whole model. */
  readonly stages?: readonly StageParts[] | undefined;
  /** Whether the ranks that share every matrix have a GPU each, and these are connected. */
  readonly connected?: boolean | undefined;
}

/** What a rank has, and whom it computes the rest with. */
export interface ModelParts extends PlannedParts {
  /** The ranks that share every matrix: axis `tensor` of a mesh. */
  readonly tensor?: Communicator | undefined;
  /** Their GPUs, where they are connected. */
  readonly gpus?: DeviceRanks | undefined;
}

/** Neighbouring rows or columns of a matrix. */
export interface WeightSlice {
  /** The axis that is cut: 0 rows (outputs), 1 columns (inputs). */
  readonly axis: 0 | 1;
  /** The first that is here. */
  readonly first: number;
  /** How many are here. */
  readonly extent: number;
}

/** A weight, or a slice of one, that a rank has. */
export interface HeldWeight {
  /** Its row of the name table, with the whole shape. */
  readonly spec: WeightSpec;
  /** Its place among all weights of the whole model. */
  readonly index: number;
  /** What of it is here; absent for all of it. */
  readonly slice?: WeightSlice | undefined;
  /**
   * Which of several equal copies over tensor ranks and stages it is: copy 0 is the one that is counted
   * in norms and written to checkpoints.
   */
  readonly copy: number;
}

const WHOLE = { rank: 0, size: 1 } as const;

/** How many ranks have the same key and value heads: 1 unless there are fewer of these than ranks. */
export function keyValueCopies(config: ModelConfig, { tensor = WHOLE }: PlannedParts): number {
  return Math.max(1, tensor.size / config.numKeyValueHeads);
}

/**
 * The sizes of what a rank has: its layers, heads, feed-forward columns and rows of the vocabulary.
 *
 * @throws {ConfigError} Where the tensor ranks do not divide the heads or the feed-forward layer.
 */
export function partConfig(config: ModelConfig, parts: PlannedParts): ModelConfig {
  const { tensor = WHOLE } = parts;
  checkTensor(config, tensor.size);
  const share = (count: number) => count / tensor.size;
  const { start, end } = evenParts(config.vocabSize, tensor.size)[tensor.rank]!;
  return {
    ...config,
    numHiddenLayers: heldLayers(config, parts).length,
    numAttentionHeads: share(config.numAttentionHeads),
    numKeyValueHeads: Math.max(1, share(config.numKeyValueHeads)),
    intermediateSize: share(config.intermediateSize),
    vocabSize: end - start,
  };
}

function checkTensor(config: ModelConfig, size: number): void {
  const { numAttentionHeads, numKeyValueHeads: K, intermediateSize, vocabSize } = config;
  const refuse = (what: string) => {
    throw new ConfigError(`Cannot cut a model over ${size} tensor ranks: it has ${what}`);
  };
  if (numAttentionHeads % size !== 0) refuse(`${numAttentionHeads} heads, a multiple was wanted`);
  if (K % size !== 0 && size % K !== 0) {
    refuse(`${K} key and value heads, a multiple or a divisor was wanted`);
  }
  if (intermediateSize % size !== 0) {
    refuse(`${intermediateSize} columns in the feed-forward layer, a multiple was wanted`);
  }
  if (vocabSize < size) refuse(`${vocabSize} tokens, at least as many were wanted`);
}

/** Lists what a rank has of the weights, in the order of the name table. */
export function heldWeights(config: ModelConfig, parts: PlannedParts = {}): HeldWeight[] {
  const stages = stagesOf(config, parts);
  const hasEmbedding = stages.some(({ embedding }) => embedding);
  const held: HeldWeight[] = [];
  for (const [index, spec] of weightSpecs(config).entries()) {
    if (!stages.some((stage) => isOfStage(spec, config, stage))) continue;
    const first = hasEmbedding || spec.role !== "embedding";
    held.push({ spec, index, ...sliceOf(spec, config, parts, first ? 0 : 1) });
  }
  return held;
}

/** The stages of a rank: one that is the whole model, where parts name none. */
export function stagesOf(
  config: ModelConfig,
  { stages }: Pick<PlannedParts, "stages">,
): readonly StageParts[] {
  const layers = config.numHiddenLayers;
  return stages ?? [{ firstLayer: 0, layers, embedding: true, head: true }];
}

/** The layers of a rank, by their places in the whole model. */
export function heldLayers(config: ModelConfig, parts: Pick<PlannedParts, "stages">): number[] {
  return stagesOf(config, parts).flatMap(({ firstLayer, layers }) =>
    Array.from({ length: layers }, (_, index) => firstLayer + index)
  );
}

function isOfStage(spec: WeightSpec, config: ModelConfig, stage: StageParts): boolean {
  const { firstLayer, layers, embedding, head } = stage;
  if (spec.layer !== undefined) {
    return spec.layer >= firstLayer && spec.layer < firstLayer + layers;
  }
  if (spec.role === "embedding") return embedding || (head && config.tieWordEmbeddings);
  return head;
}

/** The slice of a weight, and which copy it is; `stageCopy` counts before those over tensor ranks. */
function sliceOf(
  spec: WeightSpec,
  config: ModelConfig,
  { tensor = WHOLE }: PlannedParts,
  stageCopy: number,
): Pick<HeldWeight, "slice" | "copy"> {
  const { rank, size } = tensor;
  const copied = (copies: number, copy: number) => stageCopy * copies + copy;
  if (size === 1) return { copy: stageCopy };
  if (spec.split === undefined) return { copy: copied(size, rank) };
  const axis = spec.split;
  const isKeyOrValue = spec.role === "attention.k" || spec.role === "attention.v";
  const copies = isKeyOrValue ? keyValueCopies(config, { tensor }) : 1;
  const { start, end } = evenParts(spec.shape[axis]!, size / copies)[Math.floor(rank / copies)]!;
  return {
    slice: { axis, first: start, extent: end - start },
    copy: copied(copies, rank % copies),
  };
}

/** The shape of what is here. */
export function heldShape({ spec, slice }: Pick<HeldWeight, "spec" | "slice">): readonly number[] {
  if (slice === undefined) return spec.shape;
  return spec.shape.map((extent, axis) => axis === slice.axis ? slice.extent : extent);
}

/** Elements of a weight that this rank holds: all, or those of its slice. */
export function heldElements(held: Pick<HeldWeight, "spec" | "slice">): number {
  return heldShape(held).reduce((product, extent) => product * extent, 1);
}

/** Elements that are neighbours in the whole weight and in what is here. */
export interface SliceRun {
  /** Place of the first in the whole weight. */
  readonly whole: number;
  /** Place of the first in what is here. */
  readonly held: number;
  /** How many. */
  readonly count: number;
}

/** Goes through what is here in runs of neighbours: one where rows are cut, one per row for columns. */
export function* sliceRuns(held: Pick<HeldWeight, "spec" | "slice">): Generator<SliceRun> {
  const { spec: { shape }, slice } = held;
  const columns = shape[1] ?? 1;
  if (slice === undefined || slice.axis === 0) {
    yield { whole: (slice?.first ?? 0) * columns, held: 0, count: heldElements(held) };
    return;
  }
  const { first, extent } = slice;
  for (let row = 0; row < shape[0]!; row++) {
    yield { whole: row * columns + first, held: row * extent, count: extent };
  }
}
