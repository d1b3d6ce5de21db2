/**
 * The beginning of a run: a folder that is free, or freed, and its config.
 *
 * @module
 */

import * as fs from "node:fs";
import { basename } from "node:path";
import { writeFileAtomically } from "../base/atomic_file.ts";
import { LlameroError } from "../base/errors.ts";
import { fileError } from "../base/file_error.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import { formatConfig } from "./config_text.ts";
import { readMetrics } from "./metrics.ts";
import type { RunConfig } from "./run_config.ts";
import { checkpointSteps, type RunPaths } from "./run_folder.ts";

/**
 * Refuses a folder that has a run, unless it may be replaced, or anything that is none.
 *
 * @throws {LlameroError} Naming what is there.
 */
export function checkRunFolder(paths: RunPaths, { force }: { readonly force: boolean }): void {
  const { run, config } = paths;
  let names: string[];
  try {
    if (!fs.existsSync(run)) return;
    names = fs.readdirSync(run);
  } catch (thrown) {
    throw fileError(thrown, { action: "write", path: run });
  }
  if (fs.existsSync(config) && !force) {
    throw new LlameroError(`Cannot train in ${quotedPath(run)}: a run is there already`, {
      hint: "go on with it with --resume, or replace it with --force",
    });
  }
  const own = new Set(ownPaths(paths).map((path) => basename(path)));
  const foreign = names.find((name) => !own.has(name) && !/^\..*\.tmp$/.test(name));
  if (foreign === undefined) return;
  throw new LlameroError(
    `Cannot train in ${quotedPath(run)}: it has ${quoted(foreign)}, which is of no run`,
    { hint: "choose another folder for --out" },
  );
}

/** Removes the folder of a run that failed before its config was written: there is nothing to go on with. */
export function discardUnbegun(paths: RunPaths): void {
  if (fs.existsSync(paths.config) || !fs.existsSync(paths.run)) return;
  clearRun(paths);
  fs.rmSync(paths.lock, { force: true });
  if (fs.readdirSync(paths.run).length === 0) fs.rmdirSync(paths.run);
}

/** Whether a run has neither a step nor a checkpoint. */
export function isWithoutSteps(paths: RunPaths): boolean {
  return readMetrics(paths.metrics).length === 0 && checkpointSteps(paths).length === 0;
}

/** Removes what a run has left in its folder. */
export function clearRun(paths: RunPaths): void {
  for (const path of ownPaths(paths)) {
    if (path === paths.lock) continue;
    fs.rmSync(path, { recursive: true, force: true });
  }
}

function ownPaths(paths: RunPaths): string[] {
  const { run: _, ...own } = paths;
  return Object.values(own);
}

/** Writes `config.toml`, where it is not so already. */
export function writeRunConfig(paths: RunPaths, config: RunConfig): void {
  const text = formatConfig(config);
  if (fs.existsSync(paths.config) && fs.readFileSync(paths.config, "utf8") === text) return;
  writeFileAtomically(paths.config, text, { force: true });
}
