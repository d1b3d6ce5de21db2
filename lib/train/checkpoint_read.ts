/**
 * Reading a checkpoint back: checked against its checksums, then into the memory of the run.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { ConfigError, FormatError, LlameroError } from "../base/errors.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import { readJsonFile } from "../checkpoint/json_file.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import { readSafetensors } from "../formats/safetensors.ts";
import type { TensorRecord } from "../formats/tensor_file.ts";
import type { Parameter } from "../model/training/trainable.ts";
import {
  checksumOf,
  CHECKSUMS_FILE,
  MOMENTS_FILE,
  MOMENTS_INDEX,
  STATE_FILE,
  TRAINING_FOLDER,
} from "./checkpoint_write.ts";
import type { HeldState } from "./held_state.ts";
import { heldValues } from "./held_values.ts";
import type { Moment } from "./optimizer.ts";
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
  /** Gets weights and moments. */
  readonly held: HeldState;
  /** What the run is, to be compared with what the checkpoint's was. */
  readonly identity: RunIdentity;
}

/**
 * Loads weights, moments and state, of a checkpoint by any mesh into this rank's place of any other.
 *
 * @throws {ConfigError} Where the checkpoint is of another run.
 * @throws {FormatError} Where a file does not hold what it should.
 */
export async function loadTrainingCheckpoint(
  path: string,
  { held, identity }: LoadTarget,
): Promise<TrainState> {
  const file = join(path, STATE_FILE);
  const json = readJsonFile(file) as Record<string, unknown>;
  checkIdentity(path, { is: json.run as RunIdentity | undefined, wanted: identity });
  const state = checkState(json.state, file);
  await loadWeights(path, held);
  const moments = await openMoments(path);
  held.parameters.forEach((parameter, index) => {
    for (const which of ["m", "v"] as const) {
      const name = momentName(which, parameter);
      held.setMoment(which, index, heldValues(moments.get(name), { parameter, path, name }));
    }
  });
  return state;
}

/** The moments of a checkpoint, whether one file has them or several. */
async function openMoments(path: string): Promise<ReadonlyMap<string, TensorRecord>> {
  const index = join(path, MOMENTS_INDEX);
  if (!existsSync(index)) return (await readSafetensors(join(path, MOMENTS_FILE))).records;
  const map = (readJsonFile(index) as { readonly weight_map?: Record<string, string> }).weight_map;
  const records = new Map<string, TensorRecord>();
  for (const name of new Set(Object.values(map ?? {}))) {
    const file = join(path, TRAINING_FOLDER, basename(name));
    for (const [key, record] of (await readSafetensors(file)).records) records.set(key, record);
  }
  return records;
}

/**
 * Loads the weights of a model in any format, as the beginning of a run.
 *
 * @throws {FormatError} Where its types cannot be trained.
 */
export async function loadWeights(
  path: string,
  held: Pick<HeldState, "parameters" | "setWeight">,
): Promise<void> {
  const { tensors, ropeLayout, config: { headDim } } = await openCheckpoint(path);
  held.parameters.forEach((parameter, index) => {
    const { name, ropeHeads } = parameter.spec;
    const rope = ropeLayout === "interleaved" && ropeHeads > 0 ? headDim : undefined;
    held.setWeight(index, heldValues(tensors.get(name), { parameter, path, name, rope }));
  });
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
