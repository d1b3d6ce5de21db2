/**
 * Which activations are dropped: a pure function of seed, step, place in the model and row.
 *
 * Dropped are elements of the embedding and of what each half of a block adds to the residual stream,
 * as in GPT-2 and llama2.c; attention's probabilities are not, so that no T x T mask exists.
 * Source: Srivastava et al. 2014.
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import type { ModelConfig } from "../config.ts";
import type { DropoutState } from "./trainable.ts";

/** A place where activations are dropped. */
export type DropoutSite =
  | { readonly at: "embedding" }
  | { readonly at: "attention" | "feedForward"; readonly layer: number };

/** Drops activations of one batch, the same ones forward and backward. */
export class Dropout {
  readonly #backend: Backend;
  readonly #config: Pick<ModelConfig, "hiddenSize">;
  readonly #probability: number;
  readonly #state: DropoutState;
  readonly #layers: { readonly first: number; readonly all: number };

  /** `probability` is the share that is dropped; the sites' layers count from `layers.first` of all. */
  constructor(
    backend: Backend,
    options: {
      readonly config: Pick<ModelConfig, "hiddenSize">;
      readonly probability: number;
      readonly state: DropoutState;
      readonly layers: { readonly first: number; readonly all: number };
    },
  ) {
    this.#backend = backend;
    this.#config = options.config;
    this.#probability = options.probability;
    this.#state = options.state;
    this.#layers = options.layers;
  }

  /**
   * Drops elements of x [rows, D] and scales the rest, in place; on a gradient it is its own backward.
   * `first` is the place of the first row in the batch.
   */
  apply(
    site: DropoutSite,
    { x, rows, first: begin = 0 }: {
      readonly x: Address;
      readonly rows: number;
      readonly first?: number;
    },
  ): void {
    const { hiddenSize: D } = this.#config;
    const { first, all } = this.#layers;
    const { seed, step, firstRow = 0 } = this.#state;
    const sites = 1 + 2 * all;
    const place = site.at === "embedding"
      ? 0
      : 1 + 2 * (first + site.layer) + Number(site.at === "feedForward");
    this.#backend.kernels.dropout({
      x,
      seed,
      stream: step * sites + place,
      offset: (firstRow + begin) * D,
      count: rows * D,
      probability: this.#probability,
    });
  }
}
