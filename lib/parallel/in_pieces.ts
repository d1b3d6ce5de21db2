/**
 * All-reduces of long vectors, cut into pieces: while one piece is being summed others are on their
 * way, in both directions of a link. The sum of an element is the same in whatever piece it lies.
 *
 * @module
 */

import type { Communicator, Handle } from "../comm/communicator.ts";

/** Elements of a piece: 4 MiB, as a bucket has. */
const PIECE = 1 << 20;

/** Neighbouring elements of a vector, from its start to its end. */
export function* cutsOf(length: number): Generator<{ first: number; end: number }> {
  for (let first = 0; first < length; first += PIECE) {
    yield { first, end: Math.min(first + PIECE, length) };
  }
}

/** Several calls as one. */
export function together(handles: readonly Handle<void>[]): Handle<void> {
  return {
    done: () => handles.every((handle) => handle.done()),
    wait: () => handles.forEach((handle) => handle.wait()),
  };
}

/** Starts to sum everybody's vector in place. */
export function startInPieces(
  replicas: Pick<Communicator, "startAllReduce">,
  values: Float32Array<ArrayBuffer>,
): Handle<void> {
  const pieces = [...cutsOf(values.length)];
  return together(
    pieces.map(({ first, end }) => replicas.startAllReduce(values.subarray(first, end))),
  );
}
