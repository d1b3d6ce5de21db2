/**
 * Gradients of weights that several tensor ranks have: each makes a share, of its own rows (norms) or
 * for its own query heads (keys and values), and all add up the same sum.
 *
 * Norms: Korthikanti et al. 2022 (arXiv:2205.05198), section 4.2.2, whose layer norms work on rows of
 * the sequence; keys and values: Chowdhery et al. 2022 (arXiv:2204.02311), section 2 (multi-query).
 *
 * @module
 */

import type { Address } from "../../backend/backend.ts";
import type { TrainedWeight } from "./linear.ts";
import type { BlocksRun } from "./block_run.ts";
import type { TrainedNorm } from "./parameters.ts";
import type { OnItsWay } from "./row_exchange.ts";

/** The parts of a backward pass that norms' sums depend on. */
export type NormsRun = Pick<BlocksRun, "backend" | "config" | "exchange" | "working">;

/** Where a norm's gradient is made: in its place, or beside it as a share of the sum over ranks. */
export function normShare(
  run: NormsRun,
  { norm, index }: { readonly norm: TrainedNorm; readonly index: 0 | 1 },
): TrainedNorm {
  const { exchange, working, config: { hiddenSize } } = run;
  if (exchange === undefined) return norm;
  return { weight: norm.weight, gradient: working.normSums_2D + 4 * index * hiddenSize };
}

/** Sets this rank's shares of the norms' gradients to zero, before a pass adds to them. */
export function clearNormShares({ exchange, backend, working, config }: NormsRun): void {
  if (exchange !== undefined) backend.fill(working.normSums_2D, 0, 4 * 2 * config.hiddenSize);
}

/** Starts to add up the shares of norms, in the order of their indices; the sums go to their gradients. */
export function sumNorms(run: NormsRun, norms: readonly TrainedNorm[]): OnItsWay {
  const { exchange, backend, working: { normSums_2D: at }, config: { hiddenSize: D } } = run;
  if (exchange === undefined) return { finish: () => {} };
  const coming = exchange.startShortTotal({ at, count: norms.length * D });
  return {
    finish: () => {
      coming.finish();
      norms.forEach(({ gradient }, index) =>
        backend.kernels.add({ out: gradient, x: at + 4 * index * D, count: D })
      );
    },
  };
}

/**
 * Gradient of the first weight of attention [(H + 2K)E and more, D]; keys and values that other ranks
 * have too come first, so that their sum is on its way while the rest is computed.
 */
export function backwardQkvWeight(
  run: BlocksRun,
  { weight, dy, x }: {
    readonly weight: TrainedWeight;
    readonly dy: Address;
    readonly x: Address;
  },
): OnItsWay {
  const { exchange, backend, products, accumulate, batch: { rows }, working } = run;
  const { numAttentionHeads: H, numKeyValueHeads: K, headDim: E } = run.config;
  const { inDim, outDim, gradient } = weight;
  if (exchange === undefined || exchange.copies.size === 1) {
    products.backwardWeight(weight, { dy, x, rows, accumulate });
    return { finish: () => {} };
  }
  const [first, after] = [H * E, (H + 2 * K) * E];
  const [at, count] = [working.keyValueSums, (after - first) * inDim];
  const shares = { first, outDim: after - first, gradient: at };
  products.backwardWeight(weight, { dy, x, rows, accumulate: false, outputs: shares });
  const coming = exchange.startTotal({ at, count });
  const adding = { dy, x, rows, accumulate };
  products.backwardWeight(weight, { ...adding, outputs: { first: 0, outDim: first, gradient } });
  if (after < outDim) {
    const rest = { first: after, outDim: outDim - after, gradient: gradient + 4 * after * inDim };
    products.backwardWeight(weight, { ...adding, outputs: rest });
  }
  return {
    finish: () => {
      coming.finish();
      const out = gradient + 4 * first * inDim;
      if (accumulate) backend.kernels.add({ out, x: at, count });
      else backend.copy(out, at, 4 * count);
    },
  };
}
