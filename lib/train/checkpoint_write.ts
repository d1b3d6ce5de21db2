/**
 * Writing a checkpoint: a Hugging Face folder with `training/` for what the run needs besides, complete
 * under its name or not there at all. Runs in a worker, beside the training.
 *
 * @module
 */

import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { basename, join } from "node:path";
import { syncFolder, writeFileAtomically } from "../base/atomic_file.ts";
import { errorCode, fileError } from "../base/file_error.ts";
import type { TensorSource } from "../formats/tensor_file.ts";
import { encodeSafetensorsIndex, writeSafetensors } from "../formats/safetensors_write.ts";
import { checkpointName, linkLatest, removeCheckpoint } from "./run_folder.ts";

/** One tensor (f32) of a snapshot. */
export interface SnapshotTensor {
  /** Its name in the file. */
  readonly name: string;
  /** Extents, outermost first. */
  readonly shape: readonly number[];
  /** Its values; absent where another rank writes them. */
  readonly values: Float32Array<ArrayBuffer> | undefined;
}

/** One file of tensors. */
export interface SnapshotShard {
  /** Path inside the checkpoint. */
  readonly name: string;
  /** Its tensors, all with values or all without. */
  readonly tensors: readonly SnapshotTensor[];
}

/** A small file of a snapshot. */
export interface SnapshotFile {
  /** Path inside the checkpoint. */
  readonly name: string;
  /** What it holds; text becomes UTF-8. */
  readonly content: string | Uint8Array;
}

/** One writer's share of a checkpoint, copied from the memory of the run. */
export interface Snapshot {
  /** Steps done. */
  readonly step: number;
  /** Where checkpoints stand. */
  readonly checkpoints: string;
  /** What the name under which all writers put it together ends with. */
  readonly temporary: string;
  /** Which writer this is; 0 commits what all of them have written. */
  readonly writer: number;
  /** How many write. */
  readonly writers: number;
  /** All files of tensors, those of other writers without values. */
  readonly shards: readonly SnapshotShard[];
  /** Configs, tokenizer, state; the first writer's. */
  readonly files: readonly SnapshotFile[];
  /** Checkpoints to remove once this one is there. */
  readonly obsolete: readonly number[];
}

/** Folder of a checkpoint for what only training needs. */
export const TRAINING_FOLDER = "training";
/** SHA-256 of every other file, by path inside the checkpoint. */
export const CHECKSUMS_FILE: string = join(TRAINING_FOLDER, "checksums.json");
/** Moments of the optimizer, in the order and under the names of the weights. */
export const MOMENTS_FILE: string = join(TRAINING_FOLDER, "optimizer.safetensors");
/** What else decides the future: step, tokens, recoveries, and the identity of the run. */
export const STATE_FILE: string = join(TRAINING_FOLDER, "state.json");

/** Index of the moments where several files have them. */
export const MOMENTS_INDEX: string = `${MOMENTS_FILE}.index.json`;

/** Between two looks at whether the other writers are done. */
const POLL_MS = 20;

/**
 * Writes one writer's share of a checkpoint; the first writer waits for the others and commits: files
 * synced, checksums, rename, `latest`; only then older ones go.
 *
 * Writers meet in the folder alone, whose file system they share: each one's share is done when its
 * list of checksums is there.
 *
 * @throws {LlameroError} Where it cannot be written; nothing of it is left then.
 */
export async function writeCheckpoint(snapshot: Snapshot): Promise<void> {
  const { checkpoints, step, writer, writers } = snapshot;
  const path = join(checkpoints, checkpointName(step));
  const temporary = join(checkpoints, `.${checkpointName(step)}.${snapshot.temporary}.tmp`);
  try {
    // Not the folders above: where they are gone, somebody has removed the run.
    for (const folder of [temporary, join(temporary, TRAINING_FOLDER)]) makeFolder(folder);
    await writeFiles(temporary, snapshot);
    if (writer > 0) return await finishShare(temporary, snapshot);
    const sums = {
      ...await sharesOf(temporary, writers),
      ...await checksums(temporary, (name) => isOwn(snapshot, name)),
    };
    writeChecksums(join(temporary, CHECKSUMS_FILE), sums);
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

/** Makes a folder, or finds that another writer has made it. */
function makeFolder(path: string): void {
  try {
    fs.mkdirSync(path);
  } catch (thrown) {
    if (errorCode(thrown) !== "EEXIST") throw thrown;
  }
}

/** The list of checksums that says that a writer is done. */
function shareFile(folder: string, writer: number): string {
  return join(folder, TRAINING_FOLDER, `share-${writer}.json`);
}

function writeChecksums(path: string, files: Record<string, string>): void {
  const sorted = Object.fromEntries(Object.entries(files).sort(([a], [b]) => a < b ? -1 : 1));
  const text = JSON.stringify({ algorithm: "sha256", files: sorted }, undefined, 2);
  writeFileAtomically(path, `${text}\n`);
}

async function finishShare(folder: string, snapshot: Snapshot): Promise<void> {
  const sums = await checksums(folder, (name) => isOwn(snapshot, name));
  writeChecksums(shareFile(folder, snapshot.writer), sums);
}

/** Waits for the other writers, and takes their checksums. */
async function sharesOf(folder: string, writers: number): Promise<Record<string, string>> {
  const sums: Record<string, string> = {};
  for (let writer = 1; writer < writers; writer++) {
    const share = shareFile(folder, writer);
    while (!fs.existsSync(share)) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    Object.assign(sums, JSON.parse(fs.readFileSync(share, "utf8")).files);
    fs.rmSync(share);
  }
  return sums;
}

function hasValues({ tensors }: SnapshotShard): boolean {
  return tensors.every(({ values }) => values !== undefined);
}

/** Whether a file is this writer's: the first one's are all that are in no other's shards. */
function isOwn({ shards, writer }: Snapshot, name: string): boolean {
  const shard = shards.find((shard) => shard.name === name);
  return shard === undefined
    ? writer === 0 && !/^training\/share-\d+\.json$/.test(name)
    : hasValues(shard);
}

async function writeFiles(folder: string, snapshot: Snapshot): Promise<void> {
  const { shards, files, writer } = snapshot;
  for (const { name, content } of files) writeFileAtomically(join(folder, name), content);
  const metadata = { format: "pt" };
  for (const shard of shards.filter(hasValues)) {
    await writeSafetensors(join(folder, shard.name), shard.tensors.map(sourceOf), { metadata });
  }
  if (writer > 0) return;
  writeIndex(folder, {
    index: "model.safetensors.index.json",
    shards: shards.filter(({ name }) => !name.startsWith(`${TRAINING_FOLDER}/`)),
  });
  writeIndex(folder, {
    index: MOMENTS_INDEX,
    shards: shards.filter(({ name }) => name.startsWith(`${TRAINING_FOLDER}/`)),
  });
}

/** Says which file has which tensor, where there is more than one. */
function writeIndex(
  folder: string,
  { index, shards }: { readonly index: string; readonly shards: readonly SnapshotShard[] },
): void {
  if (shards.length < 2) return;
  const files = shards.map(({ name, tensors }) => ({
    name: basename(name),
    tensors: tensors.map(({ name, shape }) => ({ name, shape, dtype: "f32" })),
  }));
  writeFileAtomically(join(folder, index), encodeSafetensorsIndex(files));
}

function sourceOf({ name, shape, values }: SnapshotTensor): TensorSource {
  const { buffer, byteOffset, byteLength } = values!;
  return { name, dtype: "f32", shape, data: new Uint8Array(buffer, byteOffset, byteLength) };
}

/** SHA-256 of the files of a checkpoint that a writer has, by path with forward slashes, in order. */
async function checksums(
  folder: string,
  isOwn: (name: string) => boolean,
): Promise<Record<string, string>> {
  const files = ["", TRAINING_FOLDER].flatMap((inner) =>
    fs.readdirSync(join(folder, inner), { withFileTypes: true })
      .filter((entry) => entry.isFile() && join(inner, entry.name) !== CHECKSUMS_FILE)
      .map((entry) => inner === "" ? entry.name : `${inner}/${entry.name}`)
  );
  const sums: Record<string, string> = {};
  for (const file of files.filter(isOwn).sort()) sums[file] = await checksumOf(join(folder, file));
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
