/**
 * Pipeline parallelism: each rank has some layers, and micro-batches go from rank to rank, forward and
 * back, in the order of `pipeline_schedule.ts` (Narayanan et al. 2021, arXiv:2104.04473).
 *
 * Gradients are the bits that one rank would compute, for every stage adds up its micro-batches in their
 * order; but for a tied embedding, whose two copies' sums are added in the end (float32 rounding).
 *
 * Bytes that a rank sends in a step: 4 T D for every micro-batch of T rows and every border that it
 * crosses, 2 (p v - 1) of them over all ranks; a tied embedding 4 V D from each end; the losses.
 *
 * @module
 */

import { EventLoop } from "../base/event_loop.ts";
import type { Communicator } from "../comm/communicator.ts";
import type { DevicePipeline } from "../comm/device/pipeline.ts";
import type { BoardedBatch, Flight } from "../model/training/flights.ts";
import { scaledWeights, sumLosses } from "../model/training/losses.ts";
import type {
  DropoutState,
  LossSums,
  TargetScores,
  TrainBatch,
} from "../model/training/trainable.ts";
import type { TrainableModel } from "../model/training/trainable_model.ts";
import { DeviceMail, DeviceMailroom } from "./device_mail.ts";
import { KeptScores } from "./kept_scores.ts";
import { HostMail, type PipelineMail } from "./pipeline_mail.ts";
import {
  addTimes,
  noTimes,
  type PipelineReport,
  type PipelineTimes,
  reportPipeline,
} from "./pipeline_report.ts";
import {
  forwardPasses,
  pipelineActions,
  type PipelinePass,
  pipelinePasses,
  type PipelineShape,
} from "./pipeline_schedule.ts";
import { DeviceTiedEmbedding, TiedEmbedding, type TiedSum } from "./tied_embedding.ts";

/** How a pipeline is opened. */
export interface PipelineOptions {
  /** The ranks of the pipeline, in the order of their first stages: axis `pipeline` of a mesh. */
  readonly ranks: Communicator;
  /** Most rows of a micro-batch. */
  readonly maxRows: number;
  /** Adds up the micro-batches of each of the rank's stages; one after the other without. */
  readonly sums?: readonly MicroBatchSum[] | undefined;
  /** Brings all of a gradient to where it is, by the place of its parameter, where others have parts. */
  readonly bring?: ((parameter: number) => void) | undefined;
  /** Their GPUs, where they are connected. */
  readonly gpus?: DevicePipeline | undefined;
}

/** Adds up the gradients of one stage's micro-batches, which come one after the other. */
export interface MicroBatchSum {
  /** A step of so many micro-batches begins. */
  begin(count: number): void;
  /** Whether gradients of the next one are added to what is there, or replace it. */
  readonly accumulates: boolean;
  /** The backward pass of one is done. */
  end(): void;
}

/** What a step's gradients are computed with. */
export interface PipelineStep {
  /** Factor of all weights of the loss. */
  readonly weightScale: number;
  /** Weight of log^2 Z. */
  readonly zLoss: number;
  /** What is dropped; `firstRow` is that of the first micro-batch. */
  readonly dropout?: DropoutState | undefined;
  /** Rows from the first of a micro-batch to that of the next. @default {those of each} */
  readonly rowStride?: number | undefined;
}

/** What one action of a step works with. */
interface StepRun {
  readonly shape: PipelineShape;
  readonly batches: readonly TrainBatch[];
  readonly mail: PipelineMail;
  readonly flights: Map<string, Flight>;
  readonly boarded: Map<number, BoardedBatch>;
  /** Read the losses of each micro-batch. */
  readonly losses: (() => LossSums)[];
  /** Sums of the stages whose last micro-batch has not been ended. */
  readonly unended: Map<number, MicroBatchSum>;
}

/** One rank of a pipeline. */
export class Pipeline {
  /** The first rank and the last, who add up a tied embedding; the others are among themselves. */
  readonly ends: Communicator;
  readonly #model: TrainableModel;
  readonly #options: PipelineOptions;
  readonly #tied: TiedSum | undefined;
  /** Place of the tied embedding among the parameters. */
  readonly #tiedAt: number = -1;
  readonly #buffers: Float32Array<ArrayBuffer>[] = [];
  readonly #room: DeviceMailroom | undefined;
  readonly #kept: KeptScores | undefined;
  readonly #lossWeights: Float32Array<ArrayBuffer>;
  #times: PipelineTimes;

  /**
   * Joins the ranks of a pipeline; all of them call this. The model has this rank's stages, and memory
   * for what `inFlightOfRank` says.
   */
  constructor(model: TrainableModel, options: PipelineOptions) {
    this.#model = model;
    this.#options = options;
    this.#times = noTimes(model.passes.stages.length);
    const { rank, size } = options.ranks;
    const isEnd = rank === 0 || rank === size - 1;
    this.ends = options.ranks.split({ color: Number(!isEnd), name: "embedding" });
    if (model.config.tieWordEmbeddings && size > 1 && isEnd) {
      const copy = model.parameters.findIndex(({ spec }) => spec.role === "embedding");
      this.#tiedAt = copy;
      const shared = { copy: model.parameters[copy]! };
      const ends = options.gpus?.ends;
      this.#tied = ends === undefined
        ? new TiedEmbedding(model.backend, { ends: this.ends, ...shared })
        : new DeviceTiedEmbedding({ ends, ...shared });
    }
    if (options.gpus !== undefined) {
      const largest = model.passes.ownRows(options.maxRows) * model.config.hiddenSize;
      const shape = { ranks: size, chunks: model.passes.stages.length };
      this.#room = new DeviceMailroom(model.backend, { ...shape, largest });
      this.#kept = new KeptScores(model.backend, options);
    }
    this.#lossWeights = new Float32Array(options.maxRows);
    // A message may be longer than what a transport takes at once.
    model.passes.between = () => options.ranks.progress();
  }

  /** Gives back what the model has not planned. */
  close(): void {
    this.#room?.close();
    this.#kept?.close();
  }

  /** Where the time of all steps so far went. */
  get times(): PipelineTimes {
    return this.#times;
  }

  /** How long the ranks have stood still since the last report; all of them call it. */
  report(): PipelineReport {
    const report = reportPipeline(this.#options.ranks, this.#times);
    this.#times = noTimes(this.#model.passes.stages.length);
    return report;
  }

  /**
   * Computes the losses of a step's micro-batches and the gradients of their sum, which replace what was
   * there. All ranks give the same micro-batches.
   *
   * @returns The losses of each micro-batch, the same bits on all ranks.
   * @throws {CommunicationError} See `Communicator`.
   */
  async step(batches: readonly TrainBatch[], step: PipelineStep): Promise<LossSums[]> {
    const began = performance.now();
    const run = this.#begin(batches);
    const passes = pipelinePasses(this.#options.ranks.rank, run.shape);
    const firstRows = firstRowsOf(batches, step);
    for (const sum of this.#options.sums ?? []) sum.begin(batches.length);
    const spent = await this.#compute(run, passes, (pass) => {
      if (pass.kind === "forward") {
        const firstRow = firstRows[pass.microBatch]!;
        this.#forward(run, pass, step.dropout && { ...step.dropout, firstRow });
      } else {
        this.#backward(run, pass, step);
      }
    });
    const endSums = () => {
      run.unended.forEach((sum) => sum.end());
      this.#startTied();
    };
    // Reading kept losses waits for the GPU, which is to have all of its work by then.
    if (this.#kept !== undefined) endSums();
    // The last rank comes here first: its messages leave while the pipeline runs empty.
    const shared = this.#startShare(run);
    if (this.#kept === undefined) endSums();
    const ended = performance.now();
    const losses = shared();
    // Who is done earlier stands still too, until the pipeline has run empty.
    const waitedMs = run.mail.waitedMs + performance.now() - ended;
    this.#tied?.finish();
    this.#times = addTimes(this.#times, {
      ...{ steps: 1, microBatches: batches.length, waitedMs, ...spent },
      totalMs: performance.now() - began,
    });
    return losses;
  }

  /**
   * Computes the losses of batches, without dropout: all ranks give the same ones.
   *
   * @returns The losses of each batch, the same bits on all ranks.
   * @throws {CommunicationError} See `Communicator`.
   */
  async evaluate(
    batches: readonly TrainBatch[],
    { zLoss }: { readonly zLoss: number },
  ): Promise<LossSums[]> {
    const run = this.#begin(batches);
    await this.#compute(run, forwardPasses(this.#options.ranks.rank, run.shape), (pass) => {
      this.#forward(run, pass, undefined);
      const flight = this.#land(run, pass);
      if (flight.seat !== undefined) {
        this.#model.passes.score(flight, 1);
        this.#readLosses(run, pass, zLoss);
      }
      this.#model.passes.cancel(flight);
      this.#leave(run, pass);
    });
    return this.#startShare(run)();
  }

  #begin(batches: readonly TrainBatch[]): StepRun {
    const { ranks, maxRows, gpus } = this.#options;
    const { passes, config: { hiddenSize } } = this.#model;
    const shape = {
      ranks: ranks.size,
      chunks: passes.stages.length,
      microBatches: batches.length,
    };
    const elements = (microBatch: number) =>
      passes.ownRows(batches[microBatch]!.tokens.length) * hiddenSize;
    const mail = this.#room === undefined
      ? new HostMail(ranks, {
        ...{ shape, elements, largest: maxRows * hiddenSize, buffers: this.#buffers },
      })
      : new DeviceMail(gpus!, { shape, elements, room: this.#room });
    const hasHead = passes.stages.some(({ head }) => head);
    if (hasHead) this.#kept?.begin(batches.length);
    const [flights, boarded, unended] = [new Map(), new Map(), new Map()];
    return { shape, batches, mail, flights, boarded, losses: [], unended };
  }

  /** Does what the schedule says; returns the milliseconds of passes by stage. */
  async #compute(
    run: StepRun,
    passes: readonly PipelinePass[],
    compute: (pass: PipelinePass) => void,
  ): Promise<Pick<PipelineTimes, "forwardMs" | "backwardMs">> {
    const { shape, mail } = run;
    const loop = new EventLoop();
    const none = () => new Array<number>(shape.chunks).fill(0);
    const spent = { forward: none(), backward: none() };
    for (const action of pipelineActions(passes, shape)) {
      if (!("reader" in action)) {
        const [began, waited] = [performance.now(), mail.waitedMs];
        compute(action);
        const ms = performance.now() - began - (mail.waitedMs - waited);
        spent[action.kind][this.#chunkOf(action.stage, run)]! += ms;
      } else if (action.kind === "receive") mail.receive(action);
      else {
        const { length: rows } = run.batches[action.reader.microBatch]!.tokens;
        mail.send(action, (values) => this.#model.passes.result(values, rows));
      }
      await loop.turn();
    }
    return { forwardMs: spent.forward, backwardMs: spent.backward };
  }

  #forward(run: StepRun, pass: PipelinePass, dropout: DropoutState | undefined): void {
    const { passes } = this.#model;
    const { stage, microBatch } = pass;
    let boarded = run.boarded.get(microBatch);
    if (boarded === undefined) {
      boarded = passes.board(run.batches[microBatch]!, dropout);
      run.boarded.set(microBatch, boarded);
    }
    run.mail.read(pass, (input) => {
      const flight = passes.forward(boarded, { stage: this.#chunkOf(stage, run), input });
      run.flights.set(`${stage} ${microBatch}`, flight);
    });
  }

  #backward(run: StepRun, pass: PipelinePass, { weightScale, zLoss }: PipelineStep): void {
    const { stage, microBatch } = pass;
    const batch = run.batches[microBatch]!;
    const flight = this.#land(run, pass);
    const isHead = flight.seat !== undefined;
    const into = this.#lossWeights;
    const weights = isHead ? scaledWeights(batch, { scale: weightScale, into }) : undefined;
    const chunk = this.#chunkOf(stage, run);
    const sum = this.#options.sums?.[chunk];
    run.unended.get(chunk)?.end();
    run.mail.read(pass, (gradient) => {
      const accumulate = sum?.accumulates ?? microBatch > 0;
      this.#model.passes.backward(flight, { gradient, weights, zLoss, accumulate });
    });
    // Ending may wait for other replicas, and the next stage waits for what this pass has made.
    if (sum !== undefined) run.unended.set(chunk, sum);
    // The gradient of the loss has computed the scores on its way.
    if (isHead) this.#readLosses(run, pass, zLoss);
    if (stage < run.shape.ranks) this.#leave(run, pass);
  }

  #chunkOf(stage: number, { shape }: StepRun): number {
    return Math.floor(stage / shape.ranks);
  }

  #land({ flights }: StepRun, { stage, microBatch }: PipelinePass): Flight {
    const key = `${stage} ${microBatch}`;
    const flight = flights.get(key)!;
    flights.delete(key);
    return flight;
  }

  #leave({ boarded }: StepRun, { microBatch }: PipelinePass): void {
    this.#model.passes.leave(boarded.get(microBatch)!);
    boarded.delete(microBatch);
  }

  /** The losses of a micro-batch whose scores are there: read at once, or kept for the end of the step. */
  #readLosses(run: StepRun, { microBatch }: PipelinePass, zLoss: number): void {
    const batch = run.batches[microBatch]!;
    const rows = batch.targets.length;
    const sums = (scores: TargetScores) => sumLosses(batch, { ...scores, zLoss });
    const kept = this.#kept;
    if (kept === undefined) {
      const losses = sums(this.#model.readScores(rows));
      run.losses[microBatch] = () => losses;
      return;
    }
    kept.keep(microBatch, { ...this.#model.scoresAt, rows });
    run.losses[microBatch] = () => sums(kept.read(microBatch, { rows }));
  }

  /** Begins to add up the gradients of the two copies of a tied embedding. */
  #startTied(): void {
    if (this.#tied === undefined) return;
    this.#options.bring?.(this.#tiedAt);
    this.#tied.start();
  }

  /** Begins to tell all ranks the losses, which the last one has; the others add zero to them. */
  #startShare({ batches, losses }: StepRun): () => LossSums[] {
    const told = new Float64Array(4 * batches.length);
    losses.forEach((read, i) => {
      const { ce, z, weight, count } = read();
      told.set([ce, z, weight, count], 4 * i);
    });
    const handle = this.#options.ranks.startAllReduce(told);
    return () => {
      handle.wait();
      return batches.map((_, i) => {
        const [ce, z, weight, count] = told.subarray(4 * i, 4 * i + 4) as unknown as number[];
        return { ce: ce!, z: z!, weight: weight!, count: count! };
      });
    };
  }
}

/** The first row of each micro-batch in the whole batch. */
function firstRowsOf(
  batches: readonly TrainBatch[],
  { dropout, rowStride }: PipelineStep,
): number[] {
  let row = dropout?.firstRow ?? 0;
  return batches.map(({ tokens }) => {
    const first = row;
    row += rowStride ?? tokens.length;
    return first;
  });
}
