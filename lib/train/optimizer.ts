/**
 * The optimizer of a run: clipping by the norm over all gradients, then AdamW or PaLM's Adafactor, in
 * the backend's memory.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import type { Parameter } from "../model/training/trainable.ts";
import type { TrainSettings } from "./settings.ts";

/** What decides an update besides the gradients. */
export type OptimizerSettings = Pick<
  TrainSettings,
  "optimizer" | "beta1" | "beta2" | "eps" | "weightDecay" | "clip" | "updateClip"
>;

/** The gradients of a step, measured. */
export interface GradientNorm {
  /** Root of the sum of all squares, before clipping. */
  readonly norm: number;
  /** Whether an update with them would be finite. */
  readonly finite: boolean;
}

/** One of the two running means that an optimizer keeps of a parameter's gradients. */
export type Moment = "m" | "v";

/** Moments [count] of a parameter. */
interface Moments {
  readonly m: Address;
  readonly v: Address;
}

const HYPER_BYTES = 7 * 8;

/** Holds the moments of all parameters and applies updates. */
export class Optimizer {
  /** The parameters that it updates. */
  readonly parameters: readonly Parameter[];
  readonly #backend: Backend;
  readonly #settings: OptimizerSettings;
  readonly #moments: readonly Moments[];
  readonly #total: (squares: Float64Array) => number;
  /** Sums of squares (f64), one for each parameter; their sum; then norm, factor and finite flag (f32). */
  readonly #squares: Address;
  readonly #sum: Address;
  readonly #clip: Address;
  /** Hyper-parameters (f64) with and without decay. */
  readonly #hyper: { readonly decayed: Address; readonly plain: Address };
  readonly #owned: Address[] = [];

  /** Reserves the moments, zeroed. @throws {BackendError} When there is too little memory. */
  constructor(
    backend: Backend,
    options: {
      readonly parameters: readonly Parameter[];
      readonly settings: OptimizerSettings;
      /** Adds up sums of squares, in the order of the parameters. @default {those of this rank} */
      readonly total?: ((squares: Float64Array) => number) | undefined;
    },
  ) {
    this.#backend = backend;
    this.#total = options.total ?? ((squares) => squares.reduce((sum, own) => sum + own, 0));
    this.parameters = options.parameters;
    this.#settings = options.settings;
    try {
      this.#squares = this.#reserve(8 * Math.max(1, this.parameters.length));
      this.#sum = this.#reserve(8);
      this.#clip = this.#reserve(12);
      this.#hyper = { decayed: this.#reserve(HYPER_BYTES), plain: this.#reserve(HYPER_BYTES) };
      this.#moments = this.parameters.map(({ count }) => ({
        m: this.#reserve(4 * count),
        v: this.#reserve(4 * count),
      }));
    } catch (thrown) {
      this.close();
      throw thrown;
    }
  }

  #reserve(bytes: number): Address {
    const address = this.#backend.alloc(bytes);
    this.#owned.push(address);
    return address;
  }

  /** Measures the gradients as they are now, and sets the factor that clips them. */
  measure(): GradientNorm {
    const { kernels } = this.#backend;
    const squares = new Float64Array(this.parameters.length);
    this.#backend.fill(this.#squares, 0, squares.byteLength);
    for (const [i, { grad, count }] of this.parameters.entries()) {
      kernels.square_sum({ sum: this.#squares + 8 * i, x: grad, count });
    }
    this.#backend.download(squares, this.#squares);
    this.#backend.upload(this.#sum, Float64Array.of(this.#total(squares)));
    kernels.clip_scale({ clip: this.#clip, sum: this.#sum, limit: this.#settings.clip });
    const clip = new Float32Array(3);
    this.#backend.download(clip, this.#clip);
    return { norm: clip[0]!, finite: clip[2] === 1 };
  }

  /**
   * Updates all weights with the gradients that were measured last.
   *
   * @param update How many updates there have been, this one counted.
   */
  update({ update, lr }: { readonly update: number; readonly lr: number }): void {
    const { optimizer } = this.#settings;
    for (const decays of [true, false]) {
      const hyper = optimizer === "adamw"
        ? this.#adamw(update, lr, decays)
        : this.#adafactor(update, lr);
      const target = decays ? this.#hyper.decayed : this.#hyper.plain;
      this.#backend.upload(target, Float64Array.from(hyper));
    }
    const run = this.#backend.kernels[optimizer];
    this.parameters.forEach(({ spec, weight, grad, count, compute }, i) => {
      const hyper = spec.decayed ? this.#hyper.decayed : this.#hyper.plain;
      run({ weight, grad, count, compute, hyper, clip: this.#clip, ...this.#moments[i]! });
    });
  }

  #adamw(t: number, lr: number, decays: boolean): number[] {
    const { beta1, beta2, eps, weightDecay } = this.#settings;
    const square = beta2 as number;
    // The kernel multiplies the decay by lr.
    const decay = weightDecay === "lr^2" ? lr : weightDecay;
    return [lr, beta1, square, eps, decays ? decay : 0, 1 - beta1 ** t, 1 - square ** t];
  }

  /** PaLM decays every tensor, by lr^2 without another lr. */
  #adafactor(k: number, lr: number): number[] {
    const { beta1, beta2, updateClip, weightDecay } = this.#settings;
    const square = beta2 === "1-k^-0.8" ? 1 - k ** -0.8 : beta2;
    const decay = weightDecay === "lr^2" ? lr * lr : lr * weightDecay;
    return [lr, beta1, square, updateClip, decay];
  }

  /** Reads the moments of a parameter [count], by its place in `parameters`. */
  moment(which: Moment, index: number): Float32Array<ArrayBuffer> {
    const values = new Float32Array(this.parameters[index]!.count);
    this.#backend.download(values, this.#moments[index]![which]);
    return values;
  }

  /** Writes the moments of a parameter [count], by its place in `parameters`. */
  setMoment(which: Moment, index: number, values: Float32Array<ArrayBuffer>): void {
    this.#backend.upload(this.#moments[index]![which], values);
  }

  /** Sets all moments to zero, as before the first step. */
  reset(): void {
    this.parameters.forEach(({ count }, i) => {
      for (const which of ["m", "v"] as const) {
        this.#backend.fill(this.#moments[i]![which], 0, 4 * count);
      }
    });
  }

  /** Gives the memory back. */
  close(): void {
    for (const address of this.#owned.splice(0)) this.#backend.free(address);
  }
}
