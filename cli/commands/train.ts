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
import type { Sources } from "../command.ts";
import { type Io, writeJson } from "../io.ts";
import { Log } from "../ui/log.ts";
import type { TrainOptions } from "./train.spec.ts";
import { printPlan } from "./train_plan.ts";
import { requestOf, withAbsolutePaths } from "./train_request.ts";
import { openRunTokenizer, trainHere } from "./train_session.ts";
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
  const call: Call = { values, io, log, paths, flags, signal };
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
  checkMesh(undecided, undecided.settings.virtualRanks);
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
  const { values, io, log, paths, signal } = call;
  const { virtualRanks } = config.settings;
  checkMesh(config, virtualRanks);
  const { state, last } = virtualRanks > 1
    ? await trainVirtual({ config, paths, values, io, signal })
    : await withRestarts(
      { config, paths },
      () => trainHere({ config, paths, tokenizer, log, io, signal }),
    );
  writeReport(paths, config);
  const { step, tokens } = state;
  const folder = join(paths.checkpoints, checkpointName(step));
  if (values.json) {
    const { loss, eval_loss } = last ?? {};
    writeJson(io.stdout, { step, tokens, loss, eval_loss, checkpoint: folder });
  } else log.note(`trained ${step} steps: ${folder}, ${paths.report}`);
}
