/**
 * The loss on data that a run does not train on.
 *
 * @module
 */

import { EventLoop } from "../base/event_loop.ts";
import { evaluationBatches, type EvaluationOptions } from "../data/batches.ts";
import type { TokenSource } from "../data/token_source.ts";
import type { Trainable } from "../model/training/trainable.ts";

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
 * Evaluates a model: `loss = sum ce / tokens`, `bits per byte = sum ce / (ln 2 * bytes)`.
 *
 * @param sources Whose windows are taken.
 */
export async function evaluate(
  model: Trainable,
  options: EvaluationOptions & {
    readonly sources: readonly TokenSource[];
    /** Bytes of text of each token id. */
    readonly tokenBytes: Uint16Array;
  },
): Promise<Evaluation> {
  const loop = new EventLoop();
  let [ce, tokens, bytes] = [0, 0, 0];
  for (const batch of evaluationBatches(options.sources, options)) {
    const sums = model.evaluate(batch, { zLoss: 0 });
    ce += sums.ce;
    tokens += sums.count;
    for (const id of batch.targets) if (id >= 0) bytes += options.tokenBytes[id] ?? 0;
    await loop.turn();
  }
  return { loss: ce / tokens, bitsPerByte: ce / (Math.LN2 * bytes), tokens };
}
