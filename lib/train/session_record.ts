/**
 * What a session writes down besides checkpoints: rows of metrics, events, and what its observer is
 * told. One rank of a run keeps it; the others' is blank.
 *
 * @module
 */

import type { Evaluation } from "./evaluate.ts";
import { appendEvent, type RunEvent } from "./events.ts";
import { MetricsFile, type MetricsRow } from "./metrics.ts";
import type { RunObserver } from "./observer.ts";
import type { RunPaths } from "./run_folder.ts";
import { dropReplaced, hasReplaced } from "./run_start.ts";
import type { StepResult } from "./trainer.ts";
import type { WholeWeights } from "./whole_weights.ts";

/** A step that was kept. */
export interface KeptStep {
  /** What it did, with the state after it. */
  readonly result: StepResult;
  /** Milliseconds that it took. */
  readonly stepMs: number;
  /** The evaluation after it, where one was due. */
  readonly evaluation: Evaluation | undefined;
}

/** Who writes down what happens in a session. */
export interface SessionRecord {
  /** A step was kept. */
  step(step: KeptStep): void;
  /** Something else happened. */
  event(event: RunEvent): void;
  /** A sample of the model's text is due, with the weights that lie there. */
  sample(step: number, placed: WholeWeights["placed"]): Promise<void>;
  /** Makes the rows survive a power cut. */
  sync(): void;
  /** The run went back to after this step. */
  rewound(step: number): void;
  /** Closes files. */
  close(): void;
}

/** The record of a rank that keeps none. */
export const NO_RECORD: SessionRecord = {
  step: () => {},
  event: () => {},
  sample: () => Promise.resolve(),
  sync: () => {},
  rewound: () => {},
  close: () => {},
};

/** What a record is opened with. */
export interface RecordOptions {
  /** The step after which the session begins; later rows of metrics are dropped. */
  readonly step: number;
  /** Who is told. */
  readonly observer: RunObserver;
  /** Peak operations per second of all ranks' machines. */
  readonly peakFlops: number;
}

/** The record in the run's folder. */
export class FolderRecord implements SessionRecord {
  readonly #paths: RunPaths;
  readonly #observer: RunObserver;
  readonly #metrics: MetricsFile;
  #peakFlops: number;

  /** Opens the files. */
  constructor(paths: RunPaths, { step, observer, peakFlops }: RecordOptions) {
    this.#paths = paths;
    this.#observer = observer;
    this.#metrics = new MetricsFile(paths.metrics, step);
    this.#peakFlops = peakFlops;
  }

  /** Appends a row. */
  step(step: KeptStep): void {
    const row = this.#row(step);
    this.#metrics.append(row);
    if (hasReplaced(this.#paths)) dropReplaced(this.#paths);
    this.#observer.step(row);
  }

  #row({ result, stepMs, evaluation }: KeptStep): MetricsRow {
    const { loss, gradNorm, lr, tokens, outcome, reason, state } = result;
    const finite = (value: number) => Number.isFinite(value) ? value : null;
    const tokensPerSecond = (tokens / stepMs) * 1000;
    const flops = tokensPerSecond * this.#observer.flopsPerToken(state.step);
    // Where the machine was busy while its peak was measured, the run itself shows that it can do more.
    this.#peakFlops = Math.max(this.#peakFlops, flops);
    return {
      step: state.step,
      tokens: state.tokens,
      loss: finite(loss),
      grad_norm: finite(gradNorm),
      lr,
      ...(evaluation === undefined
        ? {}
        : { eval_loss: evaluation.loss, eval_bits_per_byte: evaluation.bitsPerByte }),
      ...(outcome === "dropped" ? { dropped: reason! } : {}),
      tokens_per_second: tokensPerSecond,
      mfu: flops / this.#peakFlops,
      step_ms: stepMs,
    };
  }

  /** Appends an event. */
  event(event: RunEvent): void {
    appendEvent(this.#paths.events, event);
    this.#observer.event(event);
  }

  /** Lets the observer take a sample. */
  async sample(step: number, placed: WholeWeights["placed"]): Promise<void> {
    await this.#observer.sample?.(step, placed);
  }

  /** Syncs the rows. */
  sync(): void {
    this.#metrics.sync();
  }

  /** Drops the rows after a step. */
  rewound(step: number): void {
    this.#metrics.restart(step);
    this.#observer.rewound(step);
  }

  /** Closes files. */
  close(): void {
    this.#metrics.close();
  }
}
