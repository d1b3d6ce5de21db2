/**
 * How many tokens a batch has at each step, and how many came before it: the batch ramp.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import type { BatchStage } from "../model/recipe.ts";

/** The batch of one step. */
export interface BatchSize {
  /** Tokens of a sequence. */
  readonly seqLen: number;
  /** Sequences of the batch. */
  readonly sequences: number;
}

/** What a ramp is made of. */
export interface RampOptions {
  /** Tokens of a sequence, at first. */
  readonly seqLen: number;
  /** Tokens of a batch, at first. */
  readonly batchTokens: number;
  /** What holds from later steps on. */
  readonly batchRamp: readonly BatchStage[];
}

interface Stage extends BatchSize {
  readonly fromStep: number;
  /** Tokens of the steps before the stage. */
  readonly tokensBefore: number;
}

/** Batch and sequence sizes of a run, which may grow at given steps (PaLM's ramp), and the tokens before any step. */
export class BatchRamp {
  readonly #stages: readonly Stage[];

  /**
   * Checks and orders the stages.
   *
   * @throws {ConfigError} Where a batch is no whole number of sequences, or two stages begin together.
   */
  constructor(options: RampOptions) {
    const first: BatchStage = { fromStep: 0, batchTokens: options.batchTokens };
    const stages: Stage[] = [];
    let seqLen = options.seqLen;
    for (
      const given of [
        first,
        ...[...options.batchRamp].sort((a, b) => a.fromStep - b.fromStep),
      ]
    ) {
      seqLen = given.seqLen ?? seqLen;
      const last = stages.at(-1);
      if (last !== undefined && last.fromStep === given.fromStep) {
        throw new ConfigError(
          `Cannot set the batch ramp: two stages begin at step ${given.fromStep}`,
        );
      }
      const sequences = given.batchTokens / seqLen;
      if (!Number.isInteger(sequences) || sequences < 1) {
        throw new ConfigError(
          `Cannot set a batch of ${given.batchTokens} tokens: ` +
            `a multiple of the sequence's ${seqLen} was wanted`,
          { hint: `--batch-tokens ${Math.max(1, Math.round(sequences)) * seqLen}` },
        );
      }
      const tokensBefore = last === undefined
        ? 0
        : last.tokensBefore + (given.fromStep - last.fromStep) * last.sequences * last.seqLen;
      stages.push({ fromStep: given.fromStep, seqLen, sequences, tokensBefore });
    }
    this.#stages = stages;
  }

  /** The batches that there are in the run, in order. */
  get sizes(): readonly BatchSize[] {
    return this.#stages;
  }

  /** The longest sequence and the most sequences of a batch over the whole run. */
  get largest(): BatchSize {
    return {
      seqLen: Math.max(...this.#stages.map(({ seqLen }) => seqLen)),
      sequences: Math.max(...this.#stages.map(({ sequences }) => sequences)),
    };
  }

  /** The batch of a step, from 0. */
  at(step: number): BatchSize {
    const { seqLen, sequences } = this.#stageOf(step);
    return { seqLen, sequences };
  }

  /** Tokens of all steps before a step. */
  tokensBefore(step: number): number {
    const stage = this.#stageOf(step);
    return stage.tokensBefore + (step - stage.fromStep) * stage.sequences * stage.seqLen;
  }

  /** The most steps whose tokens together are at most `tokens`. */
  stepsOf(tokens: number): number {
    const stage = this.#stages.findLast(({ tokensBefore }) => tokensBefore <= tokens)!;
    const more = (tokens - stage.tokensBefore) / (stage.sequences * stage.seqLen);
    return stage.fromStep + Math.floor(more);
  }

  #stageOf(step: number): Stage {
    return this.#stages.findLast(({ fromStep }) => fromStep <= step)!;
  }
}
