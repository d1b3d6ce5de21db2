/**
 * ZeRO (Rajbhandari et al. 2020, arXiv:1910.02054): the ranks of the shard axis share out what data
 * parallelism has on every rank. Figure 1 of the paper, with P parameters in f32 over N ranks:
 *
 * | stage | weights | gradients | moments |
 * | ----- | ------- | --------- | ------- |
 * | none  | 4 P     | 4 P       | 8 P     |
 * | 1     | 4 P     | 4 P       | 8 P / N |
 * | 2     | 4 P     | 4 P / N   | 8 P / N |
 * | 3     | 4 P / N | 4 P / N   | 8 P / N |
 *
 * and, where something is shared out, one unit of a pass (block, or embedding and head) of it besides.
 *
 * All stages reduce-scatter gradients, update what they own and gather weights; they differ in what
 * they keep, and no stage changes a bit of what data parallelism computes. That binds gradients:
 * micro-batches are added up on each rank before ranks are, so that whole gradients must be kept over
 * several micro-batches. Stages 2 and 3 part with them where a step has one micro-batch, or where all
 * are added in one tree (`--reduce tree`), which costs a reduction for each micro-batch.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import type { Communicator } from "../comm/communicator.ts";
import type { DeviceRanks } from "../comm/device/ranks.ts";
import { aligned } from "../model/memory_plan.ts";
import type { ArenaPlan } from "../model/training/slots.ts";
import type { Parameter, Streamed } from "../model/training/trainable.ts";
import type { ReduceOrder } from "./micro_batches.ts";
import { DeviceOwnGradients } from "./device_own_gradients.ts";
import { OwnGradients } from "./own_gradients.ts";
import { Ownership, type Piece } from "./partition.ts";
import { UnitWeights } from "./unit_weights.ts";

/** What is shared out: optimizer state; gradients too; weights too. */
export type ZeroStage = 1 | 2 | 3;

/** What a rank has of one unit at a time in a stage. */
export function streamedIn(
  stage: ZeroStage,
  { order, microBatches }: { readonly order: ReduceOrder; readonly microBatches: number },
): Streamed {
  return {
    weights: stage === 3,
    gradients: stage >= 2 && (order === "tree" || microBatches === 1),
  };
}

/** A model as far as it is shared out. */
export interface ShardedModel {
  /** Its parameters. */
  readonly parameters: readonly Parameter[];
  /** Where they lie. */
  readonly plan: ArenaPlan;
  /** Whether the head reads the embedding. */
  readonly config: { readonly tieWordEmbeddings: boolean };
  /** Makes the bf16 copies of weights that were brought. */
  weightsBrought(indices: readonly number[]): void;
}

/** Bytes of memory for pieces, each aligned. */
export function pieceBytes(pieces: readonly Pick<Piece, "count">[]): number {
  return pieces.reduce((sum, { count }) => sum + aligned(4 * count), 0);
}

/** What a rank owns, in the backend's memory. */
export class Shards {
  /** Who owns what. */
  readonly ownership: Ownership;
  /** The own pieces, where the optimizer reads and writes them. */
  readonly pieces: readonly (Piece & Pick<Parameter, "weight" | "grad" | "compute">)[];
  /** Brings weights to where passes read them. */
  readonly weights: UnitWeights;
  /** Gradients of what is owned, where nobody keeps all of them. */
  readonly gradients: OwnGradients | DeviceOwnGradients | undefined;
  readonly #backend: Backend;
  readonly #taken: Address[] = [];

  /** Shares out a model that was made with these options. @throws {BackendError} Without memory. */
  constructor(
    backend: Backend,
    model: ShardedModel,
    { shard, streamed, gpus }: {
      /** Who shares it out. */
      readonly shard: Communicator;
      /** What is of one unit at a time. */
      readonly streamed: Streamed;
      /** Their GPUs, where they are connected. */
      readonly gpus?: DeviceRanks | undefined;
    },
  ) {
    this.#backend = backend;
    const { parameters, plan: { units, slotOf }, config } = model;
    this.ownership = new Ownership(shard, { parameters, units });
    const { own } = this.ownership;
    try {
      const masters = streamed.weights ? this.#reserve(own) : undefined;
      const gradients = streamed.gradients ? this.#reserve(own) : undefined;
      this.pieces = own.map((piece, i) => {
        const { weight, grad, compute } = parameters[piece.parameter]!;
        const { first } = piece;
        return {
          ...piece,
          weight: masters?.[i] ?? weight + 4 * first,
          grad: gradients?.[i] ?? grad + 4 * first,
          // Copies are made anew of what is brought.
          compute: streamed.weights || compute === 0 ? 0 : compute + 2 * first,
        };
      });
    } catch (thrown) {
      this.close();
      throw thrown;
    }
    if (streamed.gradients) {
      this.gradients = gpus === undefined
        ? new OwnGradients(backend, this.pieces)
        : new DeviceOwnGradients(backend, this.pieces);
    }
    this.weights = new UnitWeights(backend, {
      ...{ parameters, units, ownership: this.ownership },
      masters: this.pieces.map(({ weight }) => weight),
      slotOf: streamed.weights ? slotOf : undefined,
      tied: config.tieWordEmbeddings,
      brought: (indices) => model.weightsBrought(indices),
      gpus,
    });
  }

  #reserve(pieces: readonly Piece[]): Address[] {
    let at = this.#backend.alloc(Math.max(aligned(1), pieceBytes(pieces)));
    this.#taken.push(at);
    return pieces.map(({ count }) => {
      const address = at;
      at += aligned(4 * count);
      return address;
    });
  }

  /** Gives the memory back; does nothing the second time. */
  close(): void {
    this.weights?.close();
    if (this.gradients instanceof DeviceOwnGradients) this.gradients.close();
    for (const address of this.#taken.splice(0)) this.#backend.free(address);
  }
}
