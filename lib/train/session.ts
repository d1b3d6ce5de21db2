/**
 * One stretch of a run, from a checkpoint or the beginning until the last step, an interruption or a
 * failure.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { Interrupted, LlameroError } from "../base/errors.ts";
import type { MetricsRow } from "./metrics.ts";
import { MetricsFile } from "./metrics.ts";
import { CheckpointSaver } from "./checkpoint_saver.ts";
import { loadTrainingCheckpoint } from "./checkpoint_read.ts";
import { evaluate, type Evaluation } from "./evaluate.ts";
import { appendEvent, type RunEvent } from "./events.ts";
import { type RunObserver, type RunTokenizer } from "./observer.ts";
import { obsoleteCheckpoints } from "./retention.ts";
import type { RunConfig } from "./run_config.ts";
import {
  checkpointName,
  checkpointSteps,
  linkLatest,
  removeCheckpoint,
  type RunPaths,
} from "./run_folder.ts";
import { type RunData, runIdentity, type RunMachine } from "./setup.ts";
import { takeSnapshot } from "./snapshot.ts";
import { planRecovery } from "./spikes.ts";
import { FIRST_STATE, type TrainState } from "./state.ts";
import { type StepResult, Trainer } from "./trainer.ts";
import { join } from "node:path";

/** Steps in a row without finite gradients that end a run. */
const MOST_DROPPED = 10;
/** Steps in a row without finite gradients that are taken for a spike, where spikes are skipped. */
const DROPPED_AS_SPIKE = 3;

/** What a session works with. */
export interface SessionParts {
  /** The run's config. */
  readonly config: RunConfig;
  /** The run's folder. */
  readonly paths: RunPaths;
  /** Whose kernels run. */
  readonly backend: Backend;
  /** Model and optimizer. */
  readonly machine: RunMachine;
  /** The data. */
  readonly data: RunData;
  /** The tokenizer. */
  readonly tokenizer: RunTokenizer;
  /** Peak operations per second of the machine. */
  readonly peakFlops: number;
  /** Sets the weights of the beginning. */
  readonly begin: () => Promise<void>;
  /** Who is told. */
  readonly observer: RunObserver;
  /** Asks the session to save and end. */
  readonly signal?: AbortSignal | undefined;
}

/** Trains from one state to the end. */
export class Session {
  readonly #parts: SessionParts;
  readonly #trainer: Trainer;
  readonly #saver = new CheckpointSaver();
  readonly #metrics: MetricsFile;
  readonly #start = performance.now();
  #state: TrainState;
  #savedStep: number;
  #peakFlops: number;

  /** Makes a session that goes on from a state, whose weights the machine has. */
  constructor(parts: SessionParts, state: TrainState) {
    const { machine, data, config } = parts;
    this.#parts = parts;
    this.#state = state;
    this.#savedStep = state.step;
    this.#peakFlops = parts.peakFlops;
    this.#metrics = new MetricsFile(parts.paths.metrics, state.step);
    this.#trainer = new Trainer({ ...machine, data: data.training, settings: config.settings });
  }

  /** The state now. */
  get state(): TrainState {
    return this.#state;
  }

  /** Milliseconds since the session began. */
  get ms(): number {
    return performance.now() - this.#start;
  }

  /**
   * Trains until the last step.
   *
   * @throws {Interrupted} Where the signal asked for the end; the state is saved.
   * @throws {LlameroError} Where it cannot go on.
   */
  async run(): Promise<void> {
    const { steps } = this.#parts.config.settings;
    while (this.#state.step < steps) {
      if (this.#parts.signal?.aborted) await this.#interrupted();
      this.#saver.check();
      await this.#step();
    }
    if (this.#savedStep !== this.#state.step) await this.#save();
    await this.#saver.finish();
  }

  async #interrupted(): Promise<never> {
    if (this.#savedStep !== this.#state.step) await this.#save();
    await this.#saver.finish();
    const { step } = this.#state;
    throw new Interrupted(`Interrupted after step ${step}, which is saved`, {
      hint: `llamero train --out ${this.#parts.paths.run} --resume`,
    });
  }

  async #step(): Promise<void> {
    const begin = performance.now();
    const result = await this.#trainer.step(this.#state);
    const stepMs = performance.now() - begin;
    if (result.outcome === "spike") return await this.#recover(this.#state.step, result.reason!);
    if (result.outcome === "dropped") {
      if (await this.#dropped(result)) return;
    }
    this.#state = result.state;
    const evaluation = this.#isDue("evalEvery") ? await this.#evaluate() : undefined;
    const row = this.#row(result, { stepMs, evaluation });
    this.#metrics.append(row);
    this.#parts.observer.step(row);
    if (this.#isDue("sampleEvery")) await this.#parts.observer.sample?.(this.#state.step);
    if (this.#isDue("saveEvery")) await this.#save();
  }

  /** Whether something that is done every so many steps, and after the last, is to be done now. */
  #isDue(every: "evalEvery" | "saveEvery" | "sampleEvery"): boolean {
    const { settings } = this.#parts.config;
    const { step } = this.#state;
    return step % settings[every] === 0 || step === settings.steps;
  }

  #evaluate(): Promise<Evaluation | undefined> {
    const { data, machine, config: { settings, model }, tokenizer } = this.#parts;
    if (data.evaluation.length === 0) return Promise.resolve(undefined);
    return evaluate(machine.model, {
      sources: data.evaluation,
      seqLen: settings.seqLen,
      microBatch: settings.microBatch,
      sequences: settings.evalSequences,
      vocabSize: model.vocabSize,
      documentMask: settings.documentMask,
      tokenBytes: tokenizer.tokenBytes,
    });
  }

  #row(
    { loss, gradNorm, lr, tokens, outcome, reason }: StepResult,
    { stepMs, evaluation }: { stepMs: number; evaluation: Evaluation | undefined },
  ): MetricsRow {
    const { observer } = this.#parts;
    const finite = (value: number) => Number.isFinite(value) ? value : null;
    const tokensPerSecond = (tokens / stepMs) * 1000;
    const flops = tokensPerSecond * observer.flopsPerToken(this.#state.step);
    // Where the machine was busy while its peak was measured, the run itself shows that it can do more.
    this.#peakFlops = Math.max(this.#peakFlops, flops);
    return {
      step: this.#state.step,
      tokens: this.#state.tokens,
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

  /** Tells of a step without finite gradients; `true` where the run went back instead of on. */
  async #dropped({ state, reason }: StepResult): Promise<boolean> {
    this.#event({ event: "dropped", step: state.step, reason: reason! });
    const { settings } = this.#parts.config;
    if (settings.skipSpikes && state.dropped >= DROPPED_AS_SPIKE) {
      await this.#recover(state.step - 1, `${state.dropped} steps in a row: ${reason}`);
      return true;
    }
    if (state.dropped < MOST_DROPPED) return false;
    throw new LlameroError(
      `Cannot go on: ${state.dropped} steps in a row had no finite gradients, the last ${state.step}`,
      { hint: "lower --lr or lengthen --warmup; --skip-spikes goes back and skips data by itself" },
    );
  }

  /** Goes back to a checkpoint before a spike and on with later data. */
  async #recover(step: number, reason: string): Promise<void> {
    const { config: { settings }, paths, begin, machine } = this.#parts;
    const earlier = this.#state.recoveries;
    const recovery = planRecovery(step, { saveEvery: settings.saveEvery, earlier });
    if (recovery === undefined) {
      throw new LlameroError(`Cannot get past the spike in step ${step + 1}: ${reason}`, {
        hint: "earlier recoveries did not help: lower --lr, or look at the data of these steps",
      });
    }
    const { rewindTo, skip } = recovery;
    this.#event({
      event: "spike",
      step: step + 1,
      reason,
      rewind_to: rewindTo,
      skip_step: skip.step + 1,
      skip_batches: skip.batches,
    });
    await this.#saver.finish();
    const back = rewindTo === 0 ? FIRST_STATE : await this.#load(rewindTo);
    if (rewindTo === 0) {
      machine.optimizer.reset();
      await begin();
    } else linkLatest(paths.checkpoints, rewindTo);
    // They lie on a path that is left: the run comes by the same steps with other weights.
    for (const later of checkpointSteps(paths)) {
      if (later > rewindTo) removeCheckpoint(paths.checkpoints, later);
    }
    this.#state = { ...back, recoveries: [...earlier, skip] };
    this.#savedStep = rewindTo;
    this.#metrics.restart(rewindTo);
    this.#parts.observer.rewound(rewindTo);
  }

  #load(step: number): Promise<TrainState> {
    const { paths, machine, config } = this.#parts;
    const path = join(paths.checkpoints, checkpointName(step));
    return loadTrainingCheckpoint(path, {
      ...machine,
      identity: runIdentity(config, this.#parts),
    });
  }

  async #save(): Promise<void> {
    const { machine, config, paths, tokenizer } = this.#parts;
    const begin = performance.now();
    // No checkpoint may be ahead of its metrics.
    this.#metrics.sync();
    await this.#saver.finish();
    const { step } = this.#state;
    const obsolete = obsoleteCheckpoints(checkpointSteps(paths), {
      step,
      settings: config.settings,
    });
    const snapshot = takeSnapshot({
      ...machine,
      state: this.#state,
      config: config.model,
      identity: runIdentity(config, this.#parts),
      tokenizer: tokenizer.files,
      checkpoints: paths.checkpoints,
      obsolete,
    });
    this.#saver.save(snapshot);
    this.#savedStep = step;
    this.#event({ event: "save", step, stall_ms: performance.now() - begin });
  }

  #event(event: RunEvent): void {
    appendEvent(this.#parts.paths.events, event);
    this.#parts.observer.event(event);
  }

  /** Waits for a checkpoint that is being written, whether or not it can be: a failure loses none. */
  async settle(): Promise<void> {
    await this.#saver.finish().catch(() => {});
  }

  /** Closes files and the worker. */
  close(): void {
    this.#saver.close();
    this.#metrics.close();
  }
}
