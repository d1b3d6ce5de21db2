/**
 * The loss on data that a run does not train on.
 *
 * @module
 */

import { EventLoop } from "../base/event_loop.ts";
import type { Communicator } from "../comm/communicator.ts";
import { evaluationBatches, type EvaluationOptions, type SequenceBatch } from "../data/batches.ts";
import type { TokenSource } from "../data/token_source.ts";
import type { GradientEngine } from "./gradient_engine.ts";

/** What an evaluation found. */
export interface Evaluation {
  /** Mean cross-entropy per token, in nats. */
  readonly loss: number;
  /** Bits per byte of the text that the targets are. */
  readonly bitsPerByte: number;
  /** Targets that counted. */
  readonly tokens: number;
}

/**
 * Evaluates a model: `loss = sum ce / tokens`, `bits per byte = sum ce / (ln 2 * bytes)`. Replicas
 * take the batches in turn; the sums are in the order of the batches, whoever has computed them.
 *
 * @param sources Whose windows are taken.
 */
export async function evaluate(
  engine: Pick<GradientEngine, "evaluate" | "batchesAtOnce">,
  options: EvaluationOptions & {
    readonly sources: readonly TokenSource[];
    /** The replicas of the model. */
    readonly replicas: Communicator;
    /** Bytes of text of each token id. */
    readonly tokenBytes: Uint16Array;
  },
): Promise<Evaluation> {
  const { sources, replicas, tokenBytes } = options;
  const loop = new EventLoop();
  const found: number[] = [];
  const atOnce = replicas.size * (engine.batchesAtOnce ?? 1);
  for (const round of roundsOf(evaluationBatches(sources, options), atOnce)) {
    const own = round.filter((_, place) => place % replicas.size === replicas.rank);
    // Ranks that share out weights bring them together: who has no batch left computes one for naught.
    while (own.length < Math.ceil(round.length / replicas.size)) own.push(round[0]!);
    const evaluated = await engine.evaluate(own);
    for (const [place, batch] of round.entries()) {
      const isOwn = place % replicas.size === replicas.rank;
      const { ce, count } = evaluated[Math.floor(place / replicas.size)]!;
      found.push(...(isOwn ? [ce, count, bytesOf(batch, tokenBytes)] : [0, 0, 0]));
    }
    await loop.turn();
  }
  // One of the replicas has each number, the others zero: adding them up changes no bit.
  const all = Float64Array.from(found);
  replicas.allReduce(all);
  let [ce, tokens, bytes] = [0, 0, 0];
  for (let at = 0; at < all.length; at += 3) {
    ce += all[at]!;
    tokens += all[at + 1]!;
    bytes += all[at + 2]!;
  }
  return { loss: ce / tokens, bitsPerByte: ce / (Math.LN2 * bytes), tokens };
}

function bytesOf({ targets }: SequenceBatch, tokenBytes: Uint16Array): number {
  let bytes = 0;
  for (const id of targets) if (id >= 0) bytes += tokenBytes[id] ?? 0;
  return bytes;
}

/** Takes so many at once; the last time, what is left. */
function* roundsOf<T>(items: Iterable<T>, size: number): Generator<T[]> {
  let round: T[] = [];
  for (const item of items) {
    round.push(item);
    if (round.length < size) continue;
    yield round;
    round = [];
  }
  if (round.length > 0) yield round;
}
