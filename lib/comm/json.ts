/**
 * JSON values between ranks, for what is said once and not computed with.
 *
 * @module
 */

import type { Communicator } from "./communicator.ts";

/** Gathers a JSON value of every rank, in their order; every rank calls it. */
export function gatherJson(ranks: Communicator, value: unknown): unknown[] {
  const text = new TextEncoder().encode(JSON.stringify(value));
  const lengths = new Float64Array(ranks.size);
  lengths[ranks.rank] = text.length;
  ranks.allGather(lengths);
  const all = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  const before = lengths.subarray(0, ranks.rank).reduce((sum, length) => sum + length, 0);
  all.set(text, before);
  ranks.allGather(all, { lengths: [...lengths] });
  let at = 0;
  return [...lengths].map((length) =>
    JSON.parse(new TextDecoder().decode(all.subarray(at, at += length)))
  );
}

/** Gives every rank the JSON value of one of them; every rank calls it, the others\' values are ignored. */
export function broadcastJson(ranks: Communicator, { value, root = 0 }: {
  readonly value: unknown;
  readonly root?: number;
}): unknown {
  const text = new TextEncoder().encode(JSON.stringify(value ?? null));
  const length = Float64Array.of(text.length);
  ranks.broadcast(length, root);
  const bytes = ranks.rank === root ? text : new Uint8Array(length[0]!);
  ranks.broadcast(bytes, root);
  return JSON.parse(new TextDecoder().decode(bytes));
}
