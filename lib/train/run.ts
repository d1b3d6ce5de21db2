/**
 * A whole run: sessions from checkpoint to checkpoint, again after a failure where that is wanted,
 * until the last step.
 *
 * @module
 */

import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Backend } from "../backend/backend.ts";
import { measureFlops } from "../backend/limits.ts";
import { asError, ConfigError, Interrupted, LlameroError } from "../base/errors.ts";
import { fileError } from "../base/file_error.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import type { Communicator } from "../comm/communicator.ts";
import { gpusAreWanted, ranksOnGpu } from "../comm/device/open.ts";
import { alone } from "../comm/group.ts";
import { Mesh } from "../comm/mesh.ts";
import { agree, factsOf } from "./agreement.ts";
import { planCheckpoint } from "./checkpoint_plan.ts";
import { findCheckpoint, loadTrainingCheckpoint, loadWeights } from "./checkpoint_read.ts";
import { appendEvent, readEvents, type RunEvent } from "./events.ts";
import { openMachine, type RunMachine } from "./machine.ts";
import { readMetrics } from "./metrics.ts";
import type { RunObserver, RunTokenizer } from "./observer.ts";
import type { RunConfig } from "./run_config.ts";
import { checkpointName, linkLatest, removeLeftovers, type RunPaths } from "./run_folder.ts";
import { checkMesh, meshOf } from "./run_mesh.ts";
import { Session } from "./session.ts";
import { FolderRecord, NO_RECORD } from "./session_record.ts";
import { checkMemory, memoryLimit, openRunData, type RunData, runIdentity } from "./setup.ts";
import { FIRST_STATE, type TrainState } from "./state.ts";

/** What a run needs. */
export interface RunOptions {
  /** All settings. */
  readonly config: RunConfig;
  /** The run's folder, whose lock the caller holds. */
  readonly paths: RunPaths;
  /** Opens the backend of a session. */
  readonly openBackend: () => Promise<Backend>;
  /** Files that checkpoints carry, and bytes of tokens for evaluation. */
  readonly tokenizer: RunTokenizer;
  /** Version of the program, which all ranks must have. */
  readonly version?: string | undefined;
  /** Makes the observer of a session. */
  readonly observe: (session: ObservedSession) => RunObserver;
  /** Asks the run to save and end. */
  readonly signal?: Pick<AbortSignal, "aborted"> | undefined;
  /** All ranks of the run; this process alone without. */
  readonly world?: Communicator | undefined;
  /** How many of the ranks are on this machine. @default {1} */
  readonly localRanks?: number | undefined;
  /** Name or path of NCCL, or "off", where ranks have GPUs. */
  readonly nccl?: string | undefined;
}

/** What an observer may look at. */
export interface ObservedSession {
  /** Where the session begins. */
  readonly state: TrainState;
  /** Whose kernels run. */
  readonly backend: Backend;
  /** Model and optimizer. */
  readonly machine: RunMachine;
  /** What is trained and evaluated on. */
  readonly data: RunData;
  /** Peak operations per second of the machine, in the type that is trained in. */
  readonly peakFlops: number;
}

/**
 * Trains until the last step, from the latest checkpoint where there is one; again after a failure,
 * as often as the settings say.
 *
 * @returns The state at the end.
 * @throws {Interrupted} Where the signal asked for the end; the state is saved.
 * @throws {LlameroError} Where it failed more often than it may be started again.
 */
export function trainRun(options: RunOptions): Promise<TrainState> {
  return withRestarts(options, () => trainSession(options));
}

/**
 * Runs a session, and again after a failure, as often as the settings say; a run that has never begun
 * would only fail again.
 */
export async function withRestarts<T>(
  { paths, config, onRestart }: Pick<RunOptions, "paths" | "config"> & {
    /** Is told of a failure that is followed by another session, and which that is. */
    readonly onRestart?: ((failure: Error, count: number) => void) | undefined;
  },
  session: () => Promise<T>,
): Promise<T> {
  for (let failures = 0;; failures++) {
    try {
      return await session();
    } catch (thrown) {
      const again = failures < config.settings.restarts &&
        !(thrown instanceof Interrupted || thrown instanceof ConfigError) &&
        readEvents(paths.events).some(({ event }) => event === "start");
      if (!again) throw thrown;
      onRestart?.(asError(thrown), failures + 1);
      appendEvent(paths.events, {
        event: "restart",
        step: readMetrics(paths.metrics).at(-1)?.step ?? 0,
        message: asError(thrown).message,
      });
    }
  }
}

/**
 * Trains until the last step, from the latest checkpoint where there is one. Every rank of the run
 * calls it.
 *
 * @returns The state at the end.
 * @throws {Interrupted} Where the signal of a rank asked for the end; the state is saved.
 * @throws {LlameroError} Where it failed.
 */
export async function trainSession(options: RunOptions): Promise<TrainState> {
  const { config, paths, tokenizer, signal, world = alone() } = options;
  using opened = new DisposableStack();
  if (world.rank === 0) prepareFolder(paths);
  const data = openRunData(config);
  opened.defer(data.close);
  const backend = await options.openBackend();
  opened.defer(() => backend.close());
  if (world.size > 1) agree(world, factsOf(config, { ...options, backend: backend.name }));
  checkMesh(config, world.size);
  const mesh = new Mesh(world, meshOf(config.settings, world.size));
  const gpuRanks = ranksOnGpu(world, backend);
  const { sizes, coordinates, replicas, axes } = mesh;
  const connected = gpusAreWanted(world, { backend, library: options.nccl });
  const place = { sizes, coordinates, replicas, axes, connected };
  checkMemory({ ...config, mesh: place }, memoryLimit(backend, { ...options, gpuRanks }));
  const machine = openMachine(backend, { ...config, mesh, nccl: options.nccl });
  opened.defer(machine.close);
  const begin = () => setFirstWeights(machine, config);
  const { state, damaged } = await restore({ ...options, machine, data, backend }, begin);
  const peakFlops = measurePeak(backend, { config, world });
  const record = world.rank > 0
    ? NO_RECORD
    : openRecord(options, { state, backend, machine, data, peakFlops });
  opened.defer(() => record.close());
  for (const message of damaged) record.event({ event: "damaged", message });
  record.event({ event: "start", step: state.step, backend: backend.name });
  const plan = planCheckpoint(config.model, { mesh, parameters: machine.held.parameters });
  const parts = { config, paths, backend, machine, data, tokenizer, plan, begin, record, signal };
  const session = new Session(parts, state);
  opened.defer(() => session.close());
  try {
    await session.run();
  } finally {
    await session.settle();
    if (world.rank === 0) recordEnd(paths, session);
  }
  return session.state;
}

function prepareFolder(paths: RunPaths): void {
  try {
    mkdirSync(paths.checkpoints, { recursive: true });
  } catch (thrown) {
    throw fileError(thrown, { action: "write", path: paths.checkpoints });
  }
  removeLeftovers(paths);
}

/** Operations per second that the machines of all ranks can do, measured by all at once. */
function measurePeak(
  backend: Backend,
  { config, world }: { readonly config: RunConfig; readonly world: Communicator },
): number {
  world.barrier();
  const flops = measureFlops(backend, { brief: true });
  // bf16 multiply-adds work on twice as many numbers in one instruction.
  const peak = Float64Array.of(config.settings.dtype === "bf16" ? 2 * flops : flops);
  world.allReduce(peak);
  return peak[0]!;
}

function openRecord({ paths, observe }: RunOptions, session: ObservedSession): FolderRecord {
  const observer = observe(session);
  const { state: { step }, peakFlops } = session;
  recordLoss(paths, step, (event) => {
    appendEvent(paths.events, event);
    observer.event(event);
  });
  return new FolderRecord(paths, { step, observer, peakFlops });
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
async function setFirstWeights(
  { model, held }: RunMachine,
  { settings }: RunConfig,
): Promise<void> {
  if (settings.init === undefined) model.initialize(settings.seed);
  else await loadWeights(settings.init, held);
}

type Restoring = RunOptions & {
  readonly machine: RunMachine;
  readonly data: RunData;
  readonly backend: Backend;
};

/** Loads the latest checkpoint, or begins; the leader decides which for all ranks. */
async function restore(
  { paths, machine, config, data, backend }: Restoring,
  begin: () => Promise<void>,
): Promise<{ state: TrainState; damaged: readonly string[] }> {
  const { world } = machine.mesh;
  const found = world.rank === 0 ? await findCheckpoint(paths) : undefined;
  const step = Float64Array.of(found?.step ?? 0);
  world.broadcast(step, 0);
  const damaged = found?.damaged ?? [];
  if (step[0] === 0) {
    await begin();
    return { state: FIRST_STATE, damaged };
  }
  const identity = runIdentity(config, { data, backend });
  const path = join(paths.checkpoints, checkpointName(step[0]!));
  const state = await loadTrainingCheckpoint(path, { ...machine, identity });
  if (world.rank === 0) linkLatest(paths.checkpoints, state.step);
  return { state, damaged };
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
