/**
 * How many parameters a decoder has, by what they do.
 *
 * @module
 */

import type { ModelConfig } from "./config.ts";
import { WEIGHT_ROWS, type WeightRole } from "./weights.ts";

/** Parameter counts of one decoder; tied weights count once. */
export interface ParameterCounts {
  /** All of them. */
  readonly total: number;
  /** Those of the embedding. */
  readonly embedding: number;
  /** Those of the head; 0 where it is tied to the embedding. */
  readonly head: number;
  /** Those of one block. */
  readonly block: number;
  /** Those of each role, over all layers. */
  readonly byRole: Readonly<Record<WeightRole, number>>;
}

/** Counts parameters from the shapes in the name table, exact below 2^53. */
export function countParameters(config: ModelConfig): ParameterCounts {
  const byRole = {} as Record<WeightRole, number>;
  let block = 0;
  let total = 0;
  for (const row of WEIGHT_ROWS) {
    const once = row.present(config) ? row.shape(config).reduce((a, b) => a * b, 1) : 0;
    const repeated = row.names.canonical.includes("{i}");
    if (repeated) block += once;
    byRole[row.role] = repeated ? once * config.numHiddenLayers : once;
    total += byRole[row.role];
  }
  return { total, embedding: byRole.embedding, head: byRole.head, block, byRole };
}
