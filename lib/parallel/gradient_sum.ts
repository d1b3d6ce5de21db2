/**
 * The gradients of a step on one replica: those of its micro-batches added up, and with those of the
 * other replicas, while later ones are still being computed.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import type { SequenceBatch } from "../data/batches.ts";
import type { Parameter } from "../model/training/trainable.ts";
import type { GradientReducer } from "./data.ts";
import { GradientTree } from "./gradient_tree.ts";
import type { OwnGradients } from "./own_gradients.ts";
import { type ReduceOrder, takesTurns } from "./micro_batches.ts";
import type { TiedGradient } from "./tied_gradient.ts";

/** What gradients are added up with. */
export interface GradientSumOptions {
  /** The parameters. */
  readonly parameters: readonly Parameter[];
  /** Their places by the units of a pass. */
  readonly units: readonly (readonly number[])[];
  /** Adds over the replicas. */
  readonly reducer: Pick<GradientReducer, "ready" | "progress" | "finish"> & {
    /** Gives its memory back, where it has some of the backend's. */
    close?(): void;
  };
  /** In which order. */
  readonly order: ReduceOrder;
  /**
   * Takes the reducer's sums and adds up the micro-batches, where the replica keeps its part of
   * gradients alone. Wants one micro-batch a step, or the tree.
   */
  readonly own?: Pick<OwnGradients, "begin"> | undefined;
  /** Adds up the gradient of a tied embedding, which then belongs to none of the units. */
  readonly tied?: Pick<TiedGradient, "begin" | "headDone" | "done" | "finish"> | undefined;
}

/** Follows the micro-batches of a step. */
export class GradientSum {
  readonly #options: GradientSumOptions;
  readonly #tree: GradientTree | undefined;
  /** Micro-batches of this step. */
  #count = 1;
  /** The micro-batch that is being computed. */
  #current = 0;

  /** Reserves nothing yet. */
  constructor(backend: Backend, options: GradientSumOptions) {
    this.#options = options;
    const { order, own, parameters } = options;
    if (order === "tree" && own === undefined) this.#tree = new GradientTree(backend, parameters);
  }

  /** Whether the sums of all micro-batches go to the other replicas, and not that of all of them. */
  get #each(): boolean {
    const { order, own } = this.#options;
    return takesTurns(this.#count, { order, partitioned: own !== undefined });
  }

  /** Begins a step of so many micro-batches. */
  begin(count: number): void {
    const { order, own } = this.#options;
    if (own !== undefined && order === "ranks" && count > 1) {
      throw new RangeError(`${count} micro-batches of gradients that nobody keeps whole`);
    }
    own?.begin(count);
    this.#count = count;
    this.#current = 0;
    this.#tree?.clear();
  }

  /** Whether the model is to add the gradients of the next micro-batch to those that are there. */
  get accumulates(): boolean {
    return this.#options.order === "ranks" && this.#current > 0;
  }

  /** A micro-batch is about to be computed. */
  computes({ tokens, targets }: Pick<SequenceBatch, "tokens" | "targets">): void {
    if (!this.position.last) return;
    const hasGradient = this.#current > 0 || targets.some((target) => target >= 0);
    this.#options.tied?.begin({ tokens, hasGradient });
  }

  /** Which of the step's micro-batches is being computed, and whether it is the last. */
  get position(): { readonly current: number; readonly last: boolean } {
    return { current: this.#current, last: this.#current === this.#count - 1 };
  }

  /** A unit of the backward pass has its gradients of this micro-batch. */
  left(unit: number): void {
    const { units, reducer, tied } = this.#options;
    const indices = units[unit]!;
    if (!this.#each) {
      if (!this.position.last) return;
      this.#tree?.finish(indices);
    }
    if (unit === units.length - 1) tied?.headDone();
    if (unit === 0) tied?.done();
    for (const index of indices.toReversed()) reducer.ready(index);
  }

  /** Moves on what is on its way: to be called often during a backward pass. */
  progress(): void {
    this.#options.reducer.progress();
  }

  /** The micro-batch is done: with the last one, gradients are the sums over all replicas. */
  end(): void {
    const { units, reducer, tied } = this.#options;
    const { last } = this.position;
    if (this.#each || last) reducer.finish();
    if (last) tied?.finish();
    if (!last) this.#tree?.add();
    else if (this.#each) this.#tree?.finish(units.flat());
    this.#current++;
  }

  /** Gives the memory back. */
  close(): void {
    this.#options.reducer.close?.();
    this.#tree?.close();
  }
}
