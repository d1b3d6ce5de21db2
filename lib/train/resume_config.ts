/**
 * The config of a run that goes on: `RUN/config.toml`, with the few changes that are allowed.
 *
 * @module
 */

import { existsSync, readFileSync } from "node:fs";
import { ConfigError, LlameroError } from "../base/errors.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import { parseConfig, type RequestedSettings } from "./config_file.ts";
import { askedOf, firstAsking, type RequestLayer } from "./request_layers.ts";
import { resolveRun, type RunConfig } from "./run_config.ts";
import { latestStep, type RunPaths } from "./run_folder.ts";
import { askedPaths, withPathsOfRun } from "./run_sources.ts";
import { camelCase, kebabCase, RESUMABLE, type SettingName } from "./settings.ts";

/** Refuses a folder that has no run. @throws {LlameroError} */
export function checkResumable(paths: RunPaths): void {
  if (existsSync(paths.config)) return;
  throw new LlameroError(
    `Cannot resume ${quotedPath(paths.run)}: there is no run, which would have a config.toml`,
    { hint: "begin one without --resume" },
  );
}

/**
 * Reads the config of a run and takes what may change: steps, saving, logging, threads and mesh.
 *
 * @param changes What this resumption asks for, as flags and a file; the first wins.
 * @throws {ConfigError} Where something else would change.
 * @throws {LlameroError} Where there is no run.
 */
export function readRunConfig(paths: RunPaths, changes: readonly RequestLayer[]): RunConfig {
  checkResumable(paths);
  const text = readFileSync(paths.config, "utf8");
  const own = withBackend(withPathsOfRun(parseConfig(text, paths.config), paths), changes);
  const preset = presetOf(text);
  const names = new Set(changes.flatMap(({ settings }) => Object.keys(settings)));
  for (const name of names as Set<keyof RequestedSettings>) {
    const asked = askedOf(changes, name);
    // Whichever kernels are the best are those that the run has found to be.
    if (isChangeable(name) || (name === "backend" && asked === "auto")) continue;
    const recorded = name === "preset" ? preset : askedFor(name, own, paths);
    for (const [key, is, was] of compared(name, asked, recorded)) {
      refuseOther(key, { is, was, by: firstAsking(changes, [name])?.origin(name) });
    }
  }
  const origins = originsOf(text);
  const layers: RequestLayer[] = [
    ...changes.map((layer) => ({ ...layer, settings: changesOf(layer) })),
    { settings: own, origin: (name) => origins.get(name) ?? paths.config },
  ];
  const config = { ...resolveRun(layers, { vocabulary: {} }), preset };
  checkSteps(config, { asked: firstAsking(changes, ["steps", "tokens"]), paths });
  return config;
}

/** Refuses an end that the run has passed. */
function checkSteps({ settings: { steps } }: RunConfig, { asked, paths }: {
  readonly asked: RequestLayer | undefined;
  readonly paths: RunPaths;
}): void {
  const done = latestStep(paths);
  if (asked === undefined || done === undefined || done <= steps) return;
  throw new ConfigError(
    `Cannot resume until step ${steps}: the run has done ${done}, and no fewer were wanted`,
    { hint: "steps and tokens are counted from the beginning of the run" },
  );
}

/** A run that has not found its kernels yet (its first session was killed) takes those asked for. */
function withBackend(own: RequestedSettings, changes: readonly RequestLayer[]): RequestedSettings {
  const asked = askedOf(changes, "backend");
  return own.backend === "auto" && asked !== undefined ? { ...own, backend: asked } : own;
}

function isChangeable(name: string): boolean {
  return name === "tokens" || RESUMABLE.has(name as SettingName);
}

function changesOf({ settings }: RequestLayer): RequestedSettings {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => isChangeable(name)));
}

/** Values to be the same: what is asked for, key by key, and what the run has. */
function compared(
  name: string,
  asked: unknown,
  recorded: unknown,
): (readonly [key: string, is: unknown, was: unknown])[] {
  if (name !== "model") return [[kebabCase(name), asked, recorded]];
  // A file names the fields of the model that are not its preset's.
  const was = (recorded ?? {}) as Readonly<Record<string, unknown>>;
  return Object.entries((asked ?? {}) as Readonly<Record<string, unknown>>)
    .map(([field, value]) => [`model.${kebabCase(field)}`, value, was[field]]);
}

function refuseOther(
  key: string,
  { is, was, by }: { readonly is: unknown; readonly was: unknown; readonly by: string | undefined },
): void {
  if (is === undefined || JSON.stringify(is) === JSON.stringify(was)) return;
  const rest = by === "environment" ? `LLAMERO_${key.toUpperCase()}` : "the rest";
  throw new ConfigError(
    `Cannot resume with another ${quoted(key)}: it is ${JSON.stringify(is)}, ` +
      `and the run has ${JSON.stringify(was) ?? "none"}`,
    { hint: `only steps, saving, logging, threads and mesh may change; leave ${rest} away` },
  );
}

/** What a setting was given as: where that was text, the run has the dataset that it became. */
function askedFor(name: string, own: RequestedSettings, paths: RunPaths): unknown {
  const { data = [], evalData = [] } = own;
  if (name === "text") return askedPaths(data.map(({ path }) => path), paths);
  if (name === "evalData") return askedPaths(evalData, paths);
  return own[name as keyof RequestedSettings];
}

/** Where values came from, as the comments say. */
function originsOf(text: string): Map<string, string> {
  const origins = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^([a-z0-9-]+) = .* # (.+)$/.exec(line);
    if (match !== null) origins.set(camelCase(match[1]!), match[2]!);
  }
  return origins;
}

/** The preset is a comment, as the values stand alone. */
function presetOf(text: string): string | undefined {
  return /^# preset (\S+)$/m.exec(text)?.[1];
}
