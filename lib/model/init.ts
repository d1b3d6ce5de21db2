/**
 * The weights that training starts from, as a pure function of config and seed.
 *
 * Llama: Meta has not published theirs; taken is what GPT-2, Megatron-LM, llama2.c and Hugging Face's
 * `initializer_range` agree on: matrices and embedding N(0, 0.02^2), those that add to the residual
 * stream (attention output and down) N(0, (0.02 / sqrt(2 layers))^2), norms 1. Source: Radford et al.
 * 2019, section 2.3; Shoeybi et al. 2019 (arXiv:1909.08053), section 4.
 *
 * PaLM: kernels N(0, 1 / inputs), embedding N(0, 1), norms 1; the logits' 1/sqrt(hidden size) stands
 * in the config. Source: Chowdhery et al. 2022 (arXiv:2204.02311), section 5.1.
 *
 * @module
 */

import { RandomStream } from "../base/random.ts";
import type { ModelConfig } from "./config.ts";
import { heldElements, type HeldWeight, heldWeights, sliceRuns } from "./training/parts.ts";
import type { WeightSpec } from "./weights.ts";

const STANDARD_DEVIATION = 0.02;

/** Standard deviation that a weight is drawn with; `undefined` for norms, which are 1. */
export function initialDeviation(config: ModelConfig, spec: WeightSpec): number | undefined {
  if (spec.shape.length === 1) return undefined;
  if (config.architecture === "palm") {
    return spec.role === "embedding" ? 1 : 1 / Math.sqrt(spec.shape[1]!);
  }
  const addsToStream = spec.role === "attention.output" || spec.role === "feed_forward.down";
  return addsToStream
    ? STANDARD_DEVIATION / Math.sqrt(2 * config.numHiddenLayers)
    : STANDARD_DEVIATION;
}

/** Elements that are drawn at once: large models have tensors that nobody wants in memory twice. */
const PIECE = 1 << 20;

/** Some of a weight's first values. */
export interface InitialValues {
  /** The weight. */
  readonly spec: WeightSpec;
  /** Which element of what is held of it is the first of these. */
  readonly first: number;
  /** The values, in memory that the next piece overwrites. */
  readonly values: Float32Array<ArrayBuffer>;
}

/**
 * Yields the first values of every weight in the order of the name table, a piece at a time. The numbers
 * of the i-th weight are those of stream i of the seed, so that no weight depends on another's size; of a
 * slice only its own are drawn, and they are those that the whole weight has there.
 */
export function* initialWeights(
  config: ModelConfig,
  seed: number,
  options: { readonly held?: readonly HeldWeight[] | undefined } = {},
): Generator<InitialValues, void, void> {
  const buffer = new Float32Array(PIECE);
  for (const weight of options.held ?? heldWeights(config)) {
    const deviation = initialDeviation(config, weight.spec);
    const stream = new RandomStream(seed, weight.index);
    const count = heldElements(weight);
    let [first, filled] = [0, 0];
    for (const run of sliceRuns(weight)) {
      for (let done = 0; done < run.count;) {
        const values = buffer.subarray(filled, Math.min(PIECE, filled + run.count - done));
        if (deviation === undefined) values.fill(1);
        else draw(stream, values, { deviation, first: run.whole + done });
        done += values.length;
        filled += values.length;
        if (filled < PIECE && first + filled < count) continue;
        yield { spec: weight.spec, first, values: buffer.subarray(0, filled) };
        [first, filled] = [first + filled, 0];
      }
    }
  }
}

/** Normal numbers from any element of a stream on; they are made in pairs. */
function draw(
  stream: RandomStream,
  values: Float32Array<ArrayBuffer>,
  { deviation, first }: { readonly deviation: number; readonly first: number },
): void {
  if (first % 2 === 0) return stream.fillNormal(values, { deviation, first });
  const [begin, rest] = [new Float32Array(2), values.subarray(1)];
  stream.fillNormal(begin, { deviation, first: first - 1 });
  values[0] = begin[1]!;
  stream.fillNormal(rest, { deviation, first: first + 1 });
}
