/**
 * What a rank has of a run's weights and moments, as checkpoints see it: tensor by tensor, or slice by
 * slice, whoever of the shard axis owns which elements.
 *
 * @module
 */

import type { Parameter, Trainable } from "../model/training/trainable.ts";
import type { Shards } from "../parallel/zero.ts";
import type { Moment, Optimizer } from "./optimizer.ts";

/**
 * Weights and moments of a rank. All ranks of the shard axis have the same parameters and read them
 * together, one after the other in one order: where they have shared out who owns what, reading is a
 * collective.
 */
export interface HeldState {
  /** What there is, each with its slice. */
  readonly parameters: readonly Parameter[];
  /** Reads a weight [count], by its place in `parameters`. */
  weight(index: number): Float32Array<ArrayBuffer>;
  /** Reads a moment [count]. */
  moment(which: Moment, index: number): Float32Array<ArrayBuffer>;
  /** Writes a weight [count], and its copies. */
  setWeight(index: number, values: Float32Array<ArrayBuffer>): void;
  /** Writes a moment [count]. */
  setMoment(which: Moment, index: number, values: Float32Array<ArrayBuffer>): void;
}

/** The state of a model and its optimizer, which have the same parameters. */
export function heldState(
  model: Pick<Trainable, "parameters" | "weight" | "setWeight">,
  { optimizer, shards }: {
    readonly optimizer: Pick<Optimizer, "moment" | "setMoment">;
    /** What this rank owns, where ranks of the shard axis have shared out weights. */
    readonly shards?: Shards | undefined;
  },
): HeldState {
  const { parameters } = model;
  return {
    parameters,
    weight: (index) => shards?.weights.read(index) ?? model.weight(parameters[index]!),
    setWeight: (index, values) => model.setWeight(parameters[index]!, values),
    moment: (which, index) => optimizer.moment(which, index),
    setMoment: (which, index, values) => optimizer.setMoment(which, index, values),
  };
}
