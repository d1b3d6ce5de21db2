/**
 * Passes of batches through the stages that a rank has: all of the model, or layers of a pipeline with
 * or without the embedding before them and the head behind them. Several batches may be on their way.
 *
 * Shape suffixes: T rows of the batch, D hidden size.
 *
 * @module
 */

import { DTYPE_CODES } from "../../../kernels/abi.ts";
import type { Address } from "../../backend/backend.ts";
import type { Communicator } from "../../comm/communicator.ts";
import type { BatchPlace } from "./batch.ts";
import { backwardBlock, forwardBlock } from "./block.ts";
import type { BlocksRun, BlocksSetup } from "./block_run.ts";
import { Dropout } from "./dropout.ts";
import type { BoardedBatch, Flight, HeadSeat, Lending } from "./flights.ts";
import type { BlockRecord } from "./kept.ts";
import type { StageParts } from "./parts.ts";
import { ownRange, sendGradient } from "./stream.ts";
import type { DropoutState, Parameter, TrainBatch } from "./trainable.ts";
import type { Pass, PassObserver } from "./units.ts";
import type { SharedEmbedding } from "./vocabulary_embedding.ts";

/** What passes work with. */
export interface StagePassesSetup {
  /** What the blocks share; `blocks` are those of all stages of the rank, in order. */
  readonly setup: Omit<BlocksSetup, "records" | "output_TD">;
  /** The stages, first to last. */
  readonly stages: readonly StageParts[];
  /** Layers of the whole model. */
  readonly allLayers: number;
  /** Share of activations that is dropped. */
  readonly dropout: number;
  /** The embedding; absent where no stage has it. */
  readonly embedding: Parameter | undefined;
  /** The same where tensor ranks share its tokens. */
  readonly sharedEmbedding: SharedEmbedding | undefined;
  /** Units of the parameters, as `unitsOf` makes them, and the parameters. */
  readonly units: readonly (readonly number[])[];
  /** All parameters. */
  readonly parameters: readonly Parameter[];
  /** Whether gradients of an embedding begin with the head's, which shares it. */
  readonly headIsEmbedding: boolean;
  /** Memory of layers. */
  readonly records: Lending<BlockRecord>;
  /** Memory of hidden states before the head. */
  readonly seats: Lending<HeadSeat>;
  /** Memory of batches. */
  readonly places: Lending<BatchPlace>;
}

/** How a flight goes back. */
export interface FlightBackward {
  /** Gradient of what the stage gave [T, D]; none where it has the head. */
  readonly gradient?: Float32Array<ArrayBuffer> | Address | undefined;
  /** Weights of the targets, where it has the head [T]. */
  readonly weights?: Float32Array<ArrayBuffer> | undefined;
  /** What the logits are divided by. @default {1} */
  readonly temperature?: number | undefined;
  /** Weight of log^2 Z. */
  readonly zLoss: number;
  /** Whether gradients are added to what is there, or replace it. */
  readonly accumulate: boolean;
}

/** Passes through the stages of one rank. */
export class StagePasses {
  /** Who is told how passes go; nobody at first. */
  observer: PassObserver = {};
  /** What is done between units and after products: messages that are on their way may move on. */
  between: () => void = () => {};
  readonly #parts: StagePassesSetup;

  /** Works with memory that was planned. */
  constructor(parts: StagePassesSetup) {
    this.#parts = parts;
  }

  /** The stages, first to last. */
  get stages(): readonly StageParts[] {
    return this.#parts.stages;
  }

  /**
   * Places a batch for all stages; nothing is dropped without a state.
   *
   * @throws {RangeError} When it is none, or more are on board than were planned.
   */
  board(batch: TrainBatch, dropout?: DropoutState): BoardedBatch {
    const [place] = this.#parts.places.take(1) as [BatchPlace];
    try {
      const placed = place.place(batch);
      const { targets } = batch;
      const counts = targets.some((target) => target >= 0);
      return { placed, place, targets, counts, dropout };
    } catch (thrown) {
      this.#parts.places.giveBack([place]);
      throw thrown;
    }
  }

  /** Ends a batch: all its flights have ended. */
  leave({ place }: BoardedBatch): void {
    this.#parts.places.giveBack([place]);
  }

  /**
   * Sends a batch forward through a stage: from its tokens, or from the hidden states of the stage before
   * [T, D], which are outside the backend or at an address of its memory.
   *
   * @throws {RangeError} When more is on its way than was planned.
   */
  forward(boarded: BoardedBatch, { stage, input }: {
    /** Which of the rank's stages. */
    readonly stage: number;
    /** What the stage before gave; none where it begins with the embedding. */
    readonly input?: Float32Array<ArrayBuffer> | Address | undefined;
  }): Flight {
    const { stages, records, seats } = this.#parts;
    const { layers, embedding, head } = stages[stage]!;
    const lent = records.take(layers);
    const [seat] = head ? seats.take(1) : [];
    const flight: Flight = { boarded, stage, records: lent, seat };
    const run = this.#run(flight, { accumulate: true });
    const begin = lent[0]?.input_TD ?? run.output_TD;
    if (embedding) this.#within(0, "forward", () => this.#embed(run, begin));
    else this.#take(run, begin, input!);
    const unit = 1 + this.#layersBefore(stage);
    for (let layer = 0; layer < layers; layer++) {
      this.#within(unit + layer, "forward", () => forwardBlock(run, layer));
    }
    return flight;
  }

  /** Takes what another stage has given. */
  #take(run: BlocksRun, target: Address, given: Float32Array<ArrayBuffer> | Address): void {
    const { backend, config: { hiddenSize } } = this.#parts.setup;
    if (typeof given !== "number") return backend.upload(target, given);
    backend.copy(target, given, 4 * ownRange(run).rows * hiddenSize);
  }

  /**
   * Reads what the last pass, of a batch of so many rows, gives to another stage [T, D]: a forward its
   * output, where the stage has no head; a backward the gradient of its input. The target is outside the
   * backend, or an address of its memory.
   */
  result(target: Float32Array<ArrayBuffer> | Address, rows: number): void {
    const { backend, working, config: { hiddenSize } } = this.#parts.setup;
    if (typeof target !== "number") return backend.download(target, working.dhidden_TD);
    backend.copy(target, working.dhidden_TD, 4 * this.ownRows(rows) * hiddenSize);
  }

  /** Scores the targets of a batch whose flight is in the last stage. */
  score({ boarded, seat }: Flight, temperature: number): void {
    const head = this.#parts.units.length - 1;
    this.#within(head, "forward", () => seat!.head.score(boarded.placed, temperature));
  }

  /**
   * Sends a batch back through a stage, and ends the flight: gradients of its weights, and that of its
   * input, which {@linkcode StagePasses.result} reads. Without targets that count all of it is 0.
   */
  backward(flight: Flight, options: FlightBackward): void {
    const { boarded, stage, seat, records } = flight;
    const { accumulate, weights, gradient } = options;
    const { backend, working: { dhidden_TD }, config } = this.#parts.setup;
    const { counts, placed, place, targets } = boarded;
    const { layers, embedding } = this.#parts.stages[stage]!;
    const run = this.#run(flight, { accumulate });
    const going = (unit: number, work: () => void) =>
      this.#within(unit, "backward", () => {
        if (!accumulate) this.#clearGradients(unit, { all: !counts });
        if (counts) work();
      });
    if (seat === undefined) this.#take(run, dhidden_TD, gradient!);
    else {
      if (counts) place.weigh(placed, weights!);
      const last = this.#parts.units.length - 1;
      going(last, () => {
        seat.head.backward(placed, { targets, ...options, weights: weights! });
        if (layers > 0) sendGradient(run);
      });
    }
    const unit = 1 + this.#layersBefore(stage);
    for (let layer = layers - 1; layer >= 0; layer--) {
      going(unit + layer, () => backwardBlock(run, layer));
    }
    if (embedding) going(0, () => this.#backwardEmbedding(run));
    if (!counts) backend.fill(dhidden_TD, 0, 4 * ownRange(run).rows * config.hiddenSize);
    this.#parts.records.giveBack(records);
    if (seat !== undefined) this.#parts.seats.giveBack([seat]);
  }

  /** Ends a flight that goes nowhere. */
  cancel({ records, seat }: Flight): void {
    this.#parts.records.giveBack(records);
    if (seat !== undefined) this.#parts.seats.giveBack([seat]);
  }

  #layersBefore(stage: number): number {
    return this.#parts.stages.slice(0, stage).reduce((sum, { layers }) => sum + layers, 0);
  }

  #run(flight: Flight, { accumulate }: { readonly accumulate: boolean }): BlocksRun {
    const { setup, stages, dropout: probability, allLayers } = this.#parts;
    const { boarded: { placed, dropout }, stage, records, seat } = flight;
    const { firstLayer, layers } = stages[stage]!;
    const first = this.#layersBefore(stage);
    const { backend, config, working } = setup;
    const drops = dropout !== undefined && probability > 0;
    return {
      ...setup,
      blocks: setup.blocks.slice(first, first + layers),
      records,
      // A stage without the head sends its output off at once, from where gradients go later.
      output_TD: seat?.hidden_TD ?? working.dhidden_TD,
      batch: placed,
      dropout: drops
        ? new Dropout(backend, {
          config,
          probability,
          state: dropout,
          layers: { first: firstLayer, all: allLayers },
        })
        : undefined,
      accumulate,
    };
  }

  #within(unit: number, pass: Pass, work: () => void): void {
    this.observer.enter?.(unit, pass);
    work();
    this.observer.leave?.(unit, pass);
    this.between();
  }

  /**
   * Zeroes gradients of a unit: those that are only ever added to (norms, and an embedding apart from
   * the head), or all; those of products are replaced.
   */
  #clearGradients(unit: number, { all }: { readonly all: boolean }): void {
    const { units, parameters, headIsEmbedding, setup: { backend } } = this.#parts;
    for (const index of units[unit]!) {
      const { spec: { role, shape }, grad, count } = parameters[index]!;
      const isAdded = shape.length === 1 || (role === "embedding" && !headIsEmbedding);
      if (all || isAdded) backend.fill(grad, 0, 4 * count);
    }
  }

  #embed(run: BlocksRun, out: Address): void {
    const { setup: { backend, config }, embedding, sharedEmbedding } = this.#parts;
    const { batch, dropout } = run;
    if (sharedEmbedding !== undefined) sharedEmbedding.forward(batch, out);
    else {
      backend.kernels.embedding({
        out,
        table: embedding!.weight,
        ids: batch.ids_T,
        table_dtype: DTYPE_CODES.f32,
        rows: batch.rows,
        vocab: config.vocabSize,
        dim: config.hiddenSize,
      });
    }
    dropout?.apply({ at: "embedding" }, { x: out, ...ownRange(run) });
  }

  #backwardEmbedding(run: BlocksRun): void {
    const { setup: { backend, config }, embedding, sharedEmbedding } = this.#parts;
    const { batch, working: { dhidden_TD }, dropout } = run;
    dropout?.apply({ at: "embedding" }, { x: dhidden_TD, ...ownRange(run) });
    if (sharedEmbedding !== undefined) return sharedEmbedding.backward(batch, dhidden_TD);
    backend.kernels.embedding_backward({
      dtable: embedding!.grad,
      dy: dhidden_TD,
      ids: batch.ids_T,
      rows: batch.rows,
      vocab: config.vocabSize,
      dim: config.hiddenSize,
    });
  }

  /**
   * What counts what passes send, besides the tensor ranks: those that have the same keys and values, by
   * way of the processor and from GPU to GPU.
   */
  get communicators(): readonly Pick<Communicator, "name" | "traffic">[] {
    const { exchange } = this.#parts.setup;
    if (exchange === undefined || exchange.copies === exchange.ranks) return [];
    return exchange.gpus === undefined
      ? [exchange.copies]
      : [exchange.copies, exchange.gpus.copies];
  }

  /** Gives back what is not the plan's memory. */
  close(): void {
    this.#parts.setup.exchange?.close();
  }

  /** How many of the rows of a batch are here between stages: fewer where tensor ranks share them. */
  ownRows(rows: number): number {
    return this.#parts.setup.exchange?.own(rows).rows ?? rows;
  }
}
