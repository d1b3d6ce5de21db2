/**
 * A step's time by formula: what is worth replaying, out of thousands of ways.
 *
 * @module
 */

import type { Device } from "./kernel_time.ts";
import { collectiveSeconds, groupOf } from "./links.ts";
import { pieceParameters } from "./piece_parameters.ts";
import { type PieceTimes, pieceTimes } from "./piece_time.ts";
import { microBatchesOf, type PlannedStage, stagesOf, type StepShape } from "./step_shape.ts";

/** Pieces' times, found once for all steps that have the same. */
export class EstimatedSteps {
  readonly #device: Device;
  readonly #times: Map<string, PieceTimes> = new Map();
  readonly #stages: Map<string, readonly PlannedStage[]> = new Map();

  /** Of steps on one kind of device. */
  constructor(device: Device) {
    this.#device = device;
  }

  /**
   * Seconds of a step: the busiest rank's passes and the bubble, (p - 1) / (v m) of them; and of gathers
   * and reductions what is longer than the passes that they run beside.
   */
  seconds(shape: StepShape): number {
    const microBatches = microBatchesOf(shape);
    const { mesh: { pipeline }, chunks, zero } = shape;
    const [forward, backward] = this.#busiest(shape);
    const bubble = (pipeline - 1) / (chunks * microBatches);
    const { gather, reduce } = this.#replicaSeconds(shape);
    const beside = (communication: number, passes: number) => Math.max(0, communication - passes);
    const computing = microBatches * (forward + backward) * (1 + bubble);
    if (zero === 3) {
      const gathers = beside(gather, forward) + beside(gather, backward);
      const last = beside(gather + reduce, backward) - beside(gather, backward);
      return computing + microBatches * gathers + last;
    }
    return computing + beside(gather, forward) + beside(reduce, backward);
  }

  /** Forward and backward of one micro-batch through all stages of the rank that has the most. */
  #busiest(shape: StepShape): readonly [number, number] {
    const times = this.#timesOf(shape);
    const ranks = Array.from({ length: shape.mesh.pipeline }, () => [0, 0] as [number, number]);
    this.#stagesOf(shape).forEach(({ layers, embedding, head }, stage) => {
      const rank = ranks[stage % ranks.length]!;
      (["forward", "backward"] as const).forEach((pass, at) => {
        rank[at]! += layers * times.block[pass].seconds +
          (embedding ? times.embedding[pass].seconds : 0) + (head ? times.head[pass].seconds : 0);
      });
    });
    return ranks.reduce((most, rank) => rank[0] + rank[1] > most[0] + most[1] ? rank : most);
  }

  #timesOf(shape: StepShape): PieceTimes {
    const { mesh: { tensor }, microBatch, recompute } = shape;
    const key = `${tensor} ${microBatch} ${recompute}`;
    const known = this.#times.get(key) ?? pieceTimes(shape, this.#device);
    this.#times.set(key, known);
    return known;
  }

  #stagesOf(shape: StepShape): readonly PlannedStage[] {
    const { mesh: { pipeline }, chunks, recompute } = shape;
    const key = `${pipeline} ${chunks} ${recompute}`;
    const known = this.#stages.get(key) ?? stagesOf(shape);
    this.#stages.set(key, known);
    return known;
  }

  /** Seconds in which a rank's weights are gathered, and its gradients reduced, once. */
  #replicaSeconds(shape: StepShape): { readonly gather: number; readonly reduce: number } {
    const { model, mesh, zero } = shape;
    const { hardware: { fabric }, efficiency } = this.#device;
    const on = (axis: "data" | "shard") => ({
      group: groupOf(axis, { mesh, fabric }),
      fabric,
      efficiency,
    });
    const parameters = model.numHiddenLayers * pieceParameters("block", shape) / mesh.pipeline;
    const scattered = zero > 0
      ? collectiveSeconds("reduceScatter", 4 * parameters, on("shard"))
      : 0;
    const own = 4 * parameters / (zero > 0 ? mesh.shard : 1);
    return {
      gather: zero > 0 ? collectiveSeconds("allGather", 2 * parameters, on("shard")) : 0,
      reduce: scattered + collectiveSeconds("allReduce", own, on("data")),
    };
  }
}
