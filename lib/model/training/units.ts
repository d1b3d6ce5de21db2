/**
 * The units of a model that trains, and how a pass through them is told: whoever shares a model out
 * over ranks brings weights before a unit reads them, and takes gradients once a unit has made them.
 *
 * Units are the embedding, every block, and the final norm with the head, in the order of the forward
 * pass. A tied embedding belongs to the first of them, whose gradient is complete last; the copy that the
 * last stage of a pipeline has belongs to the head.
 *
 * @module
 */

import type { WeightSpec } from "../weights.ts";

/** Which way a batch goes. */
export type Pass = "forward" | "backward";

/** Who is told how passes go through a model. */
export interface PassObserver {
  /** A unit's weights are about to be read, or its gradients to be made. */
  enter?(unit: number, pass: Pass): void;
  /** A unit is done: its weights were read; in a backward pass its gradients of this batch are complete. */
  leave?(unit: number, pass: Pass): void;
  /** Elements of a parameter's master were written from outside, by an initialization or a checkpoint. */
  written?(parameter: number, range: { readonly first: number; readonly count: number }): void;
}

/**
 * The parameters of every unit, by their places in the list: embedding, one unit for each layer that is
 * there, final norm and head. The first or the last is empty where a stage of a pipeline has none.
 */
export function unitsOf(
  parameters: readonly { readonly spec: Pick<WeightSpec, "role" | "layer"> }[],
  stages: readonly { readonly embedding: boolean }[] = [{ embedding: true }],
): readonly (readonly number[])[] {
  const hasEmbedding = stages.some((stage) => stage.embedding);
  const embedding: number[] = [];
  const head: number[] = [];
  const blocks = new Map<number, number[]>();
  parameters.forEach(({ spec: { role, layer } }, index) => {
    if (layer === undefined) (role === "embedding" && hasEmbedding ? embedding : head).push(index);
    else blocks.set(layer, [...blocks.get(layer) ?? [], index]);
  });
  return [embedding, ...blocks.values(), head];
}
