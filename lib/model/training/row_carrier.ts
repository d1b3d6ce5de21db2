/**
 * What carries rows and short vectors between tensor ranks, told by addresses in the backend's memory: by
 * way of the processor's memory, or from GPU to GPU (`device_rows.ts`).
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import type { Communicator } from "../../comm/communicator.ts";
import { TreeSum } from "../../comm/tree_sum.ts";

/** Something that is on its way between ranks. */
export interface OnItsWay {
  /** Waits for it, and puts it where it belongs. @throws {CommunicationError} See `Communicator`. */
  finish(): void;
}

/** Neighbouring bytes in the backend's memory. */
export interface CarriedPlace {
  /** The first. */
  readonly at: Address;
  /** How many bytes. */
  readonly bytes: number;
}

/** Everybody's rows on their way to all. */
export interface Gathering {
  /** Own rows as they are sent. */
  readonly own: CarriedPlace;
  /** Where the rows of each rank are put; the own ones are left alone. */
  readonly places: readonly CarriedPlace[];
  /** Whether it is the gradient of the stream, which travels beside another gathering. */
  readonly gradient: boolean;
  /** Bytes of the gatherings, or sums, that have begun since and are not finished. */
  readonly begin: number;
}

/** Partial sums in f32 on their way to who has the rows. */
export interface Summing {
  /** The rows of each rank, of equal width. */
  readonly parts: readonly CarriedPlace[];
  /** Where the sum of the own ones goes. */
  readonly into: Address;
  /** See {@linkcode Gathering}. */
  readonly begin: number;
}

/** A vector in f32. */
export interface Vector {
  /** Where it is. */
  readonly at: Address;
  /** Elements. */
  readonly count: number;
}

/** Carries between the ranks that share every matrix. */
export interface RowCarrier {
  /** Whether bytes go from GPU to GPU: places are written as soon as they arrive, not in `finish`. */
  readonly direct: boolean;
  /** Starts to send own rows to all, and to receive everybody's. */
  gather(gathering: Gathering): OnItsWay;
  /** Starts to add everybody's rows; each rank gets the sum of its own. */
  sum(summing: Summing): OnItsWay;
  /** Starts to add up short vectors over all ranks, in place, in one exchange. */
  totalShort(vector: Vector): OnItsWay;
  /** Starts to add up vectors, in place, over the ranks with the same key and value heads. */
  totalOfCopies(vector: Vector): OnItsWay;
}

/** Carries by way of the processor's memory. */
export class HostRows implements RowCarrier {
  readonly direct = false;
  readonly #backend: Pick<Backend, "download" | "upload">;
  readonly #ranks: Communicator;
  readonly #copies: Communicator;
  readonly #rows: ArrayBuffer;
  readonly #gradients: ArrayBuffer;

  /** Takes room for all rows of a batch in f32, twice. */
  constructor(
    backend: Pick<Backend, "download" | "upload">,
    options: {
      readonly ranks: Communicator;
      readonly copies: Communicator;
      /** Bytes of all rows. */
      readonly bytes: number;
    },
  ) {
    this.#backend = backend;
    this.#ranks = options.ranks;
    this.#copies = options.copies;
    this.#rows = new ArrayBuffer(options.bytes);
    this.#gradients = new ArrayBuffer(options.bytes);
  }

  /** See {@linkcode RowCarrier.gather}. */
  gather({ own, places, gradient, begin }: Gathering): OnItsWay {
    const { rank } = this.#ranks;
    const lengths = places.map(({ bytes }) => bytes);
    const staging = gradient ? this.#gradients : this.#rows;
    const all = new Uint8Array(staging, begin, totalOf(lengths));
    const parts = cut(all, lengths);
    this.#backend.download(parts[rank]!, own.at);
    const handle = this.#ranks.startAllGather(all, { lengths });
    return {
      finish: () => {
        handle.wait();
        places.forEach(({ at, bytes }, from) => {
          if (from !== rank && bytes > 0) this.#backend.upload(at, parts[from]!);
        });
      },
    };
  }

  /** See {@linkcode RowCarrier.sum}. */
  sum({ parts, into, begin }: Summing): OnItsWay {
    const lengths = parts.map(({ bytes }) => bytes / 4);
    const all = new Float32Array(this.#rows, begin, totalOf(lengths));
    cut(all, lengths).forEach((part, rank) => {
      if (part.length > 0) this.#backend.download(part, parts[rank]!.at);
    });
    const handle = this.#ranks.startReduceScatter(all, { lengths });
    return {
      finish: () => this.#backend.upload(into, handle.wait() as Float32Array<ArrayBuffer>),
    };
  }

  /** See {@linkcode RowCarrier.totalShort}: nobody has to move the exchange on before it is waited for. */
  totalShort({ at, count }: Vector): OnItsWay {
    const { rank, size } = this.#ranks;
    const all = new Float32Array(size * count);
    const of = (from: number) => all.subarray(from * count, (from + 1) * count);
    this.#backend.download(of(rank), at);
    const handle = this.#ranks.startAllGather(all);
    return {
      finish: () => {
        handle.wait();
        const tree = new TreeSum("sum");
        for (let from = 0; from < size; from++) tree.add(of(from));
        this.#backend.upload(at, tree.finish() as Float32Array<ArrayBuffer>);
      },
    };
  }

  /** See {@linkcode RowCarrier.totalOfCopies}. */
  totalOfCopies({ at, count }: Vector): OnItsWay {
    const values = new Float32Array(count);
    this.#backend.download(values, at);
    const handle = this.#copies.startAllReduce(values);
    return {
      finish: () => {
        handle.wait();
        this.#backend.upload(at, values);
      },
    };
  }
}

function totalOf(lengths: readonly number[]): number {
  return lengths.reduce((sum, length) => sum + length, 0);
}

/** Parts of given lengths, one after the other. */
function cut<Values extends Uint8Array<ArrayBuffer> | Float32Array<ArrayBuffer>>(
  all: Values,
  lengths: readonly number[],
): Values[] {
  let begin = 0;
  return lengths.map((length) => all.subarray(begin, begin += length) as Values);
}
