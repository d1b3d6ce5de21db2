/**
 * What a row of logits says of the next token, in double precision.
 *
 * @module
 */

/** One model's view of one token. */
export interface TokenJudgement {
  /** -log p(token). */
  readonly loss: number;
  /** The most likely token, the lowest id on ties. */
  readonly best: number;
  /** log sum_j exp(logit(j)). */
  readonly logZ: number;
}

/** Judges a token by logits [V]. */
export function judge(logits: Float32Array, token: number): TokenJudgement {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  const max = logits[best]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - max);
  const logZ = max + Math.log(sum);
  return { loss: logZ - logits[token]!, best, logZ };
}

/** A row of logits with the log of its sum. */
export interface Distribution {
  /** Logits [V]. */
  readonly logits: Float32Array;
  /** log sum_j exp(logit(j)). */
  readonly logZ: number;
}

/** KL(p || q) = sum_i p(i) (log p(i) - log q(i)); at least 0, where rounding would take it below. */
export function klDivergence(p: Distribution, q: Distribution): number {
  let sum = 0;
  for (let i = 0; i < p.logits.length; i++) {
    const logP = p.logits[i]! - p.logZ;
    const weight = Math.exp(logP);
    if (weight > 0) sum += weight * (logP - (q.logits[i]! - q.logZ));
  }
  return Math.max(0, sum);
}

/** A mean with the standard error of it. */
export interface Estimate {
  /** Arithmetic mean of the values. */
  readonly mean: number;
  /** Standard deviation over the square root of the count; 0 for a single value. */
  readonly standardError: number;
}

/** Mean and standard error: sqrt(sum (x - mean)^2 / (n - 1) / n). */
export function estimate(values: ArrayLike<number>): Estimate {
  const count = values.length;
  let mean = 0;
  for (let i = 0; i < count; i++) mean += values[i]! / count;
  let squares = 0;
  for (let i = 0; i < count; i++) squares += (values[i]! - mean) ** 2;
  return { mean, standardError: count < 2 ? 0 : Math.sqrt(squares / (count - 1) / count) };
}

/** The smallest value that at least this share of all values do not exceed. */
export function percentile(values: Float64Array, share: number): number {
  const sorted = values.toSorted();
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))]!;
}
