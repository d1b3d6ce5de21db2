/**
 * A batch of whole sequences in a backend's memory, as the kernels of training read it.
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import type { Part } from "../../comm/parts.ts";
import type { ModelConfig } from "../config.ts";
import { aligned } from "../memory_plan.ts";
import { fillRopeTable, ropeAngles } from "../rope.ts";
import type { TrainBatch } from "./trainable.ts";

/** Addresses of a batch of T rows; E is the head dim. */
export interface PlacedBatch {
  /** Rows T of all sequences. */
  readonly rows: number;
  /** Token ids, outside the backend [T]. */
  readonly tokens: Int32Array;
  /** Targets of the whole vocabulary, outside the backend [T]. */
  readonly targets: Int32Array;
  /** What each row reads [T] i32, as `tokens` on the backend. */
  readonly ids_T: Address;
  /** Targets [T] i32, negative where they do not count or are another rank's. */
  readonly targets_T: Address;
  /** First row that each row sees [T] i32. */
  readonly starts_T: Address;
  /** Weights of the targets, scaled [T] f32. */
  readonly weights_T: Address;
  /** Cosines and sines [T, E/2, 2] f32. */
  readonly rope: Address;
  /** The same with negated sines, for gradients. */
  readonly ropeBack: Address;
}

/** Ids, targets, starts and weights. */
const COLUMNS = 4;

/** Bytes that the largest batch takes on the backend. */
export function trainBatchBytes(config: ModelConfig, rows: number): number {
  return COLUMNS * aligned(4 * rows) + 2 * aligned(4 * rows * config.headDim);
}

/** Where batches go. */
export interface BatchPlaceOptions {
  /** Sizes and constants. */
  readonly config: ModelConfig;
  /** Memory of {@linkcode trainBatchBytes} bytes. */
  readonly address: Address;
  /** Most rows. */
  readonly maxRows: number;
  /** The tokens of this rank, where tensor ranks share the vocabulary. */
  readonly vocabulary?: Part | undefined;
}

/** Places batches, one after the other, in the same memory. */
export class BatchPlace {
  readonly #backend: Backend;
  readonly #options: BatchPlaceOptions;
  readonly #rope: Float32Array<ArrayBuffer>;
  readonly #ropeBack: Float32Array<ArrayBuffer>;
  /** Positions of the rows of the tables; 0 to 0 before the first. */
  #positions = new Int32Array(0);

  /** Makes the host's side of the memory at `options.address`. */
  constructor(backend: Backend, options: BatchPlaceOptions) {
    const { config, maxRows } = options;
    this.#backend = backend;
    this.#options = options;
    this.#rope = new Float32Array(maxRows * config.headDim);
    this.#ropeBack = new Float32Array(maxRows * config.headDim);
  }

  /**
   * Checks and uploads a batch; weights of targets follow with {@linkcode BatchPlace.weigh}.
   *
   * @throws {RangeError} When there are too many rows, or an id, target, start or position is none.
   */
  place(batch: TrainBatch): PlacedBatch {
    const { config, address, maxRows, vocabulary } = this.#options;
    checkBatch(batch, { vocabSize: config.vocabSize, maxRows });
    const rows = batch.tokens.length;
    const column = aligned(4 * maxRows);
    const at = (index: number) => address + index * column;
    this.#backend.upload(at(0), batch.tokens);
    this.#backend.upload(at(1), localTargets(batch.targets, vocabulary));
    this.#backend.upload(at(2), batch.starts);
    const rope = at(COLUMNS);
    const ropeBack = rope + aligned(4 * maxRows * config.headDim);
    this.#placeAngles(batch.positions, { rope, ropeBack });
    return {
      rows,
      tokens: batch.tokens,
      targets: batch.targets,
      ids_T: at(0),
      targets_T: at(1),
      starts_T: at(2),
      weights_T: at(3),
      rope,
      ropeBack,
    };
  }

  /** Uploads the weights of the targets [T] of a batch that is placed. */
  weigh({ weights_T }: PlacedBatch, weights: Float32Array<ArrayBuffer>): void {
    this.#backend.upload(weights_T, weights);
  }

  /** Uploads the tables of angles, unless they are there: most batches have the same positions. */
  #placeAngles(
    positions: Int32Array,
    { rope, ropeBack }: Pick<PlacedBatch, "rope" | "ropeBack">,
  ): void {
    const last = this.#positions;
    if (positions.length === last.length && positions.every((p, row) => p === last[row])) return;
    this.#positions = positions.slice();
    const { config } = this.#options;
    const count = positions.length * config.headDim;
    const table = this.#rope.subarray(0, count);
    const reached = positions.reduce((most, position) => Math.max(most, position), 0) + 1;
    fillRopeTable(table, positions, ropeAngles(config, reached));
    const back = this.#ropeBack.subarray(0, count);
    for (let i = 0; i < count; i += 2) {
      back[i] = table[i]!;
      back[i + 1] = -table[i + 1]!;
    }
    this.#backend.upload(rope, table);
    this.#backend.upload(ropeBack, back);
  }
}

/** Targets as places in a part of the vocabulary, -1 where they are in another. */
function localTargets(
  targets: Int32Array<ArrayBuffer>,
  part: Part | undefined,
): Int32Array<ArrayBuffer> {
  if (part === undefined) return targets;
  const { start, end } = part;
  return targets.map((target) => target >= start && target < end ? target - start : -1);
}

function checkBatch(
  batch: TrainBatch,
  { vocabSize, maxRows }: { readonly vocabSize: number; readonly maxRows: number },
): void {
  const refuse = (what: string) => {
    throw new RangeError(`Cannot train on a batch: ${what}`);
  };
  const { tokens, targets, starts, positions, weights, sequences, length } = batch;
  const rows = sequences * length;
  if (!(rows >= 1 && rows <= maxRows)) refuse(`it has ${rows} rows, 1 to ${maxRows} were planned`);
  for (const [name, array] of Object.entries({ tokens, targets, starts, positions, weights })) {
    if (array !== undefined && array.length !== rows) {
      refuse(`"${name}" has ${array.length} numbers, ${rows} were wanted`);
    }
  }
  for (let row = 0; row < rows; row++) {
    const [token, target, start] = [tokens[row]!, targets[row]!, starts[row]!];
    if (!(token >= 0 && token < vocabSize)) {
      refuse(`token ${token} of row ${row} is none, the vocabulary has ${vocabSize}`);
    }
    if (target >= vocabSize) {
      refuse(`target ${target} of row ${row} is none, the vocabulary has ${vocabSize}`);
    }
    if (start !== row && !(row > 0 && start === starts[row - 1])) {
      refuse(`row ${row} starts at ${start}, itself or what the row before has was wanted`);
    }
    if (positions[row]! < 0) refuse(`position ${positions[row]} of row ${row} is negative`);
  }
}
