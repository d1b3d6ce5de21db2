/**
 * How many weights ZeRO 3 gathers in a step: those of a unit that is entered and whose place another
 * unit has taken meanwhile (`lib/model/training/slots.ts`, `lib/parallel/unit_weights.ts`).
 *
 * All blocks of a rank take turns in one place, embedding and head in another; so that a block is gathered
 * twice for a micro-batch, forward and backward, but for the last, which is there yet when its backward
 * begins, and the first, which is there yet when the next micro-batch comes. Looking up and its gradient
 * need no weights on the way back.
 *
 * @module
 */

import { pipelinePasses } from "../parallel/pipeline_schedule.ts";
import { pieceParameters } from "./piece_parameters.ts";
import { pipelineOf, type PlannedStage, stagesOf, type StepShape } from "./step_shape.ts";

/** A unit of a rank's pass: a block by its layer, or an end of the model. */
type Unit = number | "embedding" | "head";

/** Units that a pass enters and needs the weights of, in their order. */
function unitsOf(stage: PlannedStage, kind: "forward" | "backward"): Unit[] {
  const { firstLayer, layers, embedding, head } = stage;
  const units: Unit[] = Array.from({ length: layers }, (_, at) => firstLayer + at);
  if (head) units.push("head");
  if (kind === "backward") return units.reverse();
  return embedding ? ["embedding", ...units] : units;
}

/** The place that a unit takes; a tied embedding stays until the head has read it. */
function placeOf(unit: Unit, tied: boolean): "blocks" | "ends" | "final norm" {
  if (typeof unit === "number") return "blocks";
  return unit === "head" && tied ? "final norm" : "ends";
}

/** Parameters that a rank of the pipeline gathers in a step. */
function gatheredByRank(
  rank: number,
  shape: StepShape,
  stages: readonly PlannedStage[],
): number {
  const tied = shape.model.tieWordEmbeddings;
  const there = new Map<string, Unit>();
  const parameters = {
    embedding: pieceParameters("embedding", shape),
    block: pieceParameters("block", shape),
    head: pieceParameters("head", shape),
  };
  let gathered = 0;
  for (const { stage, kind } of pipelinePasses(rank, pipelineOf(shape))) {
    for (const unit of unitsOf(stages[stage]!, kind)) {
      const place = placeOf(unit, tied);
      if (there.get(place) === unit) continue;
      there.set(place, unit);
      gathered += parameters[typeof unit === "number" ? "block" : unit];
    }
  }
  return gathered;
}

/** Parameters that the mean rank of the pipeline gathers in a step of ZeRO 3. */
export function gatheredParameters(shape: StepShape): number {
  const stages = stagesOf(shape);
  const { pipeline } = shape.mesh;
  let sum = 0;
  for (let rank = 0; rank < pipeline; rank++) sum += gatheredByRank(rank, shape, stages);
  return sum / pipeline;
}
