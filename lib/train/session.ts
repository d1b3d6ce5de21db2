/**
 * One stretch of a run, from a checkpoint or the beginning until the last step, an interruption or a
 * failure.
 *
 * Every rank of the run goes through the same session: whatever one of them decides by, they all have
 * to the same bit, or have agreed on. One of them, the leader, keeps the record and the folder.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { Interrupted, LlameroError } from "../base/errors.ts";
import { EventLoop } from "../base/event_loop.ts";
import type { CheckpointPlan } from "./checkpoint_plan.ts";
import { CheckpointSaver } from "./checkpoint_saver.ts";
import { findCheckpoint, loadTrainingCheckpoint } from "./checkpoint_read.ts";
import { CommunicationMeter } from "./communication.ts";
import { evaluate, type Evaluation } from "./evaluate.ts";
import { microBatchOf, type RunMachine } from "./machine.ts";
import type { RunTokenizer } from "./observer.ts";
import { obsoleteCheckpoints } from "./retention.ts";
import type { RunConfig } from "./run_config.ts";
import {
  checkpointName,
  checkpointSteps,
  linkLatest,
  removeCheckpoint,
  type RunPaths,
} from "./run_folder.ts";
import type { SessionRecord } from "./session_record.ts";
import { type RunData, runIdentity } from "./setup.ts";
import { takeSnapshot } from "./snapshot.ts";
import { planRecovery } from "./spikes.ts";
import { FIRST_STATE, type TrainState } from "./state.ts";
import { type StepResult, Trainer } from "./trainer.ts";
import { wholeWeights } from "./whole_weights.ts";
import { join } from "node:path";

/** Steps in a row without finite gradients that end a run. */
const MOST_DROPPED = 10;
/** Steps in a row without finite gradients that are taken for a spike, where spikes are skipped. */
const DROPPED_AS_SPIKE = 3;

/** A failure waits so long for a checkpoint; where other ranks write it too, who may have ended, less. */
const [LONGEST_SAVE_MS, LONGEST_SHARED_SAVE_MS] = [2 ** 31 - 1, 10_000];

/** What a session works with. */
export interface SessionParts {
  /** The run's config. */
  readonly config: RunConfig;
  /** The run's folder. */
  readonly paths: RunPaths;
  /** Whose kernels run. */
  readonly backend: Backend;
  /** Model and optimizer, and the ranks. */
  readonly machine: RunMachine;
  /** What is trained and evaluated on. */
  readonly data: RunData;
  /** Files that checkpoints carry, and bytes of tokens for evaluation. */
  readonly tokenizer: RunTokenizer;
  /** Who writes what of a checkpoint. */
  readonly plan: CheckpointPlan;
  /** Sets the weights of the beginning. */
  readonly begin: () => Promise<void>;
  /** Where steps and events are written down. */
  readonly record: SessionRecord;
  /** Asks the session to save and end. */
  readonly signal?: Pick<AbortSignal, "aborted"> | undefined;
}

/** Trains from one state to the end. */
export class Session {
  readonly #parts: SessionParts;
  readonly #trainer: Trainer;
  readonly #saver = new CheckpointSaver();
  readonly #meter: CommunicationMeter | undefined;
  readonly #start = performance.now();
  #state: TrainState;
  #savedStep: number;

  /** Makes a session that goes on from a state, whose weights the machine has. */
  constructor(parts: SessionParts, state: TrainState) {
    const { machine, data, config } = parts;
    this.#parts = parts;
    this.#state = state;
    this.#savedStep = state.step;
    const { mesh, engine } = machine;
    if (mesh.world.size > 1) this.#meter = new CommunicationMeter(mesh, engine);
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

  get #leads(): boolean {
    return this.#parts.machine.mesh.world.rank === 0;
  }

  /**
   * Trains until the last step.
   *
   * @throws {Interrupted} Where the signal of any rank asked for the end; the state is saved.
   * @throws {LlameroError} Where it cannot go on.
   */
  async run(): Promise<void> {
    const { steps } = this.#parts.config.settings;
    // Over all steps: each of a small model is shorter than what a turn is due after.
    const loop = new EventLoop();
    while (this.#state.step < steps) {
      await loop.turn();
      if (this.#isAskedToEnd()) await this.#interrupted();
      this.#saver.check();
      await this.#step();
    }
    if (this.#savedStep !== this.#state.step) await this.#save();
    await this.#saved();
  }

  /** Whether anybody was asked: signals reach ranks at different times, or only some of them. */
  #isAskedToEnd(): boolean {
    const { signal, machine: { mesh: { world } } } = this.#parts;
    const asked = Float64Array.of(signal?.aborted ? 1 : 0);
    world.allReduce(asked, { operation: "max" });
    return asked[0] !== 0;
  }

  async #interrupted(): Promise<never> {
    if (this.#savedStep !== this.#state.step) await this.#save();
    await this.#saved();
    const { step } = this.#state;
    throw new Interrupted(`Interrupted after step ${step}, which is saved`, {
      hint: `llamero train --out ${this.#parts.paths.run} --resume`,
    });
  }

  /** Waits until what is being written is there, on every rank. */
  async #saved(): Promise<void> {
    await this.#saver.finish();
    this.#parts.machine.mesh.world.barrier();
  }

  async #step(): Promise<void> {
    const { machine, record } = this.#parts;
    const begin = performance.now();
    const result = await this.#trainer.step(this.#state);
    const stepMs = performance.now() - begin;
    if (result.outcome === "spike") return await this.#recover(this.#state.step, result.reason!);
    if (result.outcome === "dropped") {
      if (await this.#dropped(result)) return;
    }
    this.#state = result.state;
    if (this.#isDue("checkReplicas")) machine.compare(this.#state.step);
    const evaluation = this.#isDue("evalEvery") ? await this.#evaluate() : undefined;
    record.step({ result, stepMs, evaluation });
    if (this.#meter !== undefined && this.#isDue("logEvery")) {
      record.event({ event: "communication", step: this.#state.step, ...this.#meter.take() });
    }
    if (this.#isDue("sampleEvery")) await this.#sample();
    if (this.#isDue("saveEvery")) await this.#save();
  }

  async #sample(): Promise<void> {
    const { backend, record } = this.#parts;
    const weights = wholeWeights(backend, this.#parts);
    if (weights === undefined) return;
    try {
      await record.sample(this.#state.step, weights.placed);
    } finally {
      weights.close();
    }
  }

  /** Whether something that is done every so many steps, and after the last, is to be done now. */
  #isDue(every: "checkReplicas" | "evalEvery" | "logEvery" | "saveEvery" | "sampleEvery"): boolean {
    const { settings } = this.#parts.config;
    const { step } = this.#state;
    if (settings[every] === 0) return false;
    return step % settings[every] === 0 || step === settings.steps;
  }

  #evaluate(): Promise<Evaluation | undefined> {
    const { data, machine, config: { settings, model }, tokenizer } = this.#parts;
    if (data.evaluation.length === 0) return Promise.resolve(undefined);
    const { replicas } = machine.mesh;
    return evaluate(machine.engine, {
      sources: data.evaluation,
      replicas,
      seqLen: settings.seqLen,
      microBatch: microBatchOf(settings, replicas.size),
      sequences: settings.evalSequences,
      vocabSize: model.vocabSize,
      documentMask: settings.documentMask,
      tokenBytes: tokenizer.tokenBytes,
    });
  }

  /** Tells of a step without finite gradients; `true` where the run went back instead of on. */
  async #dropped({ state, reason }: StepResult): Promise<boolean> {
    this.#parts.record.event({ event: "dropped", step: state.step, reason: reason! });
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
    const { config: { settings }, paths, record } = this.#parts;
    const earlier = this.#state.recoveries;
    const recovery = planRecovery(step, { saveEvery: settings.saveEvery, earlier });
    if (recovery === undefined) {
      throw new LlameroError(`Cannot get past the spike in step ${step + 1}: ${reason}`, {
        hint: "earlier recoveries did not help: lower --lr, or look at the data of these steps",
      });
    }
    const { skip } = recovery;
    await this.#saved();
    const back = await this.#goBack(recovery.rewindTo);
    record.event({
      event: "spike",
      step: step + 1,
      reason,
      rewind_to: back.step,
      skip_step: skip.step + 1,
      skip_batches: skip.batches,
    });
    if (this.#leads) {
      if (back.step > 0) linkLatest(paths.checkpoints, back.step);
      // They lie on a path that is left: the run comes by the same steps with other weights.
      for (const later of checkpointSteps(paths)) {
        if (later > back.step) removeCheckpoint(paths.checkpoints, later);
      }
    }
    this.#state = { ...back, recoveries: [...earlier, skip] };
    this.#savedStep = back.step;
    record.rewound(back.step);
  }

  /** Loads the checkpoint of a step, or the newest before it that is whole, or begins again. */
  async #goBack(step: number): Promise<TrainState> {
    const { paths, machine, begin, config } = this.#parts;
    const found = this.#leads ? await findCheckpoint(paths, step) : undefined;
    const at = Float64Array.of(found?.step ?? 0);
    machine.mesh.world.broadcast(at, 0);
    if (at[0] === 0) {
      machine.optimizer.reset();
      await begin();
      return FIRST_STATE;
    }
    return await loadTrainingCheckpoint(join(paths.checkpoints, checkpointName(at[0]!)), {
      ...machine,
      identity: runIdentity(config, this.#parts),
    });
  }

  async #save(): Promise<void> {
    const { machine, config, paths, tokenizer, record } = this.#parts;
    const begin = performance.now();
    // No checkpoint may be ahead of its metrics.
    record.sync();
    await this.#saver.finish();
    const { step } = this.#state;
    this.#savedStep = step;
    const steps = this.#leads ? checkpointSteps(paths) : [];
    const obsolete = obsoleteCheckpoints(steps, { step, settings: config.settings });
    const snapshot = takeSnapshot({
      ...machine,
      plan: this.#parts.plan,
      state: this.#state,
      config: config.model,
      identity: runIdentity(config, this.#parts),
      tokenizer: tokenizer.files,
      checkpoints: paths.checkpoints,
      obsolete,
    });
    if (snapshot !== undefined) this.#saver.save(snapshot);
    record.event({ event: "save", step, stall_ms: performance.now() - begin });
  }

  /** Waits for a checkpoint that is being written, whether or not it can be: a failure loses none. */
  async settle(): Promise<void> {
    const isAlone = this.#parts.plan.writers.length === 1;
    await this.#saver.settle({ atMostMs: isAlone ? LONGEST_SAVE_MS : LONGEST_SHARED_SAVE_MS });
  }

  /** Closes files and the worker. */
  close(): void {
    this.#saver.close();
    this.#parts.record.close();
  }
}
