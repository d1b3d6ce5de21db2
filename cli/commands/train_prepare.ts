/**
 * What `llamero train` does before it trains: settings resolved, texts tokenized, `config.toml` written.
 * One rank does it; the others resolve the same from what it has made.
 *
 * @module
 */

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../../lib/base/errors.ts";
import { formatBytes, formatInteger } from "../../lib/base/format.ts";
import { quotedPath } from "../../lib/base/quoted.ts";
import { meshSize, parseMesh } from "../../lib/comm/mesh.ts";
import { checkDatasetTokenizers } from "../../lib/data/dataset_tokenizer.ts";
import { packTexts } from "../../lib/data/pack.ts";
import { datasetPaths } from "../../lib/formats/indexed_dataset.ts";
import { presetOf } from "../../lib/model/presets.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled_tokenizer.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { readConfigFile } from "../../lib/train/config_file.ts";
import { readRunConfig } from "../../lib/train/resume_config.ts";
import { configOfInit } from "../../lib/train/run.ts";
import { askedOf, firstAsking, type RequestLayer } from "../../lib/train/request_layers.ts";
import { resolveRun, type RunConfig } from "../../lib/train/run_config.ts";
import type { RunPaths } from "../../lib/train/run_folder.ts";
import { checkMesh } from "../../lib/train/run_mesh.ts";
import { layAside, writeRunConfig } from "../../lib/train/run_start.ts";
import { vocabularyOf } from "../../lib/train/run_tokenizer.ts";
import { tokensOfData } from "../../lib/train/setup.ts";
import type { DataSetting, TrainSettings } from "../../lib/train/settings.ts";
import type { Io } from "../io.ts";
import type { Log } from "../ui/log.ts";
import type { TrainOptions } from "./train.spec.ts";
import { withAbsolutePaths } from "./train_request.ts";
import { openRunTokenizer } from "./train_session.ts";

/** One call of the command. */
export interface Call {
  /** What it was called with. */
  readonly values: TrainOptions;
  /** The process. */
  readonly io: Io;
  /** Where notes go. */
  readonly log: Log;
  /** The run's folder. */
  readonly paths: RunPaths;
  /** Flags and environment. */
  readonly flags: RequestLayer;
  /** Asks for the end. */
  readonly signal: AbortSignal;
  /** Ranks that a launcher has started; 1 where none has. */
  readonly launched: number;
}

/** A run that can be trained. */
export interface Prepared {
  /** Every setting, resolved. */
  readonly config: RunConfig;
  /** The tokenizer, opened; it is the caller's to close. */
  readonly tokenizer: CompiledTokenizer;
  /** What it is made from, for the ranks that have not made it. */
  readonly inputs?: RunInputs | undefined;
}

/** Datasets, those too that were made of texts. */
export type RunInputs = Pick<TrainSettings, "data" | "evalData">;

/** How many ranks a run has. */
export function ranksOf({ launched }: Pick<Call, "launched">, { settings }: RunConfig): number {
  return launched > 1 ? launched : settings.virtualRanks;
}

/** Flags first, then the file. */
export function layersOf(values: TrainOptions, flags: RequestLayer): RequestLayer[] {
  if (values.config === undefined) return [flags];
  const path = values.config;
  return [flags, { settings: withAbsolutePaths(readConfigFile(path)), origin: () => path }];
}

/** What is asked to be trained on. */
export interface AskedInputs {
  /** Datasets that are packed already, with their shares. */
  readonly data: readonly DataSetting[] | undefined;
  /** Texts to tokenize, instead. */
  readonly text: readonly string[] | undefined;
}

/**
 * Datasets or texts to train on, as the first layer that asks for either asks for them.
 *
 * @throws {ConfigError} Where it asks for both.
 */
export function askedInputs(
  layers: readonly RequestLayer[],
): AskedInputs {
  const layer = firstAsking(layers, ["data", "text"]);
  const { data, text } = layer?.settings ?? {};
  if (layer === undefined || data === undefined || text === undefined) return { data, text };
  throw new ConfigError(
    `Cannot train on both data and texts, which ${quotedPath(layer.origin("data"))} asks for: ` +
      `one of "data" and "text" was wanted`,
  );
}

/** Prepares a run, as the rank that leads. */
export async function prepare(call: Call): Promise<Prepared> {
  const { values, paths, log } = call;
  const prepared = values.resume ? await resumed(call) : await begun(call);
  checkMesh(prepared.config, ranksOf(call, prepared.config));
  writeRunConfig(paths, prepared.config);
  log.detail(`settings are in ${paths.config}`);
  return prepared;
}

/** Prepares a run that another rank has prepared, with this rank's own command line. */
export async function follow(call: Call, inputs: RunInputs | undefined): Promise<Prepared> {
  return inputs === undefined ? await resumed(call) : await resolved(await sourceOf(call), inputs);
}

/** The run as its folder has it, with the changes that are allowed. */
async function resumed({ values, paths, flags, launched }: Call): Promise<Prepared> {
  const layers = layersOf(values, flags);
  let config = readRunConfig(paths, layers);
  if (launched === 1) config = readRunConfig(paths, withRanksOf(config, layers));
  return { config, tokenizer: await openRunTokenizer(config, paths) };
}

/** Where virtual ranks go on under another mesh, they are as many as it has. */
function withRanksOf({ settings }: RunConfig, layers: readonly RequestLayer[]): RequestLayer[] {
  const asking = firstAsking(layers, ["mesh", "virtualRanks"]);
  const { mesh, virtualRanks } = asking?.settings ?? {};
  if (asking === undefined || mesh === undefined || mesh === "auto") return [...layers];
  if (virtualRanks !== undefined || settings.virtualRanks === 1) return [...layers];
  const ranks = { virtualRanks: meshSize(parseMesh(mesh)) };
  return [{ settings: ranks, origin: () => asking.origin("mesh") }, ...layers];
}

/** What the config of a new run is resolved from. */
interface Source {
  readonly layers: readonly RequestLayer[];
  readonly tokenizer: CompiledTokenizer;
  readonly tokenizerPath: string;
  readonly surroundings: Parameters<typeof resolveRun>[1];
}

async function sourceOf({ values, flags }: Call): Promise<Source> {
  const layers = layersOf(values, flags);
  const init = askedOf(layers, "init");
  const preset = askedOf(layers, "preset");
  if (preset !== undefined) presetOf(preset); // a slip in its name is told before files are missed
  const tokenizerPath = askedOf(layers, "tokenizer") ?? init;
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
  return { layers, tokenizer, tokenizerPath, surroundings };
}

/** A new run: everything is refused that can be before its texts are tokenized. */
async function begun(call: Call): Promise<Prepared> {
  const source = await sourceOf(call);
  const { layers, tokenizer, surroundings } = source;
  // Once without data, so that a slip in a setting is told before an hour of tokenizing.
  const undecided = resolveRun(layers, surroundings);
  checkMesh(undecided, ranksOf(call, undecided));
  if (call.values.force) layAside(call.paths);
  const inputs = await packInputs(call, {
    tokenizer,
    ...askedInputs(layers),
    evalData: askedOf(layers, "evalData") ?? [],
  });
  return await resolved(source, inputs);
}

async function resolved(source: Source, inputs: RunInputs): Promise<Prepared> {
  const { layers, tokenizer, tokenizerPath, surroundings } = source;
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
  return { config, tokenizer, inputs };
}

interface Asked extends AskedInputs {
  readonly tokenizer: CompiledTokenizer;
  readonly evalData: readonly string[];
}

/** Tokenizes what is text. */
async function packInputs(call: Call, asked: Asked): Promise<RunInputs> {
  const { paths, log } = call;
  const { tokenizer, data, text, evalData } = asked;
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
