/**
 * A model that trains: forward and backward of a batch over memory that was planned before.
 *
 * Gradients are the same to the bit whatever the recomputation and the threads.
 *
 * @module
 */

import { DTYPE_CODES } from "../../../kernels/abi.ts";
import type { Address, Backend } from "../../backend/backend.ts";
import type { ModelConfig } from "../config.ts";
import { initialWeights } from "../init.ts";
import { TrainingProducts } from "./linear.ts";
import type { DecoderSource } from "../load_weights.ts";
import type { PlannedMemory } from "../memory_plan.ts";
import type { RopeLayout } from "../rope.ts";
import { type ArenaMemory, reserve } from "./arenas.ts";
import type { Flight } from "./flights.ts";
import { readSliceAsF32 } from "./load_slice.ts";
import { scaledWeights, sumLosses } from "./losses.ts";
import { openPasses } from "./open_passes.ts";
import { parametersOf, trainedWeights } from "./parameters.ts";
import { heldShape } from "./parts.ts";
import { checkPrecision } from "./precision.ts";
import { type ArenaPlan, planArenas } from "./slots.ts";
import type { StagePasses } from "./stage_passes.ts";
import type {
  DropoutState,
  GradientOptions,
  LossSums,
  Parameter,
  TargetScores,
  Trainable,
  TrainBatch,
  TrainingDType,
  TrainingOptions,
  WeightedBackwardOptions,
} from "./trainable.ts";
import type { PassObserver } from "./units.ts";

/** What a model is made of. */
export interface TrainableSource {
  /** Sizes and constants. */
  readonly config: ModelConfig;
  /** Order of the rows of q and k. @default {"half"} */
  readonly ropeLayout?: RopeLayout | undefined;
}

/** The batch that went forward last. */
interface Passed {
  readonly flight: Flight;
  /** Whether it went backward too. */
  spent: boolean;
}

/** A model whose weights train, on one backend. */
export class TrainableModel implements Trainable {
  /** Whose kernels run. */
  readonly backend: Backend;
  /** Sizes and constants. */
  readonly config: ModelConfig;
  /** Order of the rows of q and k. */
  readonly ropeLayout: RopeLayout;
  /** What products are computed in. */
  readonly dtype: TrainingDType;
  /** All parameters in the order of the name table. */
  readonly parameters: readonly Parameter[];
  /** Parameters by units of a pass: see {@linkcode unitsOf}. */
  readonly units: readonly (readonly number[])[];
  /** Passes through what this rank has, for those who have several batches on their way. */
  readonly passes: StagePasses;
  /** Where they lie. */
  readonly plan: ArenaPlan;
  readonly #arenas: ArenaMemory;
  readonly #activations: PlannedMemory<string>;
  readonly #products: TrainingProducts;
  readonly #lossWeights: Float32Array<ArrayBuffer>;
  #passed: Passed | undefined;

  /**
   * Takes the memory of {@linkcode planTrainingBytes}, less the moments, which are the optimizer's;
   * weights are zero until they are initialized or loaded.
   *
   * @throws {BackendError} When the backend has too little memory, or cannot multiply in bf16.
   */
  constructor(backend: Backend, source: TrainableSource, options: TrainingOptions) {
    const { config, ropeLayout = "half" } = source;
    const { dtype = "f32", parts = {}, maxRows } = options;
    checkPrecision(backend, dtype);
    this.backend = backend;
    this.config = config;
    this.ropeLayout = ropeLayout;
    this.dtype = dtype;
    this.plan = planArenas(config, options);
    [this.#arenas, this.#activations] = reserve(backend, { ...options, config });
    const { whole, layouts, units } = this.plan;
    this.parameters = parametersOf(whole, { layouts, arenas: this.#arenas.at });
    this.units = units;
    this.#products = new TrainingProducts(backend, {
      precision: dtype,
      between: () => this.passes.between(),
    });
    const packing = { address: this.#arenas.at.packed, elementBytes: dtype === "bf16" ? 2 : 4 };
    const weights = trainedWeights(config, {
      parameters: this.parameters,
      parts,
      packing: options.packWeights ? packing : undefined,
    });
    const { parameters } = this;
    const { at } = this.#activations;
    const products = this.#products;
    const model = { backend, config, ropeLayout, products, weights, parameters, units };
    this.passes = openPasses({ ...model, at, options });
    this.#lossWeights = new Float32Array(maxRows);
  }

  /** Who is told how passes go; nobody at first. */
  get observer(): PassObserver {
    return this.passes.observer;
  }

  set observer(observer: PassObserver) {
    this.passes.observer = observer;
  }

  /** Draws new weights: see {@linkcode initialWeights}. */
  initialize(seed: number): void {
    const indices = new Map(this.parameters.map(({ spec }, index) => [spec.name, index]));
    const { held } = this.plan.whole;
    for (const { spec, first, values } of initialWeights(this.config, seed, { held })) {
      const index = indices.get(spec.name)!;
      this.backend.upload(this.parameters[index]!.weight + 4 * first, values);
      this.observer.written?.(index, { first, count: values.length });
    }
    this.weightsChanged();
  }

  /**
   * Reads the weights of a checkpoint; any type becomes f32.
   *
   * @throws {FormatError} When a tensor has a type that is no number's.
   */
  async load(source: DecoderSource): Promise<void> {
    for (const [index, parameter] of this.parameters.entries()) {
      const { spec, weight, count } = parameter;
      const record = source.tensors.get(spec.name)!;
      await readSliceAsF32(this.backend, { record, held: parameter, target: weight });
      this.observer.written?.(index, { first: 0, count });
    }
    this.weightsChanged();
  }

  /** Losses of a batch, and gradients. See {@linkcode Trainable.forwardBackward}. */
  forwardBackward(batch: TrainBatch, options: GradientOptions): LossSums {
    const { weightScale, zLoss = this.config.zLoss, accumulate } = options;
    this.forward(batch, options);
    const weights = scaledWeights(batch, { scale: weightScale, into: this.#lossWeights });
    this.backward({ weights, zLoss, accumulate });
    // The gradient of the loss has computed the scores on its way.
    return sumLosses(batch, { ...this.readScores(batch.targets.length), zLoss });
  }

  /** Losses of a batch. See {@linkcode Trainable.evaluate}. */
  evaluate(batch: TrainBatch, options: { readonly zLoss?: number | undefined } = {}): LossSums {
    this.forward(batch);
    return sumLosses(batch, { ...this.score(), zLoss: options.zLoss ?? this.config.zLoss });
  }

  /**
   * Computes the hidden states of a batch, and keeps what one {@linkcode TrainableModel.backward} reads.
   *
   * @throws {RangeError} When there are more rows than were planned, or a token id is none.
   */
  forward(
    batch: TrainBatch,
    options: { readonly dropout?: DropoutState | undefined } = {},
  ): void {
    const last = this.#passed;
    this.#passed = undefined;
    if (last !== undefined) {
      if (!last.spent) this.passes.cancel(last.flight);
      this.passes.leave(last.flight.boarded);
    }
    const boarded = this.passes.board(batch, options.dropout);
    this.#passed = { flight: this.passes.forward(boarded, { stage: 0 }), spent: false };
  }

  /**
   * Scores the targets of the batch that went forward: any number of times, before or after the backward.
   *
   * @throws {TypeError} When none did.
   */
  score(options: { readonly temperature?: number | undefined } = {}): TargetScores {
    const { flight } = this.#lastPass();
    this.passes.score(flight, options.temperature ?? 1);
    return this.readScores(flight.boarded.placed.rows);
  }

  /**
   * Gradients of sum_t weights_t (-log p(target_t) + zLoss log^2 Z_t) for the batch that went forward,
   * over the logits divided by the temperature; losses of any kind come through their weights.
   *
   * @throws {TypeError} When no batch went forward since the last backward.
   */
  backward(options: WeightedBackwardOptions): void {
    const { zLoss = this.config.zLoss, accumulate = true } = options;
    const passed = this.#lastPass();
    if (passed.spent) {
      throw new TypeError("backward wants a forward of its own: gradients took its place");
    }
    passed.spent = true;
    this.passes.backward(passed.flight, { ...options, zLoss, accumulate });
  }

  /** Makes the copies of all weights anew. */
  weightsChanged(): void {
    for (const parameter of this.parameters) this.#copyToCompute(parameter);
    this.#products.weightsChanged();
  }

  /** Tells that an optimizer has written masters and bf16 copies. */
  weightsStepped(): void {
    this.#products.weightsChanged();
  }

  /** Tells that masters of some parameters were brought to their places: makes their bf16 copies. */
  weightsBrought(indices: readonly number[]): void {
    for (const index of indices) this.#copyToCompute(this.parameters[index]!);
  }

  /** Reads a weight's master. */
  weight(parameter: Parameter): Float32Array<ArrayBuffer> {
    return this.#read(parameter.weight, parameter.count);
  }

  /** Reads a weight's gradient. */
  gradient(parameter: Parameter): Float32Array<ArrayBuffer> {
    return this.#read(parameter.grad, parameter.count);
  }

  /** Writes a weight's master, and its copies. */
  setWeight(parameter: Parameter, values: Float32Array<ArrayBuffer>): void {
    if (values.length !== parameter.count) {
      throw new RangeError(
        `Cannot set "${parameter.spec.name}": ${values.length} values, ${parameter.count} wanted`,
      );
    }
    this.backend.upload(parameter.weight, values);
    const index = this.parameters.indexOf(parameter);
    this.observer.written?.(index, { first: 0, count: values.length });
    this.#copyToCompute(parameter);
    this.#products.weightsChanged();
  }

  /** Gives the memory back; does nothing the second time. */
  close(): void {
    this.passes.close();
    this.#arenas.close();
    this.#activations.close();
  }

  #read(address: Address, count: number): Float32Array<ArrayBuffer> {
    const values = new Float32Array(count);
    this.backend.download(values, address);
    return values;
  }

  #copyToCompute(parameter: Parameter): void {
    const { weight, compute } = parameter;
    if (compute === 0) return;
    const [rows, dim] = heldShape(parameter);
    this.backend.kernels.convert({
      out: compute,
      x: weight,
      out_dtype: DTYPE_CODES.bf16,
      x_dtype: DTYPE_CODES.f32,
      rows: rows!,
      dim: dim!,
    });
  }

  #lastPass(): Passed {
    if (this.#passed === undefined) throw new TypeError("no batch went forward");
    return this.#passed;
  }

  /** Where the head leaves log-probabilities of targets and log Z [T]. */
  get scoresAt(): { readonly logProb: Address; readonly logZ: Address } {
    const { logProb_T, logZ_T } = this.#activations.at;
    return { logProb: logProb_T!, logZ: logZ_T! };
  }

  /** Log-probabilities that the head computed last, of a batch of so many rows. */
  readScores(rows: number): TargetScores {
    const { logProb_T, logZ_T } = this.#activations.at;
    return { logProb: this.#read(logProb_T!, rows), logZ: this.#read(logZ_T!, rows) };
  }
}
