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
import { TrainingProducts } from "../linear.ts";
import type { DecoderSource } from "../load_weights.ts";
import type { PlannedMemory } from "../memory_plan.ts";
import type { RopeLayout } from "../rope.ts";
import { BatchPlace, type PlacedBatch } from "./batch.ts";
import { type ArenaMemory, recordsOf, reserve } from "./arenas.ts";
import { backwardBlock, type BlocksRun, type BlocksSetup, forwardBlock } from "./block.ts";
import type { WorkingBuffers } from "./block.ts";
import { Dropout } from "./dropout.ts";
import { TrainingHead, type TrainingHeadBuffers } from "./head.ts";
import { readSliceAsF32 } from "./load_slice.ts";
import { layOut, type ParameterLayout, parametersOf, trainedWeights } from "./parameters.ts";
import type { TrainedWeights } from "./parameters.ts";
import { heldShape } from "./parts.ts";
import { checkPrecision } from "./precision.ts";
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
import { type Pass, type PassObserver, unitsOf } from "./units.ts";

/** What a model is made of. */
export interface TrainableSource {
  /** Sizes and constants. */
  readonly config: ModelConfig;
  /** Order of the rows of q and k. @default {"half"} */
  readonly ropeLayout?: RopeLayout | undefined;
}

/** The batch that went forward last. */
interface Passed {
  readonly batch: PlacedBatch;
  readonly targets: Int32Array;
  readonly dropout: Dropout | undefined;
  /** Whether it went backward too. */
  readonly spent?: boolean;
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
  /** Who is told how passes go; nobody at first. */
  observer: PassObserver = {};
  readonly #layout: ParameterLayout;
  readonly #arenas: ArenaMemory;
  readonly #activations: PlannedMemory<string>;
  readonly #weights: TrainedWeights;
  readonly #setup: BlocksSetup;
  readonly #head: TrainingHead;
  readonly #place: BatchPlace;
  readonly #dropout: number;
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
    const { dtype = "f32", recompute = "none", dropout = 0, maxRows } = options;
    checkPrecision(backend, dtype);
    this.backend = backend;
    this.config = config;
    this.ropeLayout = ropeLayout;
    this.dtype = dtype;
    this.#dropout = dropout;
    this.#layout = layOut(config, options.parts);
    [this.#arenas, this.#activations] = reserve(backend, { ...options, config });
    const { at } = this.#activations;
    this.parameters = parametersOf(this.#layout, this.#arenas.at);
    this.units = unitsOf(this.parameters);
    const packing = { address: this.#arenas.at.packed, elementBytes: dtype === "bf16" ? 2 : 4 };
    this.#weights = trainedWeights(config, {
      parameters: this.parameters,
      parts: options.parts,
      packing: options.packWeights ? packing : undefined,
    });
    this.#setup = {
      backend,
      config,
      ropeLayout,
      recompute,
      products: new TrainingProducts(backend, { precision: dtype }),
      blocks: this.#weights.blocks,
      records: recordsOf(config, at),
      output_TD: at.output_TD!,
      working: at as unknown as WorkingBuffers,
    };
    this.#head = new TrainingHead(backend, {
      config,
      norm: this.#weights.finalNorm!,
      weight: this.#weights.head!,
      products: this.#setup.products,
      buffers: at as unknown as TrainingHeadBuffers,
      hidden_TD: this.#setup.output_TD,
      dhidden_TD: this.#setup.working.dhidden_TD,
    });
    this.#place = new BatchPlace(backend, { config, address: at.batch!, maxRows });
    this.#lossWeights = new Float32Array(maxRows);
  }

  /** Draws new weights: see {@linkcode initialWeights}. */
  initialize(seed: number): void {
    const indices = new Map(this.parameters.map(({ spec }, index) => [spec.name, index]));
    const { held } = this.#layout;
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
    const weights = this.#lossWeights.subarray(0, batch.targets.length);
    weights.forEach((_, row) => weights[row] = weightScale * (batch.weights?.[row] ?? 1));
    this.backward({ weights, zLoss, accumulate });
    // The gradient of the loss has computed the scores on its way.
    return sumLosses(batch, { ...this.#readScores(batch.targets.length), zLoss });
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
    this.#passed = undefined;
    const placed = this.#place.place(batch);
    const dropout = this.#dropoutOf(options.dropout);
    this.#within(0, "forward", () => this.#embed(placed, dropout));
    const run = { ...this.#setup, batch: placed, dropout, accumulate: true };
    for (let layer = 0; layer < this.config.numHiddenLayers; layer++) {
      this.#within(layer + 1, "forward", () => forwardBlock(run, layer));
    }
    this.#passed = { batch: placed, targets: batch.targets, dropout };
  }

  /**
   * Scores the targets of the batch that went forward: any number of times, before or after the backward.
   *
   * @throws {TypeError} When none did.
   */
  score(options: { readonly temperature?: number | undefined } = {}): TargetScores {
    const { batch } = this.#lastPass();
    const { temperature = 1 } = options;
    this.#within(this.units.length - 1, "forward", () => this.#head.score(batch, temperature));
    return this.#readScores(batch.rows);
  }

  /**
   * Gradients of sum_t weights_t (-log p(target_t) + zLoss log^2 Z_t) for the batch that went forward,
   * over the logits divided by the temperature; losses of any kind come through their weights.
   *
   * @throws {TypeError} When no batch went forward since the last backward.
   */
  backward(options: WeightedBackwardOptions): void {
    const { zLoss = this.config.zLoss, temperature, accumulate = true, weights } = options;
    const { batch, targets, dropout, spent } = this.#lastPass();
    if (spent) throw new TypeError("backward wants a forward of its own: gradients took its place");
    this.#passed = { batch, targets, dropout, spent: true };
    const counts = targets.some((target) => target >= 0);
    if (counts) this.#place.weigh(batch, weights);
    const run = { ...this.#setup, batch, dropout, accumulate };
    const going = (unit: number, work: () => void) =>
      this.#within(unit, "backward", () => {
        if (!accumulate) this.#clearGradients(unit, { all: !counts });
        if (counts) work();
      });
    const last = this.units.length - 1;
    going(last, () => this.#head.backward(batch, { targets, zLoss, temperature, accumulate }));
    for (let layer = last - 2; layer >= 0; layer--) {
      going(layer + 1, () => backwardBlock(run, layer));
    }
    going(0, () => this.#backwardEmbedding(run));
  }

  #within(unit: number, pass: Pass, work: () => void): void {
    this.observer.enter?.(unit, pass);
    work();
    this.observer.leave?.(unit, pass);
  }

  /** Makes the copies of all weights anew. */
  weightsChanged(): void {
    for (const parameter of this.parameters) this.#copyToCompute(parameter);
    this.#setup.products.weightsChanged();
  }

  /** Tells that an optimizer has written masters and bf16 copies. */
  weightsStepped(): void {
    this.#setup.products.weightsChanged();
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
    this.#setup.products.weightsChanged();
  }

  /** Gives the memory back; does nothing the second time. */
  close(): void {
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

  /**
   * Zeroes gradients of a unit: those that are only ever added to (norms, and an embedding apart from
   * the head), or all; those of products are replaced.
   */
  #clearGradients(unit: number, { all }: { readonly all: boolean }): void {
    for (const index of this.units[unit]!) {
      const { spec: { role, shape }, grad, count } = this.parameters[index]!;
      const isAdded = shape.length === 1 ||
        (role === "embedding" && !this.config.tieWordEmbeddings);
      if (all || isAdded) this.backend.fill(grad, 0, 4 * count);
    }
  }

  #dropoutOf(state: DropoutState | undefined): Dropout | undefined {
    if (state === undefined || this.#dropout === 0) return undefined;
    const { config } = this;
    return new Dropout(this.backend, { config, probability: this.#dropout, state });
  }

  #lastPass(): Passed {
    if (this.#passed === undefined) throw new TypeError("no batch went forward");
    return this.#passed;
  }

  #embed({ rows, ids_T }: PlacedBatch, dropout: Dropout | undefined): void {
    const { records, output_TD } = this.#setup;
    const out = records[0]?.input_TD ?? output_TD;
    this.backend.kernels.embedding({
      out,
      table: this.#weights.embedding!.weight,
      ids: ids_T,
      table_dtype: DTYPE_CODES.f32,
      rows,
      vocab: this.config.vocabSize,
      dim: this.config.hiddenSize,
    });
    dropout?.apply({ at: "embedding" }, { x: out, rows });
  }

  #backwardEmbedding({ batch, working: { dhidden_TD }, dropout }: BlocksRun): void {
    const { hiddenSize: dim, vocabSize: vocab } = this.config;
    const { rows } = batch;
    dropout?.apply({ at: "embedding" }, { x: dhidden_TD, rows });
    this.backend.kernels.embedding_backward({
      dtable: this.#weights.embedding!.grad,
      dy: dhidden_TD,
      ids: batch.ids_T,
      rows,
      vocab,
      dim,
    });
  }

  #readScores(rows: number): TargetScores {
    const { logProb_T, logZ_T } = this.#activations.at;
    return { logProb: this.#read(logProb_T!, rows), logZ: this.#read(logZ_T!, rows) };
  }
}

/** Sums the losses of a batch in double precision, rows in order. */
function sumLosses(
  { targets, weights }: TrainBatch,
  { logProb, logZ, zLoss }: TargetScores & { readonly zLoss: number },
): LossSums {
  let [ce, z, weight, count] = [0, 0, 0, 0];
  targets.forEach((target, row) => {
    if (target < 0) return;
    const w = weights?.[row] ?? 1;
    ce -= w * logProb[row]!;
    z += w * zLoss * logZ[row]! ** 2;
    weight += w;
    count++;
  });
  return { ce, z, weight, count };
}
