/**
 * The norm of gradients that several ranks have between them, as one rank would compute it.
 *
 * Every rank gives the square sum of each parameter that it has; those of copies are left out. Sums of a
 * tensor's slices are added in the order of the ranks, and those of all weights in the order of the name
 * table, in float64: the same bits on every rank, and where stages alone are shared out those of one
 * rank.
 *
 * @module
 */

import type { Communicator } from "../comm/communicator.ts";
import type { ModelConfig } from "../model/config.ts";
import type { Parameter } from "../model/training/trainable.ts";
import { weightSpecs } from "../model/weights.ts";

/** Who has the parameters of a model. */
export interface MeshNormOptions {
  /** The whole model. */
  readonly config: ModelConfig;
  /** What this rank has of it. */
  readonly parameters: readonly Pick<Parameter, "spec" | "copy">[];
  /** Ranks that have slices of the same tensors, in the order of the slices: axis `tensor`. */
  readonly slices: Communicator;
  /** Ranks that have other layers: axis `pipeline`. */
  readonly stages: Communicator;
}

/** Adds up square sums over the axes of a mesh that cut the model. */
export class MeshNorm {
  readonly #options: MeshNormOptions;
  /** Place of each parameter among all weights. */
  readonly #places: readonly number[];
  readonly #weights: number;

  /** Looks parameters up in the name table. */
  constructor(options: MeshNormOptions) {
    this.#options = options;
    const specs = weightSpecs(options.config);
    const places = new Map(specs.map(({ name }, place) => [name, place]));
    this.#weights = specs.length;
    this.#places = options.parameters.map(({ spec }) => places.get(spec.name)!);
  }

  /**
   * The sum of all squares. All ranks call it, once a step.
   *
   * @param squares Square sums of this rank's parameters, in their order.
   */
  total(squares: Float64Array): number {
    const { parameters, slices, stages } = this.#options;
    const sums = new Float64Array(this.#weights * slices.size);
    const own = sums.subarray(this.#weights * slices.rank, this.#weights * (slices.rank + 1));
    parameters.forEach(({ copy }, i) => {
      if (copy === 0) own[this.#places[i]!] = squares[i]!;
    });
    slices.allGather(sums);
    // One stage has each weight, the others add zero to it.
    stages.allReduce(sums);
    let total = 0;
    for (let weight = 0; weight < this.#weights; weight++) {
      let sum = 0;
      for (let rank = 0; rank < slices.size; rank++) sum += sums[rank * this.#weights + weight]!;
      total += sum;
    }
    return total;
  }
}
