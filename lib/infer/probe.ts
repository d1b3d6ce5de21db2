/**
 * One forward pass on given token ids: logits and losses, for comparing with any other
 * implementation.
 *
 * @module
 */

import type { Decoder } from "../model/decoder.ts";
import { documentSpans, type ProbeBatch } from "./probe_batch.ts";
import { forceTexts, type GivenText, type TeacherForcingOptions } from "./teacher_forcing.ts";

/** How a batch is probed. */
export interface ProbeOptions extends TeacherForcingOptions {
  /** Whether attention stays inside a document and positions restart. @default {false} */
  readonly documentMask?: boolean | undefined;
  /** Weight of log^2 Z in the loss; the config's without it. */
  readonly zLoss?: number | undefined;
}

/** The losses of a batch, over the targets that count. */
export interface ProbeResult {
  /** ce + z; `undefined`, as they, where no target counts. */
  readonly loss: number | undefined;
  /** Mean of -log p(target). */
  readonly ce: number | undefined;
  /** zLoss * mean of log^2 Z. */
  readonly z: number | undefined;
  /** Targets that count. */
  readonly count: number;
  /** log p(target) of every token, 0 where it does not count [B * T]. */
  readonly logProb: Float32Array;
}

/**
 * Yields the logits [rows, V] in the order of the batch, some rows at a time, and returns the losses.
 *
 * loss = ce + z, ce = -mean log p(target), z = zLoss * mean log^2 Z (Chowdhery et al. 2022, section
 * 5). The yielded memory is overwritten by the next rows.
 *
 * @throws {ConfigError} When a document mask is asked for and the batch says nothing of documents, or
 * a document comes back after another.
 */
export async function* probe(
  decoder: Decoder,
  batch: ProbeBatch,
  options: ProbeOptions = {},
): AsyncGenerator<Float32Array, ProbeResult, void> {
  const texts = options.documentMask ? documentsOf(batch) : rowsOf(batch);
  const tokens = batch.inputIds.length * batch.inputIds[0]!.length;
  const targets = batch.targets === undefined
    ? new Int32Array(tokens).fill(-100)
    : Int32Array.from(batch.targets.flat());
  const logProb = new Float32Array(tokens);
  let [count, sum, sumOfSquares] = [0, 0, 0];
  for await (const chunk of forceTexts(decoder, texts, options)) {
    const { first } = chunk;
    const scores = chunk.score(targets.subarray(first, first + chunk.count));
    logProb.set(scores.logProb, first);
    for (let i = 0; i < chunk.count; i++) {
      if (targets[first + i]! < 0) continue;
      count++;
      sum -= scores.logProb[i]!;
      sumOfSquares += scores.logZ[i]! ** 2;
    }
    yield chunk.logits();
  }
  if (count === 0) return { loss: undefined, ce: undefined, z: undefined, count, logProb };
  const ce = sum / count;
  const z = (options.zLoss ?? decoder.config.zLoss) * sumOfSquares / count;
  return { loss: ce + z, ce, z, count, logProb };
}

function rowsOf({ inputIds, positionIds }: ProbeBatch): GivenText[] {
  return inputIds.map((tokens, b) => ({ tokens, positions: positionIds?.[b] }));
}

/** Every run of one document number becomes a text of its own, whose positions start at 0. */
function documentsOf(batch: ProbeBatch): GivenText[] {
  return documentSpans(batch).map(({ row, start, end }) => ({
    tokens: batch.inputIds[row]!.slice(start, end),
    positions: batch.positionIds?.[row]?.slice(start, end),
  }));
}
