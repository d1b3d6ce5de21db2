/**
 * `llamero train`: trains a model from text to checkpoint, alone, as one of the ranks that a launcher
 * has started, or as several ranks of its own.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { asError, ConfigError, LlameroError } from "../../lib/base/errors.ts";
import { quotedPath } from "../../lib/base/quoted.ts";
import { broadcastJson } from "../../lib/comm/json.ts";
import { launchFrom } from "../../lib/comm/mpi/launch.ts";
import type { World } from "../../lib/comm/open.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { writeReport } from "../../lib/train/report.ts";
import { checkResumable, readRunConfig } from "../../lib/train/resume_config.ts";
import { configOfInit, withRestarts } from "../../lib/train/run.ts";
import { askedOf, type RequestLayer } from "../../lib/train/request_layers.ts";
import { resolveRun } from "../../lib/train/run_config.ts";
import { checkpointName, removeLeftovers, RunLock, runPaths } from "../../lib/train/run_folder.ts";
import {
  checkRunFolder,
  clearRun,
  discardUnbegun,
  hasReplaced,
  isWithoutSteps,
  settleReplaced,
} from "../../lib/train/run_start.ts";
import { vocabularyOf } from "../../lib/train/run_tokenizer.ts";
import { tokensOfData } from "../../lib/train/setup.ts";
import type { Sources } from "../command.ts";
import { ToldElsewhere } from "../failure.ts";
import { type Io, NOWHERE, writeJson } from "../io.ts";
import { Log } from "../ui/log.ts";
import { onWorld, refusedByAll } from "../world.ts";
import type { TrainOptions } from "./train.spec.ts";
import { printPlan } from "./train_plan.ts";
import {
  askedInputs,
  type Call,
  follow,
  layersOf,
  prepare,
  type Prepared,
  ranksOf,
  type RunInputs,
} from "./train_prepare.ts";
import { trainOnGpus } from "./train_gpus.ts";
import { requestOf } from "./train_request.ts";
import { type TrainedSession, trainHere } from "./train_session.ts";
import { trainSupervised } from "./train_supervised.ts";
import { trainVirtual } from "./train_virtual.ts";

/** Between two signs of life of a rank that prepares, which the others wait for. */
const SIGN_OF_LIFE_MS = 60_000;

/** Runs `llamero train`. */
export async function run(
  values: TrainOptions,
  io: Io,
  sources: Sources<TrainOptions>,
): Promise<void> {
  const flags = requestOf(values, sources);
  if (values.plan) {
    // A plan needs no ranks, but one of those that a launcher started to print it.
    const { rank = 0, size: launched = values.gpus ?? 1 } = launchFrom((name) => io.env(name)) ??
      {};
    if (rank > 0) return;
    return await planned({ ...values, launched }, flags, io);
  }
  const paths = runPaths(resolve(values.out!));
  if (await trainOnGpus({ values, flags, io, paths })) return;
  if (await trainSupervised({ values, flags, io, paths })) return;
  const signal = io.interruption();
  await onWorld(io, async (world) => {
    const { rank, size: launched } = world.communicator;
    const log = new Log(rank === 0 ? io : { stderr: NOWHERE }, values);
    const call: Call = { values, io, log, paths, flags, signal, launched };
    if (rank === 0) await lead(call, world);
    else await trainLaunched(call, { world, prepared: await followed(call, world) });
  });
}

/** Plans what would be begun, or what the run in `--out` is. */
async function planned(
  values: TrainOptions & { readonly launched: number },
  flags: RequestLayer,
  io: Io,
): Promise<void> {
  const layers = layersOf(values, flags);
  if (values.resume && values.out !== undefined) {
    return await printPlan(readRunConfig(runPaths(resolve(values.out)), layers), values, io);
  }
  // Accelerators are made for bf16: their peak is that of bf16.
  if (values.hardware !== undefined) {
    const origin = () => `default on ${values.hardware}`;
    layers.push({ settings: { dtype: "bf16" }, origin });
  }
  const path = askedOf(layers, "tokenizer");
  const init = askedOf(layers, "init");
  const { data } = askedInputs(layers);
  const tokenizer = path === undefined ? undefined : await openTokenizer(path);
  const config = resolveRun(layers, {
    vocabulary: tokenizer === undefined ? {} : vocabularyOf(tokenizer),
    initConfig: init === undefined ? undefined : await configOfInit(init),
    tokensOfData: () => data && tokensOfData(data),
  });
  await printPlan({ ...config, settings: { ...config.settings, data: data ?? [] } }, values, io);
}

/** The rank that holds the folder, prepares the run, shows and keeps it. */
async function lead(call: Call, world: World): Promise<void> {
  const { values, paths } = call;
  await toldToAll(world, () => {
    checkRanks(call);
    // A run that lies aside has to come back first.
    if (!values.resume) checkRunFolder(paths, values);
    else if (!hasReplaced(paths)) checkResumable(paths);
  });
  const lock = await toldToAll(world, () => RunLock.take(paths));
  let isBegun = false;
  try {
    const prepared = await toldToAll(world, () => {
      settleReplaced(paths);
      removeLeftovers(paths);
      // A run that lay aside may be back.
      if (!values.resume) checkRunFolder(paths, values);
      isBegun = !values.resume;
      return prepare(call);
    });
    tell(world, { inputs: prepared.inputs });
    const trained = await train(call, { world, prepared });
    finish(call, prepared, trained);
  } catch (thrown) {
    // What was refused before its first step is no run, and stands in nobody's way.
    if (isBegun && isWithoutSteps(paths)) clearRun(paths);
    settleReplaced(paths);
    throw thrown;
  } finally {
    lock.release();
    discardUnbegun(paths);
  }
}

function checkRanks({ values: { virtualRanks = 1 }, launched }: Call): void {
  if (launched === 1 || virtualRanks === 1) return;
  throw new ConfigError(
    `Cannot run ${virtualRanks} virtual ranks in each of ${launched} processes: ` +
      `one or the other was wanted`,
    { hint: "leave --virtual-ranks away: the launcher has started the ranks" },
  );
}

/** What the rank that leads tells the others while it prepares. */
type Word =
  | { readonly alive: true }
  | { readonly refused: number }
  | { readonly inputs: RunInputs | undefined };

function tell({ communicator }: World, word: Word): void {
  if (communicator.size > 1) broadcastJson(communicator, { value: word });
}

/** Does something that the others wait for; where it is refused, they end as this rank does. */
async function toldToAll<T>(world: World, action: () => T | Promise<T>): Promise<T> {
  const timer = setInterval(() => tell(world, { alive: true }), SIGN_OF_LIFE_MS);
  try {
    return await action();
  } catch (thrown) {
    const error = refusedByAll(asError(thrown));
    tell(world, { refused: error instanceof LlameroError ? error.exitCode : 1 });
    throw error;
  } finally {
    clearInterval(timer);
  }
}

/** Waits until the run is prepared. @throws {ToldElsewhere} Where it was refused. */
async function followed(call: Call, { communicator }: World): Promise<Prepared> {
  for (;;) {
    const word = broadcastJson(communicator, { value: null }) as Word;
    if ("refused" in word) throw new ToldElsewhere(word.refused);
    if ("alive" in word) continue;
    try {
      checkSeen(call, communicator);
      return await follow(call, word.inputs);
    } catch (thrown) {
      if (!(thrown instanceof ConfigError)) throw thrown;
      // The leader's command line was good: this one is refused alone.
      throw new LlameroError(thrown.message, { hint: thrown.hint });
    }
  }
}

function checkSeen({ paths }: Call, { rank, size }: World["communicator"]): void {
  if (existsSync(paths.config)) return;
  throw new LlameroError(
    `Cannot train on ${size} ranks: rank ${rank} does not see ${quotedPath(paths.config)}, ` +
      `which rank 0 has written`,
    { hint: "--out must be in a folder that all machines share" },
  );
}

/** A world of ranks and what they train. */
interface Work {
  readonly world: World;
  readonly prepared: Prepared;
}

async function train(call: Call, work: Work): Promise<TrainedSession> {
  const { values, io, paths, signal, launched, log } = call;
  const { config } = work.prepared;
  if (launched > 1) {
    if (config.settings.restarts > 0 && work.world.transport === "mpi") {
      log.note("ranks in processes are started again by their launcher, not by --restarts");
    }
    return await trainLaunched(call, work);
  }
  const { restarts } = config.settings;
  const onRestart = (failure: Error, count: number) =>
    log.warn(`${failure.message}; started again, ${count} of ${restarts}`);
  const run = { config, paths, onRestart };
  if (ranksOf(call, config) > 1) return await trainVirtual({ ...run, values, io, signal });
  return await withRestarts(run, () => trainLaunched(call, work));
}

function trainLaunched(call: Call, { world, prepared }: Work): Promise<TrainedSession> {
  const { config, tokenizer } = prepared;
  const { communicator, localRanks, localRank } = world;
  const io = communicator.rank === 0 ? call.io : { stderr: NOWHERE };
  const gpu = {
    wanted: call.values.gpus !== undefined,
    ...{ localRank, library: call.io.env("LLAMERO_CUDA"), nccl: call.io.env("LLAMERO_NCCL") },
  };
  return trainHere({ ...call, io, config, tokenizer, world: communicator, localRanks, gpu });
}

function finish(call: Call, { config }: Prepared, { state, last }: TrainedSession): void {
  const { values, io, log, paths } = call;
  writeReport(paths, config);
  const { step, tokens } = state;
  const folder = join(paths.checkpoints, checkpointName(step));
  if (values.json) {
    const { loss, eval_loss } = last ?? {};
    writeJson(io.stdout, { step, tokens, loss, eval_loss, checkpoint: folder });
  } else log.note(`trained ${step} steps: ${folder}, ${paths.report}`);
}
