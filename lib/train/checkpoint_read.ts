/**
 * Reading a checkpoint back: checked against its checksums, then into the memory of the run.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, FormatError, LlameroError } from "../base/errors.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import { readJsonFile } from "../checkpoint/json_file.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import { tensorValues } from "../checkpoint/tensor_values.ts";
import { readSafetensors } from "../formats/safetensors.ts";
import type { TensorRecord } from "../formats/tensor_file.ts";
import type { Parameter, Trainable } from "../model/training/trainable.ts";
import { checksumOf, CHECKSUMS_FILE, MOMENTS_FILE, STATE_FILE } from "./checkpoint_write.ts";
import type { Moment, Optimizer } from "./optimizer.ts";
import type { RunIdentity } from "./identity.ts";
import { checkpointName, checkpointSteps, latestStep, type RunPaths } from "./run_folder.ts";
import { checkState, type TrainState } from "./state.ts";

/** Name of a parameter's moment in the optimizer's file. */
export function momentName(moment: Moment, parameter: Pick<Parameter, "spec">): string {
  return `${moment}.${parameter.spec.names.huggingFace}`;
}

/** A checkpoint that was found, and others that cannot be loaded. */
export interface FoundCheckpoint {
  /** Its folder. */
  readonly path: string;
  /** Steps done. */
  readonly step: number;
  /** Newer ones that are damaged, and how. */
  readonly damaged: readonly string[];
}

/**
 * The checkpoint to go on from: the one that `latest` names, or else the newest that is whole.
 * `undefined` where there is none at all.
 *
 * @param before Only checkpoints of at most so many steps.
 * @throws {LlameroError} Where there are checkpoints and all are damaged.
 */
export async function findCheckpoint(
  paths: RunPaths,
  before: number = Infinity,
): Promise<FoundCheckpoint | undefined> {
  const latest = Math.min(latestStep(paths) ?? Infinity, before);
  const steps = checkpointSteps(paths).reverse();
  // Where `latest` names one that is gone, the newest of all is the next best.
  const first = steps.includes(latest) ? latest : before;
  const candidates = steps.filter((step) => step <= first);
  const damaged: string[] = [];
  for (const step of candidates) {
    const path = join(paths.checkpoints, checkpointName(step));
    try {
      await verifyCheckpoint(path);
      return { path, step, damaged };
    } catch (thrown) {
      if (!(thrown instanceof LlameroError)) throw thrown;
      damaged.push(thrown.message);
    }
  }
  if (damaged.length === 0) return undefined;
  throw new LlameroError(damaged[0]!, {
    hint: `no checkpoint in ${quotedPath(paths.checkpoints)} is whole: begin again with --force`,
  });
}

/** Compares a checkpoint with its checksums. @throws {FormatError} Where a file differs or is gone. */
export async function verifyCheckpoint(path: string): Promise<void> {
  const file = join(path, CHECKSUMS_FILE);
  const sums = (readJsonFile(file) as { readonly files?: unknown } | null)?.files;
  if (typeof sums !== "object" || sums === null) {
    throw new FormatError(`Cannot read ${quotedPath(file)}: it has no checksums`, { file });
  }
  for (const [name, wanted] of Object.entries(sums)) {
    const member = join(path, name);
    if (name.split("/").includes("..") || !existsSync(member)) {
      throw new FormatError(`Cannot load ${quotedPath(path)}: ${quoted(name)} is not there`, {
        file: member,
      });
    }
    if (await checksumOf(member) === wanted) continue;
    throw new FormatError(
      `Cannot load ${quotedPath(path)}: ${quoted(name)} is damaged, its checksum is another`,
      { file: member },
    );
  }
}

/** What a checkpoint is loaded into. */
export interface LoadTarget {
  /** Gets the weights. */
  readonly model: Trainable;
  /** Gets the moments. */
  readonly optimizer: Optimizer;
  /** What the run is, to be compared with what the checkpoint's was. */
  readonly identity: RunIdentity;
}

/**
 * Loads weights, moments and state.
 *
 * @throws {ConfigError} Where the checkpoint is of another run.
 * @throws {FormatError} Where a file does not hold what it should.
 */
export async function loadTrainingCheckpoint(
  path: string,
  { model, optimizer, identity }: LoadTarget,
): Promise<TrainState> {
  const file = join(path, STATE_FILE);
  const json = readJsonFile(file) as Record<string, unknown>;
  checkIdentity(path, { is: json.run as RunIdentity | undefined, wanted: identity });
  const state = checkState(json.state, file);
  await loadWeights(path, model);
  const { records: moments } = await readSafetensors(join(path, MOMENTS_FILE));
  optimizer.parameters.forEach((parameter, index) => {
    for (const which of ["m", "v"] as const) {
      const name = momentName(which, parameter);
      optimizer.setMoment(which, index, valuesOf(moments.get(name), { parameter, path, name }));
    }
  });
  return state;
}

/**
 * Loads the weights of a model in any format, as the beginning of a run.
 *
 * @throws {FormatError} Where its types cannot be trained, or rotary rows are in another order.
 */
export async function loadWeights(path: string, model: Trainable): Promise<void> {
  const source = await openCheckpoint(path);
  if (source.ropeLayout !== "half") {
    throw new ConfigError(
      `Cannot train ${quotedPath(path)}: its rotary rows are interleaved`,
      { hint: `convert it first: llamero convert ${path} model-hf --to hf` },
    );
  }
  for (const parameter of model.parameters) {
    const { name } = parameter.spec;
    model.setWeight(parameter, valuesOf(source.tensors.get(name), { parameter, path, name }));
  }
}

interface Wanted {
  readonly parameter: Parameter;
  readonly path: string;
  readonly name: string;
}

function valuesOf(
  record: TensorRecord | undefined,
  { parameter, path, name }: Wanted,
): Float32Array<ArrayBuffer> {
  const chunks = record && tensorValues(record);
  const values = new Float32Array(parameter.count);
  let at = 0;
  for (const chunk of chunks ?? []) {
    if (at + chunk.length <= values.length) values.set(chunk, at);
    at += chunk.length;
  }
  if (at === values.length) return values;
  throw new FormatError(
    `Cannot load ${quotedPath(path)}: ${quoted(name)} has ${at} numbers, ` +
      `${parameter.count} were wanted`,
    { file: path },
  );
}

function checkIdentity(
  path: string,
  { is, wanted }: { readonly is: RunIdentity | undefined; readonly wanted: RunIdentity },
): void {
  for (const [key, value] of Object.entries(wanted)) {
    const own = JSON.stringify(is?.[key]);
    if (own === JSON.stringify(value)) continue;
    throw new ConfigError(
      `Cannot go on from ${quotedPath(path)}: its ${quoted(key)} is ${own ?? "unknown"}, ` +
        `${JSON.stringify(value)} was wanted`,
      { hint: "the checkpoint is of another run, or config.toml or the data have changed since" },
    );
  }
}
