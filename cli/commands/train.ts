/**
 * `llamero train`: trains a model from text to checkpoint.
 *
 * @module
 */

import { join, resolve } from "node:path";
import { existsSync, mkdirSync } from "node:fs";
import { ConfigError } from "../../lib/base/errors.ts";
import { formatBytes, formatInteger } from "../../lib/base/format.ts";
import { checkDatasetTokenizers } from "../../lib/data/dataset_tokenizer.ts";
import { packTexts } from "../../lib/data/pack.ts";
import { datasetPaths } from "../../lib/formats/indexed_dataset.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { readConfigFile, type RequestedSettings } from "../../lib/train/config_file.ts";
import { writeReport } from "../../lib/train/report.ts";
import { checkResumable, readRunConfig } from "../../lib/train/resume_config.ts";
import { configOfInit, withRestarts } from "../../lib/train/run.ts";
import { checkMesh } from "../../lib/train/run_mesh.ts";
import { type RequestLayer, resolveRun, type RunConfig } from "../../lib/train/run_config.ts";
import {
  checkpointName,
  removeLeftovers,
  RunLock,
  type RunPaths,
  runPaths,
} from "../../lib/train/run_folder.ts";
import {
  checkRunFolder,
  clearRun,
  discardUnbegun,
  isWithoutSteps,
  writeRunConfig,
} from "../../lib/train/run_start.ts";
import { vocabularyOf } from "../../lib/train/run_tokenizer.ts";
import { tokensOfData } from "../../lib/train/setup.ts";
import type { DataSetting } from "../../lib/train/settings.ts";
import type { World } from "../../lib/comm/open.ts";
import type { Sources } from "../command.ts";
import { type Io, writeJson } from "../io.ts";
import { Log } from "../ui/log.ts";
import { onWorld } from "../world.ts";
import type { TrainOptions } from "./train.spec.ts";
import { printPlan } from "./train_plan.ts";
import { requestOf, withAbsolutePaths } from "./train_request.ts";
import { checkSameCommand, follow, tellConfig } from "./train_processes.ts";
import { openRunTokenizer, type TrainedSession, trainHere } from "./train_session.ts";
import { trainVirtual } from "./train_virtual.ts";

/** Runs `llamero train`. */
export async function run(
  values: TrainOptions,
  io: Io,
  sources: Sources<TrainOptions>,
): Promise<void> {
  const log = new Log(io, values);
  const flags = requestOf(values, sources);
  if (values.plan) return await planned(values, flags, io);
  const paths = runPaths(resolve(values.out!));
  const signal = io.interruption();
  await onWorld(io, async (world) => {
    checkSameCommand(world.communicator, values, flags.settings);
    if (world.communicator.rank > 0) await follow({ world, paths, signal });
    else await lead({ values, io, log, paths, flags, signal, world });
  });
}

/** Prepares the run, trains as its first rank, and writes its report. */
async function lead(call: Call): Promise<void> {
  const { values, paths } = call;
  if (values.resume) checkResumable(paths);
  else checkRunFolder(paths, values);
  const lock = RunLock.take(paths);
  try {
    removeLeftovers(paths);
    const prepared = values.resume ? await resumed(call) : await begun(call);
    await train(call, prepared);
  } catch (thrown) {
    // What was refused before its first step is no run, and stands in nobody's way.
    if (!values.resume && isWithoutSteps(paths)) clearRun(paths);
    throw thrown;
  } finally {
    lock.release();
    discardUnbegun(paths);
  }
}

/** Plans what would be begun, or what the run in `--out` is. */
async function planned(values: TrainOptions, flags: RequestLayer, io: Io): Promise<void> {
  if (values.resume && values.out !== undefined) {
    return await printPlan(readRunConfig(runPaths(resolve(values.out)), flags), values, io);
  }
  const layers = layersOf(values, flags);
  // Accelerators are made for bf16: their peak is that of bf16.
  if (values.hardware !== undefined) {
    const origin = () => `default on ${values.hardware}`;
    layers.push({ settings: { dtype: "bf16" }, origin });
  }
  const path = askedOf(layers, "tokenizer");
  const init = askedOf(layers, "init");
  const data = askedOf(layers, "data");
  const tokenizer = path === undefined ? undefined : await openTokenizer(path);
  const config = resolveRun(layers, {
    vocabulary: tokenizer === undefined ? {} : vocabularyOf(tokenizer),
    initConfig: init === undefined ? undefined : await configOfInit(init),
    tokensOfData: () => data && tokensOfData(data),
  });
  await printPlan({ ...config, settings: { ...config.settings, data: data ?? [] } }, values, io);
}

/** Flags first, then the file. */
function layersOf(values: TrainOptions, flags: RequestLayer): RequestLayer[] {
  if (values.config === undefined) return [flags];
  const path = values.config;
  return [flags, { settings: withAbsolutePaths(readConfigFile(path)), origin: () => path }];
}

/** What the first layer that asks for something asks for. */
function askedOf<K extends keyof RequestedSettings>(layers: readonly RequestLayer[], key: K) {
  return layers.find(({ settings }) => settings[key] !== undefined)?.settings[key];
}

interface Call {
  readonly values: TrainOptions;
  readonly io: Io;
  readonly log: Log;
  readonly paths: RunPaths;
  readonly flags: RequestLayer;
  readonly signal: AbortSignal;
  readonly world: World;
}

interface Prepared {
  readonly config: RunConfig;
  readonly tokenizer: CompiledTokenizer;
}

/** The run as its folder has it, with the changes that are allowed. */
async function resumed({ paths, flags }: Call): Promise<Prepared> {
  const config = readRunConfig(paths, flags);
  const tokenizer = await openRunTokenizer(config, paths);
  writeRunConfig(paths, config);
  return { config, tokenizer };
}

/** A new run: everything is refused that can be before its config is written. */
async function begun(call: Call): Promise<Prepared> {
  const { values, paths, flags, log } = call;
  const layers = layersOf(values, flags);
  const asked = <K extends keyof RequestedSettings>(key: K) => askedOf(layers, key);
  const init = asked("init");
  const tokenizerPath = asked("tokenizer") ?? init;
  if (tokenizerPath === undefined) {
    throw new ConfigError("Cannot train: there is no tokenizer", {
      hint: "give one with --tokenizer PATH; llamero tokenize train makes one",
    });
  }
  const tokenizer = await openTokenizer(tokenizerPath);
  const surroundings = {
    vocabulary: vocabularyOf(tokenizer),
    initConfig: init === undefined ? undefined : await configOfInit(init),
  };
  // Once without data, so that a slip in a setting is told before an hour of tokenizing.
  const undecided = resolveRun(layers, surroundings);
  checkMesh(undecided, ranksOf(call, undecided));
  if (values.force) clearRun(paths);
  const inputs = await packInputs(call, {
    tokenizer,
    data: asked("data"),
    text: asked("text"),
    evalData: asked("evalData") ?? [],
  });
  const own: RequestLayer = {
    settings: { ...inputs, tokenizer: tokenizerPath },
    origin: (name) => layers.find(({ settings }) => name in settings)?.origin(name) ?? "the texts",
  };
  const prefixes = [...inputs.data.map(({ path }) => path), ...inputs.evalData];
  await checkDatasetTokenizers(prefixes, tokenizer.definition.file);
  const config = resolveRun([own, ...layers], {
    ...surroundings,
    tokensOfData: () => tokensOfData(inputs.data),
  });
  writeRunConfig(paths, config);
  log.detail(`settings are in ${paths.config}`);
  return { config, tokenizer };
}

interface Inputs {
  readonly tokenizer: CompiledTokenizer;
  readonly data: readonly DataSetting[] | undefined;
  readonly text: readonly string[] | undefined;
  readonly evalData: readonly string[];
}

/** Tokenizes what is text. */
async function packInputs(call: Call, inputs: Inputs) {
  const { paths, log } = call;
  const { tokenizer, data, text, evalData } = inputs;
  if (data === undefined && text === undefined) {
    throw new ConfigError("Cannot train: there are no data", {
      hint: "give --data PREFIX (llamero tokenize pack makes them) or --text FILE",
    });
  }
  const pack = async (files: readonly string[], name: string) => {
    const prefix = join(paths.data, name);
    mkdirSync(paths.data, { recursive: true });
    const ticker = log.progress({ label: "tokenizing", unit: "bytes", format: formatBytes });
    const { inputFormat, document, field } = call.values;
    try {
      const { manifest } = await packTexts(files.map((name) => ({ name })), {
        tokenizer,
        prefix,
        force: true,
        documents: inputFormat === "jsonl" ? "jsonl" : document,
        field,
        bos: tokenizer.addBos && tokenizer.bosId !== undefined,
        eos: tokenizer.eosId !== undefined,
        signal: call.signal,
        progress: (done) => ticker.update(done),
      });
      log.detail(`${formatInteger(manifest.tokens)} tokens of ${files.join(", ")}`);
    } finally {
      ticker.finish();
    }
    return prefix;
  };
  const isDataset = (path: string) => existsSync(datasetPaths(path).idx);
  const evaluation: string[] = [];
  for (const [i, path] of evalData.entries()) {
    evaluation.push(isDataset(path) ? path : await pack([path], `eval-${i}`));
  }
  return { data: data ?? [{ path: await pack(text!, "text") }], evalData: evaluation };
}

async function train(call: Call, { config, tokenizer }: Prepared): Promise<void> {
  const { values, io, paths, log } = call;
  checkMesh(config, ranksOf(call, config));
  const { state, last } = await trainAll(call, { config, tokenizer });
  writeReport(paths, config);
  const { step, tokens } = state;
  const folder = join(paths.checkpoints, checkpointName(step));
  if (values.json) {
    const { loss, eval_loss } = last ?? {};
    writeJson(io.stdout, { step, tokens, loss, eval_loss, checkpoint: folder });
  } else log.note(`trained ${step} steps: ${folder}, ${paths.report}`);
}

/** How many ranks train, as processes or within this one. */
function ranksOf({ world }: Call, { settings: { virtualRanks } }: RunConfig): number {
  const { size } = world.communicator;
  if (size === 1 || virtualRanks === 1) return size * virtualRanks;
  throw new ConfigError(
    `Cannot train on ${virtualRanks} virtual ranks: there are ${size} processes already`,
    { hint: "leave --virtual-ranks away, or start llamero train without a launcher" },
  );
}

/** Trains on all ranks; ranks that are processes are started again by whoever started them. */
async function trainAll(call: Call, { config, tokenizer }: Prepared): Promise<TrainedSession> {
  const { values, io, log, paths, signal, world } = call;
  const { communicator, localRanks } = world;
  const here = { config, paths, tokenizer, log, io, signal };
  if (config.settings.virtualRanks > 1) return await trainVirtual({ ...here, values });
  if (communicator.size === 1) return await withRestarts(here, () => trainHere(here));
  if (config.settings.restarts > 0) {
    log.warn("--restarts: processes are started again by who started them; see the README");
  }
  tellConfig(communicator, config);
  return await trainHere({ ...here, world: communicator, localRanks });
}
