/**
 * How much of each source a run sees: weights, epochs and total tokens, any two of which give the
 * third, so that LLaMA's Table 1 ("67.0%, 1.10 epochs") can be written down as it is.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { formatCount } from "../base/format.ts";
import { quotedPath } from "../base/quoted.ts";

/** What is asked of one source. */
export interface SourceShare {
  /** What messages call it: its path. */
  readonly name: string;
  /** How many tokens it has. */
  readonly tokens: number;
  /** Its share of the run, in any unit: the weights are divided by their sum. */
  readonly weight?: number | undefined;
  /** How often it may be seen at most. */
  readonly epochs?: number | undefined;
}

/** What a source gets. */
export interface ResolvedShare {
  /** What messages call it. */
  readonly name: string;
  /** Its share of all tokens drawn, above 0; all of them add up to 1. */
  readonly weight: number;
  /** How often the run sees it: `weight * total / tokens`. */
  readonly epochs: number;
}

/** The whole mixture. */
export interface ResolvedShares {
  /** Tokens of the run. */
  readonly total: number;
  /** One for each source, in order. */
  readonly shares: readonly ResolvedShare[];
}

/** Epochs in published tables are rounded to two or three digits; so much more is no contradiction. */
const ROUNDING = 1.01;

/** Epochs above which repeated tokens teach markedly less (Muennighoff et al. 2023). */
export const MANY_EPOCHS = 4;

/**
 * Solves for what is missing. With weights and a total, `epochs_i = weight_i total / tokens_i`; with
 * weights and epochs, the total is the most that no source's epochs forbid; with epochs alone, each
 * source is seen so often and `weight_i` is proportional to `epochs_i tokens_i`; with neither, sources
 * count by their size.
 *
 * @param total Tokens of the run, where they are given.
 * @throws {ConfigError} Where a source would be seen more often than it may, or nothing gives the total.
 */
export function resolveShares(
  sources: readonly SourceShare[],
  total: number | undefined,
): ResolvedShares {
  const weights = weightsOf(sources);
  const tokens = total ?? totalOf(sources, weights);
  const shares = sources.map((source, i) => {
    const weight = weights[i]!;
    const epochs = (weight * tokens) / source.tokens;
    if (source.epochs !== undefined && epochs > source.epochs * ROUNDING) {
      throw new ConfigError(
        `Cannot draw ${formatCount(tokens)} tokens: ${quotedPath(source.name)} would be seen ` +
          `${twoDigits(epochs)} times, at most ${source.epochs} is allowed`,
        { hint: "lower --tokens or --steps, the source's weight, or allow more epochs of it" },
      );
    }
    return { name: source.name, weight, epochs };
  });
  return { total: tokens, shares };
}

/** Shares that are seen so often that a user should hear of it. */
export function repeatedShares({ shares }: ResolvedShares): ResolvedShare[] {
  return shares.filter(({ epochs }) => epochs > MANY_EPOCHS);
}

function weightsOf(sources: readonly SourceShare[]): number[] {
  const weighted = sources.filter(({ weight }) => weight !== undefined).length;
  const limited = sources.filter(({ epochs }) => epochs !== undefined).length;
  if (weighted > 0 && weighted < sources.length) {
    const without = sources.find(({ weight }) => weight === undefined)!;
    throw new ConfigError(
      `Cannot mix the data: ${quotedPath(without.name)} has no weight, and others have one`,
      { hint: "give every source a weight, such as --data a=0.7 --data b=0.3, or none" },
    );
  }
  const byEpochs = weighted === 0 && limited === sources.length;
  const raw = sources.map(({ weight, epochs, tokens }) =>
    weight ?? (byEpochs ? epochs! * tokens : tokens)
  );
  const sum = raw.reduce((a, b) => a + b, 0);
  return raw.map((weight) => weight / sum);
}

function totalOf(sources: readonly SourceShare[], weights: readonly number[]): number {
  const limits = sources.flatMap(({ epochs, tokens }, i) =>
    epochs === undefined ? [] : [(epochs * tokens) / weights[i]!]
  );
  if (limits.length > 0) return Math.floor(Math.min(...limits));
  throw new ConfigError("Cannot tell how long the run is: there are no steps, tokens or epochs", {
    hint: "give --steps, --tokens, or the epochs of a source: --data PREFIX=WEIGHT:EPOCHS",
  });
}

function twoDigits(value: number): string {
  if (value < 0.1) return value.toPrecision(2);
  return value < 10 ? value.toFixed(2) : value.toFixed(0);
}
