/**
 * Rows and short vectors between tensor ranks that have a GPU each, over NCCL: from where kernels have made
 * them to where kernels read them, on the queue between ranks, without a wait on the processor.
 *
 * What travels must stay as it is until `finish`, and what arrives may come at any time before it: blocks
 * work on other memory meanwhile. Sums have the order, and the bits, of those in the processor's memory.
 *
 * @module
 */

import { type DeviceRanks, roomBytes } from "../../comm/device/ranks.ts";
import type { Gathering, OnItsWay, RowCarrier, Summing, Vector } from "./row_carrier.ts";

/** The GPUs of tensor ranks. */
export interface TensorGpus {
  /** All that share every matrix. */
  readonly ranks: DeviceRanks;
  /** Those of them with the same key and value heads. */
  readonly copies: DeviceRanks;
}

/** Carries from GPU to GPU. */
export class DeviceRows implements RowCarrier {
  readonly direct = true;
  readonly #gpus: TensorGpus;

  /** Takes the memory for what arrives to be added: see {@linkcode deviceRowsBytes}. */
  constructor(gpus: TensorGpus, shape: DeviceRowsShape) {
    this.#gpus = gpus;
    const { rows, copies } = roomsOf(shape);
    gpus.ranks.reserve(rows);
    gpus.copies.reserve(copies);
  }

  /** See {@linkcode RowCarrier.gather}. */
  gather({ own, places }: Gathering): OnItsWay {
    const coming = this.#gpus.ranks.gatherBytes(
      { data: own.at, bytes: own.bytes },
      places.map(({ at, bytes }) => ({ data: at, bytes })),
    );
    return { finish: coming.join };
  }

  /** See {@linkcode RowCarrier.sum}. */
  sum({ parts, into }: Summing): OnItsWay {
    const places = parts.map(({ at, bytes }) => ({ data: at, elements: bytes / 4 }));
    return { finish: this.#gpus.ranks.sumParts(places, { into }).join };
  }

  /** See {@linkcode RowCarrier.totalShort}. */
  totalShort({ at, count }: Vector): OnItsWay {
    return { finish: this.#gpus.ranks.allReduceShort(at, count).join };
  }

  /** See {@linkcode RowCarrier.totalOfCopies}. */
  totalOfCopies({ at, count }: Vector): OnItsWay {
    return { finish: this.#gpus.copies.allReduce(at, count).join };
  }
}

/** What the memory of {@linkcode DeviceRows} depends on. */
export interface DeviceRowsShape {
  /** Tensor ranks. */
  readonly ranks: number;
  /** How many of them have the same key and value heads. */
  readonly copies: number;
  /** Most own rows of a batch. */
  readonly ownRows: number;
  /** Elements of a row. */
  readonly width: number;
  /** Elements of keys' and values' gradients that copies add up. */
  readonly keyValues: number;
}

function roomsOf(
  { ranks, copies, ownRows, width, keyValues }: DeviceRowsShape,
): { readonly rows: number; readonly copies: number } {
  return {
    // Two norms' gradients go round whole.
    rows: roomBytes(Math.max(ownRows * width, 2 * width), ranks),
    copies: copies > 1 ? roomBytes(Math.ceil(keyValues / copies), copies) : 0,
  };
}

/** Bytes of the GPU in which rows and sums arrive. */
export function deviceRowsBytes(shape: DeviceRowsShape): number {
  const { rows, copies } = roomsOf(shape);
  return rows + copies;
}
