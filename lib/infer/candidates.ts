/**
 * The tokens that are still in the running for one position, and the steps that thin them out.
 *
 * Semantics: the k largest are exactly k, ties going to the lower id (llama.cpp); a token stays in
 * the nucleus while the more likely ones sum to less than p (Holtzman et al. 2020, section 3.1);
 * min-p is relative to the most likely token (Nguyen et al. 2024); the repetition penalty divides
 * positive and multiplies negative logits, each distinct token once (Keskar et al. 2019, 4.1).
 *
 * @module
 */

import { LlameroError } from "../base/errors.ts";

/** Penalties on tokens that occurred before, as OpenAI's API names them. */
export interface FrequencyPenalties {
  /** Subtracted once per occurrence. */
  readonly frequency: number;
  /** Subtracted once. */
  readonly presence: number;
}

/** Candidate tokens in id order with their logits in double precision; each step works in place. */
export class Candidates {
  #ids = new Uint32Array(0);
  #logits = new Float64Array(0);
  #weights = new Float64Array(0);
  #vocab = 0;
  #count = 0;

  /** Starts over with every token of `logits` [vocab]; a NaN is never a candidate. @throws {LlameroError} Where all are NaN. */
  set(logits: ArrayLike<number>): void {
    const vocab = logits.length;
    if (this.#ids.length < vocab) {
      this.#ids = new Uint32Array(vocab);
      this.#logits = new Float64Array(vocab);
      this.#weights = new Float64Array(vocab);
    }
    let count = 0;
    for (let id = 0; id < vocab; id++) {
      const logit = logits[id]!;
      if (logit !== logit) continue;
      this.#ids[count] = id;
      this.#logits[count] = logit;
      count++;
    }
    if (count === 0) {
      throw new LlameroError(`Cannot choose a token: none of the ${vocab} logits is a number`, {
        hint: "llamero inspect --stats finds weights that are none; too large ones overflow",
      });
    }
    this.#vocab = vocab;
    this.#count = count;
  }

  /** How many tokens are left. */
  get count(): number {
    return this.#count;
  }

  /** Ids of the tokens that are left, ascending. */
  ids(): Uint32Array {
    return this.#ids.slice(0, this.#count);
  }

  /** Divides the positive and multiplies the negative logit of every distinct earlier token. */
  penalizeRepetition(previous: ArrayLike<number>, penalty: number): void {
    this.#penalize(previous, (logit) => logit > 0 ? logit / penalty : logit * penalty);
  }

  /** Subtracts count * frequency + presence from the logit of every earlier token. */
  penalizeFrequency(previous: ArrayLike<number>, penalties: FrequencyPenalties): void {
    this.#penalize(
      previous,
      (logit, count) => logit - (count * penalties.frequency + penalties.presence),
    );
  }

  #penalize(previous: ArrayLike<number>, rule: (logit: number, count: number) => number): void {
    const counts = new Map<number, number>();
    for (let i = 0; i < previous.length; i++) {
      counts.set(previous[i]!, (counts.get(previous[i]!) ?? 0) + 1);
    }
    for (const [id, count] of counts) {
      const at = this.#find(id);
      if (at >= 0) this.#logits[at] = rule(this.#logits[at]!, count);
    }
  }

  /** Index of a token among the candidates, or -1: ids ascend, so it is a binary search. */
  #find(id: number): number {
    let low = 0;
    let high = this.#count - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const found = this.#ids[middle]!;
      if (found === id) return middle;
      if (found < id) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** The most likely token, the lowest id on ties. */
  best(): number {
    let best = 0;
    for (let i = 1; i < this.#count; i++) if (this.#logits[i]! > this.#logits[best]!) best = i;
    return this.#ids[best]!;
  }

  /** Keeps exactly the `k` largest; 0, or as many as there are, keeps all. */
  keepTop(k: number): void {
    if (k === 0 || k >= this.#count) return;
    this.#keepLargest(this.#logits, kthLargest(this.#logits, this.#count, k), k);
  }

  /** Keeps the smallest set of most likely tokens whose probabilities sum to at least `p`. */
  keepNucleus(p: number): void {
    if (p >= 1) return;
    const weights = this.#weights;
    const total = this.#exponentials();
    // Tokens below this share sum to less than 1 - p, so that the nucleus lies above it: sorting the
    // few that are left costs nothing beside sorting a vocabulary.
    const floor = (total * (1 - p)) / this.#count;
    const sorted = weights.slice(0, this.#count).filter((weight) => weight >= floor).sort();
    let kept = 0;
    let sum = 0;
    while (kept < sorted.length && (kept === 0 || sum / total < p)) {
      sum += sorted[sorted.length - 1 - kept]!;
      kept++;
    }
    this.#keepLargest(weights, sorted[sorted.length - kept]!, kept);
  }

  /** Keeps tokens whose probability is at least `share` of the largest. */
  keepLikely(share: number): void {
    if (share <= 0) return;
    // Relative to the largest, whose exponential is 1, no sum is needed.
    this.#exponentials();
    this.#keepWhere((i) => this.#weights[i]! >= share);
  }

  /** Divides every logit by the temperature. */
  divide(temperature: number): void {
    for (let i = 0; i < this.#count; i++) this.#logits[i]! /= temperature;
  }

  /** Probability of every token of the vocabulary, exactly 0 for those that were removed. */
  probabilities(): Float64Array {
    const total = this.#exponentials();
    const out = new Float64Array(this.#vocab);
    for (let i = 0; i < this.#count; i++) out[this.#ids[i]!] = this.#weights[i]! / total;
    return out;
  }

  /** The first token in id order whose cumulative probability exceeds `draw`, in [0, 1). */
  pick(draw: number): number {
    const total = this.#exponentials();
    let sum = 0;
    for (let i = 0; i < this.#count; i++) {
      sum += this.#weights[i]! / total;
      if (sum > draw) return this.#ids[i]!;
    }
    // The sum can fall short of a draw close to 1 by rounding: then it is the last possible token.
    for (let i = this.#count - 1; i > 0; i--) if (this.#weights[i]! > 0) return this.#ids[i]!;
    return this.#ids[0]!;
  }

  /** Fills the weights with exp(logit - largest logit) and returns their sum. */
  #exponentials(): number {
    const logits = this.#logits;
    let max = -Infinity;
    for (let i = 0; i < this.#count; i++) if (logits[i]! > max) max = logits[i]!;
    let total = 0;
    for (let i = 0; i < this.#count; i++) {
      // Equal infinities would give NaN; the largest weighs 1 by definition.
      const weight = logits[i] === max ? 1 : Math.exp(logits[i]! - max);
      this.#weights[i] = weight;
      total += weight;
    }
    return total;
  }

  /** Keeps `kept` tokens: those above `border`, then those equal to it in id order. */
  #keepLargest(values: Float64Array, border: number, kept: number): void {
    let above = 0;
    for (let i = 0; i < this.#count; i++) if (values[i]! > border) above++;
    let ties = kept - above;
    this.#keepWhere((i) => values[i]! > border || (values[i] === border && ties-- > 0));
  }

  #keepWhere(keep: (index: number) => boolean): void {
    let count = 0;
    for (let i = 0; i < this.#count; i++) {
      if (!keep(i)) continue;
      this.#ids[count] = this.#ids[i]!;
      this.#logits[count] = this.#logits[i]!;
      count++;
    }
    this.#count = count;
  }
}

/** The k-th largest of the first `count` values, by a min-heap of k of them. */
function kthLargest(values: Float64Array, count: number, k: number): number {
  const heap = values.slice(0, k);
  for (let root = (k >>> 1) - 1; root >= 0; root--) siftDown(heap, root);
  for (let i = k; i < count; i++) {
    if (values[i]! <= heap[0]!) continue;
    heap[0] = values[i]!;
    siftDown(heap, 0);
  }
  return heap[0]!;
}

function siftDown(heap: Float64Array, start: number): void {
  const value = heap[start]!;
  let at = start;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= value) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = value;
}
