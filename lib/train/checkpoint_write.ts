/**
 * Writing a checkpoint: a Hugging Face folder with `training/` for what the run needs besides, complete
 * under its name or not there at all. Runs in a worker, beside the training.
 *
 * @module
 */

import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { syncFolder, temporaryName, writeFileAtomically } from "../base/atomic_file.ts";
import { fileError } from "../base/file_error.ts";
import type { TensorSource } from "../formats/tensor_file.ts";
import { writeSafetensors, writeSafetensorsShards } from "../formats/safetensors_write.ts";
import { checkpointName, linkLatest, removeCheckpoint } from "./run_folder.ts";

/** One tensor (f32) of a snapshot. */
export interface SnapshotTensor {
  /** Its name in the file. */
  readonly name: string;
  /** Extents, outermost first. */
  readonly shape: readonly number[];
  /** Its values. */
  readonly values: Float32Array<ArrayBuffer>;
}

/** A small file of a snapshot. */
export interface SnapshotFile {
  /** Path inside the checkpoint. */
  readonly name: string;
  /** Its content. */
  readonly content: string | Uint8Array;
}

/** All of a checkpoint, copied from the memory of the run. */
export interface Snapshot {
  /** Steps done. */
  readonly step: number;
  /** Where checkpoints stand. */
  readonly checkpoints: string;
  /** Weights under Hugging Face's names. */
  readonly weights: readonly SnapshotTensor[];
  /** Moments of the optimizer. */
  readonly moments: readonly SnapshotTensor[];
  /** Configs, tokenizer, state. */
  readonly files: readonly SnapshotFile[];
  /** Checkpoints to remove once this one is there. */
  readonly obsolete: readonly number[];
}

/** Folder of a checkpoint for what only training needs. */
export const TRAINING_FOLDER = "training";
/** SHA-256 of every other file, by path inside the checkpoint. */
export const CHECKSUMS_FILE: string = join(TRAINING_FOLDER, "checksums.json");
/** Moments of the optimizer. */
export const MOMENTS_FILE: string = join(TRAINING_FOLDER, "optimizer.safetensors");
/** The rest of the state. */
export const STATE_FILE: string = join(TRAINING_FOLDER, "state.json");

/** Weights beyond this size are cut, as transformers cuts them. */
const SHARD_BYTES = 5e9;

/**
 * Writes a checkpoint: temporary folder, files synced, checksums, rename, `latest`; only then older
 * ones go.
 *
 * @throws {LlameroError} Where it cannot be written; nothing of it is left then.
 */
export async function writeCheckpoint(snapshot: Snapshot): Promise<void> {
  const { checkpoints, step } = snapshot;
  const path = join(checkpoints, checkpointName(step));
  const temporary = temporaryName(path);
  try {
    // Not the folders above: where they are gone, somebody has removed the run.
    fs.mkdirSync(temporary);
    fs.mkdirSync(join(temporary, TRAINING_FOLDER));
    await writeFiles(temporary, snapshot);
    const sums = await checksums(temporary);
    const text = `${JSON.stringify({ algorithm: "sha256", files: sums }, undefined, 2)}\n`;
    writeFileAtomically(join(temporary, CHECKSUMS_FILE), text);
    syncFolder(join(temporary, TRAINING_FOLDER));
    syncFolder(temporary);
    // One of the same step is of a path that was abandoned, or written again with the same bytes.
    removeCheckpoint(checkpoints, step);
    fs.renameSync(temporary, path);
    syncFolder(checkpoints);
  } catch (thrown) {
    fs.rmSync(temporary, { recursive: true, force: true });
    throw fileError(thrown, { action: "write", path });
  }
  linkLatest(checkpoints, step);
  for (const old of snapshot.obsolete) removeCheckpoint(checkpoints, old);
}

async function writeFiles(folder: string, snapshot: Snapshot): Promise<void> {
  for (const { name, content } of snapshot.files) writeFileAtomically(join(folder, name), content);
  const metadata = { format: "pt" };
  await writeSafetensorsShards(folder, snapshot.weights.map(sourceOf), {
    shardBytes: SHARD_BYTES,
    metadata,
  });
  await writeSafetensors(join(folder, MOMENTS_FILE), snapshot.moments.map(sourceOf), { metadata });
}

function sourceOf({ name, shape, values }: SnapshotTensor): TensorSource {
  const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { name, dtype: "f32", shape, data };
}

/** SHA-256 of the files of a checkpoint, by path with forward slashes, in order. */
export async function checksums(folder: string): Promise<Record<string, string>> {
  const files = ["", TRAINING_FOLDER].flatMap((inner) =>
    fs.readdirSync(join(folder, inner), { withFileTypes: true })
      .filter((entry) => entry.isFile() && join(inner, entry.name) !== CHECKSUMS_FILE)
      .map((entry) => inner === "" ? entry.name : `${inner}/${entry.name}`)
  );
  const sums: Record<string, string> = {};
  for (const file of files.sort()) sums[file] = await checksumOf(join(folder, file));
  return sums;
}

/** SHA-256 of a file in hexadecimal digits. */
export async function checksumOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of fs.createReadStream(path, { highWaterMark: 1 << 20 })) {
      hash.update(chunk as Uint8Array);
    }
  } catch (thrown) {
    throw fileError(thrown, { action: "read", path });
  }
  return hash.digest("hex");
}
