/**
 * How far the predictions of two runs lie apart.
 *
 * @module
 */

/** Mean over rows of sum p log(p / q), p and q the softmax of logits [rows, vocabSize]. */
export function meanDivergence(
  exact: Float32Array,
  other: Float32Array,
  vocabSize: number,
): number {
  const logProbabilities = (logits: Float32Array) => {
    const max = logits.reduce((most, x) => Math.max(most, x), -Infinity);
    const logZ = max + Math.log(logits.reduce((sum, x) => sum + Math.exp(x - max), 0));
    return Array.from(logits, (x) => x - logZ);
  };
  let total = 0;
  for (let at = 0; at < exact.length; at += vocabSize) {
    const p = logProbabilities(exact.subarray(at, at + vocabSize));
    const q = logProbabilities(other.subarray(at, at + vocabSize));
    total += p.reduce((sum, logP, i) => sum + Math.exp(logP) * (logP - q[i]!), 0);
  }
  return total / (exact.length / vocabSize);
}
