/**
 * One rank of a pipeline in a step on paper. It has lanes that run side by side: it computes (with
 * tensor-parallel exchanges inside a block, see `block_tasks.ts`), gathers weights and reduces gradients
 * over `shard`, reduces them over `data`. Gathers are two layers ahead. A stage's messages leave when it
 * ends, and travel while others compute.
 *
 * @module
 */

import {
  messageTag,
  passBefore,
  type PipelinePass,
  pipelinePasses,
  type PipelineShape,
  rankOfStage,
} from "../parallel/pipeline_schedule.ts";
import { type Device, memorySeconds } from "./kernel_time.ts";
import { collectiveSeconds, groupOf } from "./links.ts";
import { pieceParameters } from "./piece_parameters.ts";
import { type PieceKind, type PieceTimes, pieceTimes } from "./piece_time.ts";
import { pipelineOf, type PlannedStage, type StepShape } from "./step_shape.ts";
import { Timeline, type TimelineEvent } from "./timeline.ts";

/** Seconds of a rank's communication by kind, hidden or not. */
export interface CommunicationSeconds {
  /** Rows between tensor-parallel ranks. */
  readonly tensor: number;
  /** Weights and gradients between replicas. */
  readonly replicas: number;
  /** Hidden states between stages. */
  readonly pipeline: number;
}

/** Layers whose weights are gathered before they are needed. */
export const GATHERED_AHEAD = 2;
/** Bytes per parameter that AdamW moves: weight, gradient, two moments read, all but one written, bf16 copy. */
const UPDATE_BYTES = 4 * 4 + 3 * 4 + 2;
/** Bytes per parameter that the norm of the gradients reads. */
const NORM_BYTES = 4;

/** What a rank does side by side. */
export type Lane = "compute" | "shard" | "data" | "send";

/** Sees what ranks of a pipeline do. */
export type RankRecorder = (rank: number, event: TimelineEvent<Lane>) => void;

/** One layer, embedding or head in one pass. */
interface Piece {
  readonly kind: PieceKind;
  readonly pass: PipelinePass;
  readonly first: boolean;
  readonly last: boolean;
}

/** Pieces of a pass in their order. */
function piecesOf(pass: PipelinePass, stage: PlannedStage): Piece[] {
  const kinds: PieceKind[] = Array.from({ length: stage.layers }, () => "block");
  if (stage.embedding) kinds.unshift("embedding");
  if (stage.head) kinds.push("head");
  const pieces = kinds.map((kind) => ({ kind, pass }));
  if (pass.kind === "backward") pieces.reverse();
  return pieces.map((piece, at) => ({
    ...piece,
    first: at === 0,
    last: at === pieces.length - 1,
  }));
}

/** Parameters of a piece, and seconds of what replicas exchange of it. */
export interface ReplicaTimes {
  /** How many. */
  readonly parameters: number;
  /** bf16 weights, gathered over the shards that have them. */
  readonly gather: number;
  /** f32 gradients, summed over the shards. */
  readonly reduce: number;
  /** The same over the replicas of the shards. */
  readonly reduceReplicas: number;
}

/** What all ranks of a pipeline know of the step. */
export class StepTimes {
  /** Seconds of passes through pieces. */
  readonly pieces: PieceTimes;
  /** Seconds of what replicas exchange. */
  readonly replicas: Readonly<Record<PieceKind, ReplicaTimes>>;
  /** How the pipeline is cut and fed. */
  readonly pipeline: PipelineShape;
  /** Seconds of a message between stages. */
  readonly message: number;
  /** Where gradients travel over `data`. */
  readonly dataLane: Lane;
  readonly #shape: StepShape;
  readonly #device: Device;

  /** Finds what everything takes. */
  constructor(shape: StepShape, device: Device) {
    this.#shape = shape;
    this.#device = device;
    this.pieces = pieceTimes(shape, device);
    this.pipeline = pipelineOf(shape);
    const { model, microBatch, seqLen, mesh } = shape;
    const rows = microBatch * seqLen / mesh.tensor;
    this.message = this.#seconds("send", 2 * rows * model.hiddenSize, "pipeline");
    const { fabric } = device.hardware;
    const beyond = (axis: "data" | "shard") => {
      const { size, perNode } = groupOf(axis, { mesh, fabric });
      return size > perNode;
    };
    this.replicas = {
      embedding: this.#replicaTimes("embedding"),
      block: this.#replicaTimes("block"),
      head: this.#replicaTimes("head"),
    };
    // Two axes that both leave the node share one network.
    this.dataLane = beyond("data") && beyond("shard") ? "shard" : "data";
  }

  #seconds(
    collective: Parameters<typeof collectiveSeconds>[0],
    bytes: number,
    axis: "data" | "shard" | "pipeline",
  ): number {
    const { hardware: { fabric }, efficiency } = this.#device;
    const group = groupOf(axis, { mesh: this.#shape.mesh, fabric });
    return collectiveSeconds(collective, bytes, { group, fabric, efficiency });
  }

  #replicaTimes(kind: PieceKind): ReplicaTimes {
    const { zero, mesh: { shard } } = this.#shape;
    const parameters = pieceParameters(kind, this.#shape);
    const collective = zero === 0 ? "allReduce" : "reduceScatter";
    const own = parameters / (zero === 0 ? 1 : shard);
    return {
      parameters,
      gather: zero === 0 ? 0 : this.#seconds("allGather", 2 * parameters, "shard"),
      reduce: this.#seconds(collective, 4 * parameters, "shard"),
      reduceReplicas: this.#seconds("allReduce", 4 * own, "data"),
    };
  }

  /** Norm and update of what a rank has of so many parameters. */
  optimizer(parameters: number): number {
    const { zero, mesh: { shard } } = this.#shape;
    const own = parameters / (zero === 0 ? 1 : shard);
    return memorySeconds((UPDATE_BYTES + NORM_BYTES) * own, this.#device);
  }

  /** Whether weights are gathered for this pass: each time, or once after the update. */
  gathers({ kind, microBatch }: PipelinePass): boolean {
    const { zero } = this.#shape;
    return zero === 3 || (zero > 0 && kind === "forward" && microBatch === 0);
  }

  /** Whether gradients are reduced after this pass: micro-batches are added up first. */
  reduces({ kind, microBatch }: PipelinePass): boolean {
    return kind === "backward" && microBatch === this.pipeline.microBatches - 1;
  }
}

/** What a rank's replay needs. */
export interface RankReplayOptions {
  /** What takes how long. */
  readonly times: StepTimes;
  /** All stages. */
  readonly stages: readonly PlannedStage[];
  /** Sees what the rank does. */
  readonly record?: RankRecorder | undefined;
}

/** A task as a trace calls it. */
function nameOf(kind: PieceKind, { kind: pass, stage, microBatch }: PipelinePass): string {
  return `${pass} ${kind}, stage ${stage}, micro-batch ${microBatch}`;
}

/** One rank of the pipeline on its way through the step. */
export class RankReplay {
  readonly #times: StepTimes;
  readonly #pieces: readonly Piece[];
  readonly #lanes: Timeline<Lane>;
  readonly #ends: number[] = [];
  /** When the weights of the next pieces have been gathered. */
  readonly #gathered: number[] = [];
  readonly #parameters: number;
  /** Seconds in which it has computed. */
  computing = 0;
  /** Seconds in which it has waited for tensor-parallel ranks. */
  tensor = 0;
  /** Seconds in which it has waited for weights. */
  waitedForWeights = 0;
  /** Seconds of tensor-parallel communication, hidden or not. */
  exchanging = 0;

  /** Puts the rank before its first piece. */
  constructor(rank: number, { times, stages, record }: RankReplayOptions) {
    this.#times = times;
    this.#lanes = new Timeline(record && ((event) => record(rank, event)));
    const passes = pipelinePasses(rank, times.pipeline);
    this.#pieces = passes.flatMap((pass) => piecesOf(pass, stages[pass.stage]!));
    const own = stages.filter((_, stage) => rankOfStage(stage, times.pipeline) === rank);
    const { embedding, block, head } = times.replicas;
    this.#parameters = own.reduce((sum, stage) => {
      const ends = (stage.embedding ? embedding.parameters : 0) +
        (stage.head ? head.parameters : 0);
      return sum + ends + stage.layers * block.parameters;
    }, 0);
  }

  /** Whether it has computed everything. */
  get done(): boolean {
    return this.#ends.length === this.#pieces.length;
  }

  /** Pieces that it computes. */
  get tasks(): number {
    return this.#pieces.length;
  }

  /** Goes on as far as what has arrived allows; returns whether it went on at all. */
  advance(arrived: Map<number, number>): boolean {
    const before = this.#ends.length;
    while (!this.done) {
      const piece = this.#pieces[this.#ends.length]!;
      const ready = this.#readyFor(piece, arrived);
      if (ready === undefined) break;
      this.#run(piece, ready);
      if (piece.last) this.#send(piece.pass, arrived);
    }
    return this.#ends.length > before;
  }

  #readyFor({ first, pass }: Piece, arrived: Map<number, number>): number | undefined {
    const source = first ? passBefore(pass, this.#times.pipeline) : undefined;
    const away = source !== undefined && source.stage !== pass.stage;
    return away ? arrived.get(messageTag(pass, this.#times.pipeline)) : 0;
  }

  #gatherAhead(): void {
    const at = this.#ends.length;
    while (this.#gathered.length <= Math.min(at + GATHERED_AHEAD, this.#pieces.length - 1)) {
      const next = this.#gathered.length;
      const { kind, pass } = this.#pieces[next]!;
      const gathers = this.#times.gathers(pass);
      const after = this.#ends[next - GATHERED_AHEAD - 1] ?? 0;
      const seconds = gathers ? this.#times.replicas[kind].gather : 0;
      this.#gathered.push(
        seconds > 0 ? this.#lanes.add("shard", { seconds, after, name: "gather" }) : 0,
      );
    }
  }

  #run({ kind, pass }: Piece, ready: number): void {
    this.#gatherAhead();
    const gathered = this.#gathered[this.#ends.length]!;
    const begin = Math.max(this.#lanes.end("compute"), ready);
    this.waitedForWeights += Math.max(0, gathered - begin);
    const time = this.#times.pieces[kind][pass.kind];
    const after = Math.max(gathered, ready);
    const end = this.#lanes.add("compute", {
      seconds: time.seconds,
      after,
      name: nameOf(kind, pass),
    });
    this.computing += time.computing;
    this.tensor += time.seconds - time.computing;
    this.exchanging += time.exchanging;
    this.#ends.push(end);
    if (!this.#times.reduces(pass)) return;
    const { reduce, reduceReplicas } = this.#times.replicas[kind];
    const summed = this.#lanes.add("shard", { seconds: reduce, after: end, name: "reduce" });
    this.#lanes.add(this.#times.dataLane, {
      seconds: reduceReplicas,
      after: summed,
      name: "reduce",
    });
  }

  #send({ kind, stage, microBatch }: PipelinePass, arrived: Map<number, number>): void {
    const next = kind === "forward" ? stage + 1 : stage - 1;
    const after = this.#lanes.end("compute");
    const end = this.#lanes.add("send", { seconds: this.#times.message, after });
    arrived.set(messageTag({ kind, stage: next, microBatch }, this.#times.pipeline), end);
  }

  /** When it has computed everything. */
  get computed(): number {
    return this.#lanes.end("compute");
  }

  /** When its gradients are summed too. */
  get reduced(): number {
    return Math.max(this.computed, this.#lanes.end("shard"), this.#lanes.end("data"));
  }

  /** Seconds of its update. */
  get optimizer(): number {
    return this.#times.optimizer(this.#parameters);
  }

  /** Seconds of its communication by kind, hidden or not. */
  communication(): CommunicationSeconds {
    const replicas = this.#lanes.busy("shard") + this.#lanes.busy("data");
    return { tensor: this.exchanging, replicas, pipeline: this.#lanes.busy("send") };
  }
}
