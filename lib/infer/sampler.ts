/**
 * Choosing the next token from the logits of one row, in double precision.
 *
 * Order of the steps: penalties, top-k, top-p, min-p, temperature. Filters see the distribution at
 * temperature 1; the temperature shapes what is left. A step that is off (top-k 0, top-p 1, min-p 0,
 * penalty 1) changes nothing. The draw is the inverse of the cumulative distribution in index order.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { Candidates } from "./candidates.ts";

/** How the next token is chosen; whatever is left out is off. */
export interface SamplingOptions {
  /** 0 takes the most likely token (the lowest id on ties). @default {1} */
  readonly temperature?: number | undefined;
  /** Keeps exactly this many of the most likely tokens; 0 keeps all. @default {0} */
  readonly topK?: number | undefined;
  /** Keeps the smallest set of most likely tokens whose probability reaches this. @default {1} */
  readonly topP?: number | undefined;
  /** Keeps tokens at least this share as likely as the most likely one. @default {0} */
  readonly minP?: number | undefined;
  /** Divides (multiplies, where negative) the logit of every earlier token once. @default {1} */
  readonly repeatPenalty?: number | undefined;
  /** Subtracted from a token's logit for each earlier occurrence. @default {0} */
  readonly frequencyPenalty?: number | undefined;
  /** Subtracted once from the logit of every earlier token. @default {0} */
  readonly presencePenalty?: number | undefined;
}

interface Range {
  readonly wanted: string;
  readonly holds: (value: number) => boolean;
}

const FINITE: Range = { wanted: "a finite number", holds: Number.isFinite };
const RANGES: Readonly<Record<keyof SamplingOptions, Range>> = {
  temperature: { wanted: "a finite number >= 0", holds: (x) => x >= 0 && x < Infinity },
  topK: { wanted: "an integer >= 0", holds: (x) => Number.isSafeInteger(x) && x >= 0 },
  topP: { wanted: "a number > 0 and <= 1", holds: (x) => x > 0 && x <= 1 },
  minP: { wanted: "a number >= 0 and <= 1", holds: (x) => x >= 0 && x <= 1 },
  repeatPenalty: { wanted: "a finite number > 0", holds: (x) => x > 0 && x < Infinity },
  frequencyPenalty: FINITE,
  presencePenalty: FINITE,
};

/** Refuses a sampling option that is out of its range. @throws {ConfigError} Naming the option. */
export function checkSampling(options: SamplingOptions): void {
  for (const [name, range] of Object.entries(RANGES)) {
    const value = options[name as keyof SamplingOptions];
    if (value === undefined || range.holds(value)) continue;
    const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new ConfigError(`Cannot sample with ${flag} ${value}: wanted ${range.wanted}`);
  }
}

/** A chain of sampling steps with its scratch memory; one serves any number of rows, in turn. */
export class Sampler {
  readonly #options: Required<{ [K in keyof SamplingOptions]: number }>;
  readonly #candidates = new Candidates();

  /** Makes a sampler. @throws {ConfigError} When an option is out of its range. */
  constructor(options: SamplingOptions = {}) {
    checkSampling(options);
    this.#options = {
      temperature: options.temperature ?? 1,
      topK: options.topK ?? 0,
      topP: options.topP ?? 1,
      minP: options.minP ?? 0,
      repeatPenalty: options.repeatPenalty ?? 1,
      frequencyPenalty: options.frequencyPenalty ?? 0,
      presencePenalty: options.presencePenalty ?? 0,
    };
  }

  /** Whether the choice depends on the draw, so that a random number is worth making. */
  get draws(): boolean {
    return this.#options.temperature > 0 && this.#options.topK !== 1;
  }

  /**
   * Chooses a token id from `logits` [vocab], given the tokens before it and a draw in [0, 1).
   *
   * @throws {LlameroError} When no logit is a number.
   */
  sample(logits: ArrayLike<number>, options: SampleOptions = {}): number {
    const candidates = this.#candidates;
    const { temperature, topK, topP, minP } = this.#options;
    candidates.set(logits);
    this.#penalize(candidates, options.previous ?? []);
    if (!this.draws) return candidates.best();
    candidates.keepTop(topK);
    candidates.keepNucleus(topP);
    candidates.keepLikely(minP);
    candidates.divide(temperature);
    return candidates.pick(options.draw ?? 0);
  }

  #penalize(candidates: Candidates, previous: ArrayLike<number>): void {
    const { repeatPenalty, frequencyPenalty, presencePenalty } = this.#options;
    if (repeatPenalty !== 1) candidates.penalizeRepetition(previous, repeatPenalty);
    if (frequencyPenalty !== 0 || presencePenalty !== 0) {
      candidates.penalizeFrequency(previous, {
        frequency: frequencyPenalty,
        presence: presencePenalty,
      });
    }
  }
}

/** What {@linkcode Sampler.sample} needs besides the logits. */
export interface SampleOptions {
  /** Token ids so far, the prompt's included. */
  readonly previous?: ArrayLike<number> | undefined;
  /** A uniform number in [0, 1). */
  readonly draw?: number | undefined;
}
