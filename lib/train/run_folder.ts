/**
 * The folder of a run: what lies where, who may write in it, and which checkpoint is the latest.
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import { syncFolder, temporaryName } from "../base/atomic_file.ts";
import { LlameroError } from "../base/errors.ts";
import { errorCode, fileError } from "../base/file_error.ts";
import { quotedPath } from "../base/quoted.ts";

/** Files and folders of a run. */
export interface RunPaths {
  /** The run's folder. */
  readonly run: string;
  /** All values, resolved. */
  readonly config: string;
  /** A row for each step. */
  readonly metrics: string;
  /** What happened besides steps: starts, saves, spikes, failures. */
  readonly events: string;
  /** Event files of TensorBoard. */
  readonly tensorboard: string;
  /** Plots for people. */
  readonly report: string;
  /** Samples of the model's text, a row each. */
  readonly samples: string;
  /** Texts that were tokenized for this run. */
  readonly data: string;
  /** A folder for each checkpoint, and `latest`. */
  readonly checkpoints: string;
  /** Held by the trainer that writes here. */
  readonly lock: string;
}

/** The paths of a run's folder. */
export function runPaths(run: string): RunPaths {
  return {
    run,
    config: join(run, "config.toml"),
    metrics: join(run, "metrics.jsonl"),
    events: join(run, "events.jsonl"),
    tensorboard: join(run, "tensorboard"),
    report: join(run, "report.html"),
    samples: join(run, "samples.jsonl"),
    data: join(run, "data"),
    checkpoints: join(run, "checkpoints"),
    lock: join(run, ".lock"),
  };
}

/** Name of a checkpoint's folder: `step-000100`. */
export function checkpointName(step: number): string {
  return `step-${String(step).padStart(6, "0")}`;
}

/** Steps of the checkpoints of a run, ascending. */
export function checkpointSteps({ checkpoints }: RunPaths): number[] {
  return names(checkpoints).flatMap((name) => {
    const match = /^step-(\d{6,})$/.exec(name);
    return match === null ? [] : [Number(match[1])];
  }).sort((a, b) => a - b);
}

/** The step that `latest` names, or `undefined` where it names none that is there. */
export function latestStep({ checkpoints }: RunPaths): number | undefined {
  const link = join(checkpoints, "latest");
  try {
    const match = /^step-(\d{6,})$/.exec(fs.readlinkSync(link));
    return match === null || !fs.existsSync(link) ? undefined : Number(match[1]);
  } catch {
    return undefined; // No link: whoever reads on looks for the newest checkpoint.
  }
}

/** Makes `latest` name a checkpoint; the old one is replaced by a rename. */
export function linkLatest(checkpoints: string, step: number): void {
  const link = join(checkpoints, "latest");
  const temporary = temporaryName(link);
  try {
    fs.symlinkSync(checkpointName(step), temporary, "dir");
    fs.renameSync(temporary, link);
  } catch (thrown) {
    fs.rmSync(temporary, { force: true });
    throw fileError(thrown, { action: "write", path: link });
  }
  syncFolder(checkpoints);
}

/** Removes a checkpoint so that no moment shows a part of it under its name. */
export function removeCheckpoint(checkpoints: string, step: number): void {
  const path = join(checkpoints, checkpointName(step));
  const gone = temporaryName(path);
  try {
    fs.renameSync(path, gone);
    fs.rmSync(gone, { recursive: true, force: true });
  } catch (thrown) {
    if (errorCode(thrown) !== "ENOENT") throw fileError(thrown, { action: "remove", path });
  }
}

/** Removes what a trainer that was killed left under temporary names. */
export function removeLeftovers({ run, checkpoints, data, tensorboard }: RunPaths): void {
  for (const folder of [run, checkpoints, data, tensorboard]) {
    for (const name of names(folder)) {
      if (!/^\..+\.tmp(\.old)?$/.test(name)) continue;
      fs.rmSync(join(folder, name), { recursive: true, force: true });
    }
  }
}

function names(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch (thrown) {
    if (errorCode(thrown) === "ENOENT") return [];
    throw fileError(thrown, { action: "read", path: folder });
  }
}

/**
 * A run's folder, held: a second trainer is refused while this one lives.
 *
 * The lock is the operating system's, so that it ends with the process however that ends; the file
 * holds the process id for the message.
 */
export class RunLock {
  readonly #file: Deno.FsFile;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /**
   * Takes the lock, making the folder where it is not there.
   *
   * @throws {LlameroError} Where another process holds it, with its id.
   */
  static take({ run, lock }: RunPaths): RunLock {
    let file: Deno.FsFile;
    try {
      fs.mkdirSync(run, { recursive: true });
      file = Deno.openSync(lock, { read: true, write: true, create: true });
    } catch (thrown) {
      throw fileError(thrown, { action: "write", path: run });
    }
    if (!file.tryLockSync(true)) {
      const bytes = new Uint8Array(32);
      const length = file.readSync(bytes) ?? 0;
      file.close();
      const id = new TextDecoder().decode(bytes.subarray(0, length)).trim();
      throw new LlameroError(
        `Cannot train in ${quotedPath(run)}: process ${id || "unknown"} is training there`,
        { hint: "wait for it, or stop it with: kill " + (id || "<its id>") },
      );
    }
    try {
      file.truncateSync(0);
      file.writeSync(new TextEncoder().encode(`${Deno.pid}\n`));
    } catch {
      // On a full disk there is no room for the number; the lock holds all the same.
    }
    return new RunLock(file);
  }

  /** Gives the folder free. */
  release(): void {
    this.#file.close();
  }

  /** {@linkcode RunLock.release}, for `using`. */
  [Symbol.dispose](): void {
    this.release();
  }
}
