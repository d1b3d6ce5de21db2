/**
 * What a model thought of the tokens that came: log-probabilities before penalties, filters and
 * temperature, in double precision.
 *
 * @module
 */

/** A token with its log-probability. */
export interface TokenLogProb {
  /** Token id. */
  readonly id: number;
  /** Natural logarithm of its probability; -Infinity where it is 0. */
  readonly logProb: number;
}

/** What a model thought at one position. */
export interface PositionLogProbs extends TokenLogProb {
  /** The most likely tokens, likeliest first, the lower id on ties. */
  readonly top: readonly TokenLogProb[];
}

/**
 * The log-probability of `id` and of the `count` most likely tokens, from logits [V].
 *
 * log p(i) = logit(i) - log sum_j exp(logit(j)).
 */
export function logProbsOf(
  logits: ArrayLike<number>,
  { id, count }: { readonly id: number; readonly count: number },
): PositionLogProbs {
  const logZ = logSumExp(logits);
  const at = (index: number): TokenLogProb => ({ id: index, logProb: logits[index]! - logZ });
  return { ...at(id), top: mostLikely(logits, count).map(at) };
}

function logSumExp(logits: ArrayLike<number>): number {
  let max = -Infinity;
  for (let i = 0; i < logits.length; i++) if (logits[i]! > max) max = logits[i]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - max);
  return max + Math.log(sum);
}

/** Indices of the `count` largest values, largest first: an insertion into a short sorted list. */
function mostLikely(logits: ArrayLike<number>, count: number): number[] {
  const best: number[] = [];
  for (let i = 0; i < logits.length; i++) {
    if (best.length === count && !(logits[i]! > logits[best[count - 1]!]!)) continue;
    let at = best.length === count ? count - 1 : best.length;
    while (at > 0 && logits[i]! > logits[best[at - 1]!]!) {
      best[at] = best[at - 1]!;
      at--;
    }
    best[at] = i;
  }
  return best;
}
