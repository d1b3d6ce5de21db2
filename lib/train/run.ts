/**
 * A whole run: sessions from checkpoint to checkpoint, again after a failure where that is wanted,
 * until the last step.
 *
 * @module
 */

import { existsSync, mkdirSync, statSync } from "node:fs";
import type { Backend } from "../backend/backend.ts";
import { measureFlops } from "../backend/limits.ts";
import { asError, ConfigError, Interrupted, LlameroError } from "../base/errors.ts";
import { fileError } from "../base/file_error.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import { findCheckpoint, loadTrainingCheckpoint, loadWeights } from "./checkpoint_read.ts";
import { appendEvent, readEvents, type RunEvent } from "./events.ts";
import { readMetrics } from "./metrics.ts";
import type { RunObserver, RunTokenizer } from "./observer.ts";
import type { RunConfig } from "./run_config.ts";
import { linkLatest, removeLeftovers, type RunPaths } from "./run_folder.ts";
import { Session } from "./session.ts";
import {
  checkMemory,
  memoryLimit,
  openMachine,
  openRunData,
  type RunData,
  runIdentity,
  type RunMachine,
} from "./setup.ts";
import { FIRST_STATE, type TrainState } from "./state.ts";

/** What a run needs. */
export interface RunOptions {
  /** All settings. */
  readonly config: RunConfig;
  /** The run's folder, whose lock the caller holds. */
  readonly paths: RunPaths;
  /** Opens the backend of a session. */
  readonly openBackend: () => Promise<Backend>;
  /** The tokenizer. */
  readonly tokenizer: RunTokenizer;
  /** Makes the observer of a session. */
  readonly observe: (session: ObservedSession) => RunObserver;
  /** Asks the run to save and end. */
  readonly signal?: AbortSignal | undefined;
}

/** What an observer may look at. */
export interface ObservedSession {
  /** Where the session begins. */
  readonly state: TrainState;
  /** Whose kernels run. */
  readonly backend: Backend;
  /** Model and optimizer. */
  readonly machine: RunMachine;
  /** The data. */
  readonly data: RunData;
  /** Peak operations per second of the machine, in the type that is trained in. */
  readonly peakFlops: number;
}

/**
 * Trains until the last step, from the latest checkpoint where there is one.
 *
 * @returns The state at the end.
 * @throws {Interrupted} Where the signal asked for the end; the state is saved.
 * @throws {LlameroError} Where it failed more often than it may be started again.
 */
export async function trainRun(options: RunOptions): Promise<TrainState> {
  const { paths, config } = options;
  try {
    mkdirSync(paths.checkpoints, { recursive: true });
  } catch (thrown) {
    throw fileError(thrown, { action: "write", path: paths.checkpoints });
  }
  for (let failures = 0;; failures++) {
    try {
      return await runSession(options);
    } catch (thrown) {
      const again = failures < config.settings.restarts &&
        !(thrown instanceof Interrupted || thrown instanceof ConfigError);
      if (!again) throw thrown;
      appendEvent(paths.events, {
        event: "restart",
        step: readMetrics(paths.metrics).at(-1)?.step ?? 0,
        message: asError(thrown).message,
      });
    }
  }
}

async function runSession(options: RunOptions): Promise<TrainState> {
  const { config, paths, tokenizer, signal } = options;
  removeLeftovers(paths);
  using opened = new DisposableStack();
  const data = openRunData(config);
  opened.defer(data.close);
  const backend = await options.openBackend();
  opened.defer(() => backend.close());
  checkMemory(config, memoryLimit(backend));
  const machine = openMachine(backend, config);
  opened.defer(machine.close);
  const begin = () => setFirstWeights(machine, config);
  const { state, damaged } = await restore({ ...options, machine, data, backend }, begin);
  const flops = measureFlops(backend);
  // bf16 multiply-adds work on twice as many numbers in one instruction.
  const peakFlops = config.settings.dtype === "bf16" ? 2 * flops : flops;
  const observer = options.observe({ state, backend, machine, data, peakFlops });
  const tell = (event: RunEvent) => {
    appendEvent(paths.events, event);
    observer.event(event);
  };
  for (const message of damaged) tell({ event: "damaged", message });
  recordLoss(paths, state.step, tell);
  tell({ event: "start", step: state.step, backend: backend.name });
  const session = new Session(
    { config, paths, backend, machine, data, tokenizer, peakFlops, begin, observer, signal },
    state,
  );
  opened.defer(() => session.close());
  try {
    await session.run();
  } finally {
    await session.settle();
    recordEnd(paths, session);
  }
  return session.state;
}

/** Tells how long a session was; a disk that is full or gone is told by what ended the session. */
function recordEnd({ events }: RunPaths, { state, ms }: Session): void {
  try {
    appendEvent(events, { event: "end", step: state.step, session_ms: ms });
  } catch (thrown) {
    if (!(thrown instanceof LlameroError)) throw thrown;
  }
}

/** Sets weights as they are before the first step. */
async function setFirstWeights({ model }: RunMachine, { settings }: RunConfig): Promise<void> {
  if (settings.init === undefined) model.initialize(settings.seed);
  else await loadWeights(settings.init, model);
}

type Restoring = RunOptions & {
  readonly machine: RunMachine;
  readonly data: RunData;
  readonly backend: Backend;
};

/** Loads the latest checkpoint, or begins. */
async function restore(
  { paths, machine, config, data, backend }: Restoring,
  begin: () => Promise<void>,
): Promise<{ state: TrainState; damaged: readonly string[] }> {
  const found = await findCheckpoint(paths);
  if (found === undefined) {
    await begin();
    return { state: FIRST_STATE, damaged: [] };
  }
  const identity = runIdentity(config, { data, backend });
  const state = await loadTrainingCheckpoint(found.path, { ...machine, identity });
  linkLatest(paths.checkpoints, state.step);
  return { state, damaged: found.damaged };
}

/** Where the last session was killed, its time is that until its last row of metrics. */
function recordLoss(paths: RunPaths, step: number, tell: (event: RunEvent) => void): void {
  const last = readEvents(paths.events)
    .findLast(({ event }) => event === "start" || event === "end" || event === "lost");
  if (last?.event !== "start" || !existsSync(paths.metrics)) return;
  const steps = Math.max(0, (readMetrics(paths.metrics).at(-1)?.step ?? 0) - step);
  const ms = Math.max(0, statSync(paths.metrics).mtimeMs - Date.parse(last.time));
  tell({ event: "lost", steps, session_ms: ms });
}

/** The config of the model that a run begins with. @throws {FormatError} Where it is none. */
export async function configOfInit(path: string): Promise<RunConfig["model"]> {
  return (await openCheckpoint(path)).config;
}
