/**
 * Parameters of the pieces of a model that one tensor-parallel rank has.
 *
 * @module
 */

import { countParameters } from "../model/parameters.ts";
import type { PieceKind } from "./piece_time.ts";
import type { StepShape } from "./step_shape.ts";

/**
 * Parameters of a piece on one rank: matrices are shared evenly, key and value heads where there are
 * enough of them, norms not at all. A tied head is the embedding: it has none of its own where both are
 * on one rank.
 */
export function pieceParameters(kind: PieceKind, { model, mesh }: StepShape): number {
  const { tensor, pipeline } = mesh;
  const { hiddenSize: D, vocabSize: V, headDim: E, numKeyValueHeads: K } = model;
  if (kind === "embedding") return V * D / tensor;
  if (kind === "head") {
    const tied = model.tieWordEmbeddings && pipeline === 1;
    return D + (tied ? 0 : V * D / tensor);
  }
  const norms = (model.parallelBlock ? 1 : 2) * D;
  const keysAndValues = 2 * K * E * D;
  const shared = countParameters(model).block - norms - keysAndValues;
  return shared / tensor + keysAndValues * Math.max(1 / K, 1 / tensor) + norms;
}
