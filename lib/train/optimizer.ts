/**
 * The optimizer of a run: clipping by the norm over all gradients, then AdamW or PaLM's Adafactor, in
 * the backend's memory.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import { aligned } from "../model/memory_plan.ts";
import type { Parameter } from "../model/training/trainable.ts";
import type { Ownership, Piece } from "../parallel/partition.ts";
import { type CutAxes, partCount, TensorTotals } from "../parallel/tensor_totals.ts";
import { pieceBytes } from "../parallel/zero.ts";
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

/** Elements of a parameter that an optimizer updates, and where they lie. */
export interface OwnedPiece extends Piece {
  /** Masters. */
  readonly weight: Address;
  /** Gradients (f32) of the elements. */
  readonly grad: Address;
  /** bf16 copies, or 0. */
  readonly compute: Address;
}

/** How a model is shared out over ranks, as far as its optimizer is concerned. */
export interface OptimizerSharing {
  /** Axes of the mesh that the model is cut along. */
  readonly axes: CutAxes;
  /** Which elements are this rank's along the shard axis; all without. */
  readonly ownership?: Ownership | undefined;
  /** Where they lie, in the order of the ownership. */
  readonly pieces?: readonly OwnedPiece[] | undefined;
}

/** What an optimizer works on. */
export interface OptimizerOptions {
  /** Parameters of this rank's model, in the order in which moments and sums are counted. */
  readonly parameters: readonly Parameter[];
  /** How they are updated. */
  readonly settings: OptimizerSettings;
  /** How they are shared out; this rank has all of them without. */
  readonly sharing?: OptimizerSharing | undefined;
  /** Adds up sums of squares, in the order of the parameters. @default {those of this rank} */
  readonly total?: ((squares: Float64Array) => number) | undefined;
}

/** What is updated by one call, with its moments [count]. */
interface Updated extends OwnedPiece {
  readonly m: Address;
  readonly v: Address;
}

const HYPER_BYTES = 7 * 8;

/**
 * Holds the moments of what this rank owns and applies updates: of all parameters, or of its part of
 * them (ZeRO stage 1, Rajbhandari et al. 2020, section 5.1). AdamW goes element by element; what goes
 * over whole tensors is added up in an order that no sharing out changes.
 */
export class Optimizer {
  /** The parameters that it updates. */
  readonly parameters: readonly Parameter[];
  readonly #backend: Backend;
  readonly #settings: OptimizerSettings;
  readonly #updated: readonly Updated[];
  readonly #ownership: Ownership | undefined;
  /** Adds up over ranks that own parts; absent where this one has everything. */
  readonly #totals: TensorTotals | undefined;
  readonly #total: (squares: Float64Array) => number;
  /** Sums of squares (f64), one for each parameter; their sum; then norm, factor and finite flag (f32). */
  readonly #squares: Address;
  readonly #sum: Address;
  readonly #clip: Address;
  /** Sums of parts and totals of tensors (f64), where they are added up over ranks. */
  readonly #partSums: Address = 0;
  readonly #tensorTotals: Address = 0;
  /** Hyper-parameters (f64) with and without decay. */
  readonly #hyper: { readonly decayed: Address; readonly plain: Address };
  readonly #owned: Address[] = [];

  /** Reserves the moments, zeroed. @throws {BackendError} When there is too little memory. */
  constructor(backend: Backend, options: OptimizerOptions) {
    const { parameters, settings, sharing } = options;
    this.#backend = backend;
    this.#total = options.total ?? ((squares) => squares.reduce((sum, own) => sum + own, 0));
    this.parameters = parameters;
    this.#settings = settings;
    this.#ownership = sharing?.ownership;
    const pieces = sharing?.pieces ?? parameters.map(wholePiece);
    try {
      this.#squares = this.#reserve(8 * Math.max(1, this.parameters.length));
      this.#sum = this.#reserve(8);
      this.#clip = this.#reserve(12);
      this.#hyper = { decayed: this.#reserve(HYPER_BYTES), plain: this.#reserve(HYPER_BYTES) };
      const [m, v] = [this.#reserveEach(pieces), this.#reserveEach(pieces)];
      this.#updated = pieces.map((piece, i) => ({ ...piece, m: m[i]!, v: v[i]! }));
      if (sharing !== undefined) {
        this.#totals = new TensorTotals(parameters, { pieces, axes: sharing.axes });
        this.#partSums = this.#reserve(2 * 8 * Math.max(1, this.#totals.ownParts));
        this.#tensorTotals = this.#reserve(2 * 8 * parameters.length);
      }
    } catch (thrown) {
      this.close();
      throw thrown;
    }
  }

  /** Memory for a number per element of each piece: one allocation, for each rounds up to huge pages. */
  #reserveEach(pieces: readonly Pick<Piece, "count">[]): Address[] {
    let at = this.#reserve(Math.max(1, pieceBytes(pieces)));
    return pieces.map(({ count }) => {
      const address = at;
      at += aligned(4 * count);
      return address;
    });
  }

  #reserve(bytes: number): Address {
    const address = this.#backend.alloc(bytes);
    this.#owned.push(address);
    return address;
  }

  /**
   * Measures the gradients as they are now, and sets the factor that clips them; all ranks of the axes
   * together, who get the same bits.
   */
  measure(): GradientNorm {
    const { kernels } = this.#backend;
    this.#backend.upload(this.#sum, Float64Array.of(this.#total(this.#squareSums())));
    kernels.clip_scale({ clip: this.#clip, sum: this.#sum, limit: this.#settings.clip });
    const clip = new Float32Array(3);
    this.#backend.download(clip, this.#clip);
    return { norm: clip[0]!, finite: clip[2] === 1 };
  }

  /** Sums of the squares of each parameter's gradients. */
  #squareSums(): Float64Array {
    const { kernels } = this.#backend;
    if (this.#totals !== undefined) {
      const own = this.#ofParts(1, ({ grad, count }, sums) => {
        kernels.square_sums({ sums, x: grad, parts: partCount(count), count });
      });
      return this.#totals.held(own, 1);
    }
    const squares = new Float64Array(this.parameters.length);
    this.#backend.fill(this.#squares, 0, squares.byteLength);
    for (const { parameter, grad, count } of this.#updated) {
      kernels.square_sum({ sum: this.#squares + 8 * parameter, x: grad, count });
    }
    this.#backend.download(squares, this.#squares);
    return squares;
  }

  /** Has sums of `width` numbers made of each part of what is owned, and reads them. */
  #ofParts(
    width: number,
    make: (piece: Updated, sums: Address) => void,
  ): Float64Array<ArrayBuffer> {
    let at = this.#partSums;
    for (const piece of this.#updated) {
      make(piece, at);
      at += 8 * width * partCount(piece.count);
    }
    const own = new Float64Array((at - this.#partSums) / 8);
    this.#backend.download(own, this.#partSums);
    return own;
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
    if (optimizer === "adafactor" && this.#totals !== undefined) {
      return this.#inHalves(this.#totals);
    }
    const run = this.#backend.kernels[optimizer];
    for (const { parameter, weight, grad, count, compute, m, v } of this.#updated) {
      const hyper = this.#hyperOf(parameter);
      run({ weight, grad, count, compute, hyper, clip: this.#clip, m, v });
    }
  }

  #hyperOf(parameter: number): Address {
    return this.parameters[parameter]!.spec.decayed ? this.#hyper.decayed : this.#hyper.plain;
  }

  /** Adafactor of tensors that other ranks have parts of: its scales are of whole tensors. */
  #inHalves(totals: TensorTotals): void {
    const { kernels } = this.#backend;
    const clip = this.#clip;
    const own = this.#ofParts(2, ({ parameter, weight, v, grad, count }, sums) => {
      const [hyper, parts] = [this.#hyperOf(parameter), partCount(count)];
      kernels.adafactor_moments({ sums, weight, v, grad, hyper, clip, parts, count });
    });
    this.#backend.upload(this.#tensorTotals, totals.tensors(own, 2));
    for (const { parameter, weight, grad, count, compute, m, v } of this.#updated) {
      const whole = this.parameters[parameter]!.spec.shape.reduce((product, n) => product * n, 1);
      const given = { totals: this.#tensorTotals + 16 * parameter, whole };
      const hyper = this.#hyperOf(parameter);
      kernels.adafactor_move({ weight, m, v, grad, ...given, hyper, clip, compute, count });
    }
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

  /**
   * Reads a moment of a parameter [count], by its place in `parameters`: on all ranks of the shard axis
   * together, from its owners.
   */
  moment(which: Moment, index: number): Float32Array<ArrayBuffer> {
    const read = (values: Float32Array<ArrayBuffer>, { first }: Pick<Piece, "first">) => {
      const piece = this.#updated.find((one) => one.parameter === index && one.first === first)!;
      this.#backend.download(values, piece[which]);
    };
    if (this.#ownership !== undefined) return this.#ownership.gather(index, read);
    const values = new Float32Array(this.parameters[index]!.count);
    read(values, { first: 0 });
    return values;
  }

  /** Writes what is owned of a parameter's moment, given all of it [count]. */
  setMoment(which: Moment, index: number, values: Float32Array<ArrayBuffer>): void {
    for (const piece of this.#updated) {
      if (piece.parameter !== index) continue;
      const { first, count } = piece;
      this.#backend.upload(piece[which], values.subarray(first, first + count));
    }
  }

  /** What this rank owns of weights and moments, piece by piece. */
  get owned(): readonly Readonly<Piece & Record<"weight" | Moment, Address>>[] {
    return this.#updated;
  }

  /** Sets all moments to zero, as before the first step. */
  reset(): void {
    for (const { m, v, count } of this.#updated) {
      for (const moment of [m, v]) this.#backend.fill(moment, 0, 4 * count);
    }
  }

  /** Gives the memory back. */
  close(): void {
    for (const address of this.#owned.splice(0)) this.#backend.free(address);
  }
}

/** A parameter that one rank updates. */
function wholePiece(parameter: Parameter, index: number): OwnedPiece {
  const { count, weight, grad, compute } = parameter;
  return { parameter: index, first: 0, count, weight, grad, compute };
}
