/**
 * How the elements of a model are shared out over the ranks of ZeRO's shard axis (Rajbhandari et al.
 * 2020, arXiv:1910.02054, section 5): which neighbouring elements of which parameter each rank owns.
 *
 * Every unit of a pass (embedding, block, head) is cut by itself, into one run of elements per rank, so
 * that all ranks send and receive while a unit is gathered or reduced. Cuts fall between parts of
 * 32,768 elements, as the kernels count them from the beginning of each parameter: sums over parts,
 * which the norm and Adafactor's scales are made of, are then the same bits however they are shared out.
 * Cuts are placed so that the ranks have, over all units so far, as equal shares as whole parts allow:
 * no rank has more than one part beyond its due.
 *
 * @module
 */

import type { Communicator } from "../comm/communicator.ts";
import type { Parameter } from "../model/training/trainable.ts";

/** Elements that the kernels sum together: `PART` of kernels/cpu/src/ops/moments.rs. */
export const PART_ELEMENTS: number = 2 ** 15;

/** Neighbouring elements of a parameter; the first is that of a part. */
export interface Piece {
  /** Place of the parameter in the list. */
  readonly parameter: number;
  /** First element. */
  readonly first: number;
  /** How many. */
  readonly count: number;
}

/** What each rank owns of every unit. */
export interface Partition {
  /** Pieces in the order of the unit's elements, by unit and rank. */
  readonly pieces: readonly (readonly (readonly Piece[])[])[];
  /** Elements of each rank's part of a unit, by unit and rank. */
  readonly lengths: readonly (readonly number[])[];
}

/** Cuts parameters into parts. */
function* partsOf(
  parameters: readonly Pick<Parameter, "count">[],
  unit: readonly number[],
): Generator<Piece> {
  for (const parameter of unit) {
    const { count } = parameters[parameter]!;
    for (let first = 0; first < count; first += PART_ELEMENTS) {
      yield { parameter, first, count: Math.min(PART_ELEMENTS, count - first) };
    }
  }
}

/** Adds a part to the pieces of a rank; it becomes one with the neighbour before it. */
function append(pieces: Piece[], part: Piece): void {
  const last = pieces.at(-1);
  if (last?.parameter === part.parameter && last.first + last.count === part.first) {
    pieces[pieces.length - 1] = { ...last, count: last.count + part.count };
  } else pieces.push(part);
}

/** Shares the parameters of units out over ranks. */
export function partitionOf(
  parameters: readonly Pick<Parameter, "count">[],
  { units, ranks }: { readonly units: readonly (readonly number[])[]; readonly ranks: number },
): Partition {
  /** Elements that the ranks before each one have, itself counted. */
  const upTo = new Array<number>(ranks).fill(0);
  let all = 0;
  const pieces = units.map((unit) => {
    const parts = [...partsOf(parameters, unit)];
    all += parts.reduce((sum, { count }) => sum + count, 0);
    const owned = Array.from({ length: ranks }, (): Piece[] => []);
    let [rank, given] = [0, 0];
    const before = [...upTo];
    for (const part of parts) {
      // A part goes to the rank within whose due its middle lies.
      const middle = given + part.count / 2;
      while (rank < ranks - 1 && before[rank]! + middle > (all * (rank + 1)) / ranks) rank++;
      append(owned[rank]!, part);
      given += part.count;
      for (let r = rank; r < ranks; r++) upTo[r]! += part.count;
    }
    return owned;
  });
  const lengths = pieces.map((ranks) =>
    ranks.map((owned) => owned.reduce((sum, { count }) => sum + count, 0))
  );
  return { pieces, lengths };
}

/** All pieces of one rank, unit by unit. */
export function piecesOf(partition: Partition, rank: number): Piece[] {
  return partition.pieces.flatMap((ranks) => ranks[rank]!);
}

/** The part of a model that this rank owns, among the ranks of a shard axis. */
export class Ownership {
  /** The ranks that the model is shared out over. */
  readonly ranks: Communicator;
  /** What each of them owns. */
  readonly partition: Partition;
  /** What this rank owns, unit by unit. */
  readonly own: readonly Piece[];
  readonly #counts: readonly number[];
  /** Elements that each rank owns of each parameter. */
  readonly #lengths: readonly (readonly number[])[];

  /** Shares out parameters by units. */
  constructor(
    ranks: Communicator,
    { parameters, units }: {
      readonly parameters: readonly Pick<Parameter, "count">[];
      readonly units: readonly (readonly number[])[];
    },
  ) {
    this.ranks = ranks;
    this.partition = partitionOf(parameters, { units, ranks: ranks.size });
    this.own = piecesOf(this.partition, ranks.rank);
    this.#counts = parameters.map(({ count }) => count);
    const lengths = parameters.map(() => new Array<number>(ranks.size).fill(0));
    for (const unit of this.partition.pieces) {
      unit.forEach((pieces, rank) => {
        for (const { parameter, count } of pieces) lengths[parameter]![rank]! += count;
      });
    }
    this.#lengths = lengths;
  }

  /** Reads a parameter's elements [count] from their owners, on all ranks together. */
  gather(
    parameter: number,
    read: (own: Float32Array<ArrayBuffer>, piece: Piece) => void,
  ): Float32Array<ArrayBuffer> {
    const values = new Float32Array(this.#counts[parameter]!);
    for (const piece of this.own) {
      if (piece.parameter !== parameter) continue;
      read(values.subarray(piece.first, piece.first + piece.count), piece);
    }
    this.ranks.allGather(values, { lengths: this.#lengths[parameter]! });
    return values;
  }
}
