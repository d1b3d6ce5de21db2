/**
 * The beginning of a run: a folder that is free, or freed, and its config.
 *
 * @module
 */

import * as fs from "node:fs";
import { basename, join } from "node:path";
import { writeFileAtomically } from "../base/atomic_file.ts";
import { LlameroError } from "../base/errors.ts";
import { fileError } from "../base/file_error.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import { formatConfig } from "./config_text.ts";
import { readMetrics } from "./metrics.ts";
import type { RunConfig } from "./run_config.ts";
import { checkpointSteps, type RunPaths, runPaths } from "./run_folder.ts";
import { withPathsInRun } from "./run_sources.ts";

/** How every `config.toml` of a run begins. */
const CONFIG_MARK = "# A training run of llamero";

/** What a trainer makes in the folders of a run. */
const MADE: readonly (readonly [folder: keyof RunPaths, names: RegExp])[] = [
  ["data", /^(text|eval-\d+)\.(bin|idx|json|packing)$/],
  ["checkpoints", /^(step-\d{6,}|latest)$/],
  ["tensorboard", /^events\.out\.tfevents\./],
];

/**
 * Refuses a folder that has a run, unless it may be replaced, or anything that is of none: what is
 * refused here is never removed.
 *
 * @throws {LlameroError} Naming what is there.
 */
export function checkRunFolder(paths: RunPaths, { force }: { readonly force: boolean }): void {
  const { run, config } = paths;
  let isThere: boolean, foreign: string | undefined;
  try {
    if (!fs.existsSync(run)) return;
    isThere = isRunConfig(config) && !force;
    foreign = isThere ? undefined : foreignIn(paths);
  } catch (thrown) {
    throw fileError(thrown, { action: "write", path: run });
  }
  if (isThere) {
    throw new LlameroError(`Cannot train in ${quotedPath(run)}: a run is there already`, {
      hint: "go on with it with --resume, or replace it with --force",
    });
  }
  if (foreign === undefined) return;
  throw new LlameroError(
    `Cannot train in ${quotedPath(run)}: it has ${quoted(foreign)}, which is of no run`,
    { hint: "choose another folder for --out" },
  );
}

/** The first name in a run's folder that no trainer has made, or that stands there without a run. */
function foreignIn(paths: RunPaths): string | undefined {
  const { run, config, data, lock } = paths;
  const isRun = hasReplaced(paths) || isRunConfig(config);
  // Before its config a run has its texts alone.
  const own = new Set((isRun ? ownPaths(paths) : [data, lock]).map((path) => basename(path)));
  own.add(basename(replacedFolder(paths)));
  const isForeign = (name: string) => !/^\..*\.tmp(\.old)?$/.test(name);
  const foreign = fs.readdirSync(run).find((name) => !own.has(name) && isForeign(name));
  if (foreign !== undefined) return foreign;
  for (const [folder, made] of MADE) {
    const path = paths[folder];
    if (!fs.existsSync(path)) continue;
    if (!fs.statSync(path).isDirectory()) return basename(path);
    const name = fs.readdirSync(path).find((name) => !made.test(name) && isForeign(name));
    if (name !== undefined) return `${basename(path)}/${name}`;
  }
  return undefined;
}

function isRunConfig(config: string): boolean {
  return fs.existsSync(config) && fs.readFileSync(config, "utf8").startsWith(CONFIG_MARK);
}

/** Removes the folder of a run that failed before its config was written: there is nothing to go on with. */
export function discardUnbegun(paths: RunPaths): void {
  if (fs.existsSync(paths.config) || !fs.existsSync(paths.run)) return;
  clearRun(paths);
  fs.rmSync(paths.lock, { force: true });
  if (fs.readdirSync(paths.run).length === 0) fs.rmdirSync(paths.run);
}

/** Where the run that was in the folder before lies until another has taken its first step. */
function replacedFolder({ run }: RunPaths): string {
  return join(run, ".replaced");
}

/** Whether `--force` has laid an earlier run aside that could still come back. */
export function hasReplaced(paths: RunPaths): boolean {
  return fs.existsSync(replacedFolder(paths));
}

/** Lays a run aside, so that another may try to begin in its folder. */
export function layAside(paths: RunPaths): void {
  const aside = replacedFolder(paths);
  try {
    fs.mkdirSync(aside, { recursive: true });
    move(paths, { to: aside });
  } catch (thrown) {
    throw fileError(thrown, { action: "write", path: aside });
  }
}

/** Removes the run that lies aside: another has begun. */
export function dropReplaced(paths: RunPaths): void {
  fs.rmSync(replacedFolder(paths), { recursive: true, force: true });
}

/**
 * Settles what a trainer that ended early has left: the run that lies aside comes back where the one
 * that was to replace it has taken no step.
 */
export function settleReplaced(paths: RunPaths): void {
  const aside = replacedFolder(paths);
  if (!fs.existsSync(aside)) return;
  if (!isWithoutSteps(paths)) return dropReplaced(paths);
  // Without a config it was never a run (its trainer was killed before it began), or it is back whole: what stands
  // in the folder is the run, and none of its files may become another's.
  const { config } = runPaths(aside);
  if (!fs.existsSync(config) && fs.existsSync(paths.config)) return dropReplaced(paths);
  // What the last attempt to bring it back has moved already is not aside any more.
  const waiting = new Set(fs.readdirSync(aside));
  for (const path of movable(paths)) {
    if (waiting.has(basename(path))) fs.rmSync(path, { recursive: true, force: true });
  }
  move(paths, { from: aside });
  dropReplaced(paths);
}

/** Moves what a run has in its folder; what says that it is a run goes first away and comes last back. */
function move(paths: RunPaths, { from = paths.run, to = paths.run }): void {
  const names = movable(paths).map((path) => basename(path));
  for (const name of from === paths.run ? names : names.reverse()) {
    if (fs.existsSync(join(from, name))) fs.renameSync(join(from, name), join(to, name));
  }
}

function movable(paths: RunPaths): string[] {
  return ownPaths(paths).filter((path) => path !== paths.lock);
}

/** Whether a run has neither a step nor a checkpoint. */
export function isWithoutSteps(paths: RunPaths): boolean {
  return readMetrics(paths.metrics).length === 0 && checkpointSteps(paths).length === 0;
}

/** Removes what a run has left in its folder; last what says that it is a run. */
export function clearRun(paths: RunPaths): void {
  for (const path of movable(paths).reverse()) fs.rmSync(path, { recursive: true, force: true });
}

function ownPaths(paths: RunPaths): string[] {
  const { run: _, ...own } = paths;
  return Object.values(own);
}

/** Writes `config.toml`, where it is not so already. */
export function writeRunConfig(paths: RunPaths, config: RunConfig): void {
  const text = formatConfig({ ...config, settings: withPathsInRun(config.settings, paths) });
  if (fs.existsSync(paths.config) && fs.readFileSync(paths.config, "utf8") === text) return;
  writeFileAtomically(paths.config, text, { force: true });
}
