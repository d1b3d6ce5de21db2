/**
 * The config of a run that goes on: `RUN/config.toml`, with the few changes that are allowed.
 *
 * @module
 */

import { existsSync, readFileSync } from "node:fs";
import { ConfigError, LlameroError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";
import { parseConfig, type RequestedSettings } from "./config_file.ts";
import { type RequestLayer, resolveRun, type RunConfig } from "./run_config.ts";
import type { RunPaths } from "./run_folder.ts";
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
 * Reads the config of a run and takes what the command line may change: steps, saving, logging,
 * threads and mesh.
 *
 * @throws {ConfigError} Where something else would change.
 * @throws {LlameroError} Where there is no run.
 */
export function readRunConfig(paths: RunPaths, changes: RequestLayer): RunConfig {
  checkResumable(paths);
  const text = readFileSync(paths.config, "utf8");
  const own = withPathsOfRun(parseConfig(text, paths.config), paths);
  const { tokens, ...rest } = changes.settings;
  for (const [name, value] of Object.entries(rest)) {
    if (RESUMABLE.has(name as SettingName) || value === undefined) continue;
    const recorded = name === "preset" ? presetOf(text) : askedFor(name, own, paths);
    if (JSON.stringify(recorded) === JSON.stringify(value)) continue;
    throw new ConfigError(
      `Cannot resume with another "${kebabCase(name)}": it is ${JSON.stringify(value)}, ` +
        `and the run has ${JSON.stringify(recorded) ?? "none"}`,
      { hint: "only steps, saving, logging, threads and mesh may change; leave the rest away" },
    );
  }
  const origins = originsOf(text);
  const { steps: _, ...ownWithoutSteps } = own;
  const layers: RequestLayer[] = [
    { settings: changesOf(rest, tokens), origin: changes.origin },
    {
      settings: tokens === undefined ? own : ownWithoutSteps,
      origin: (name) => origins.get(name) ?? paths.config,
    },
  ];
  return { ...resolveRun(layers, { vocabulary: {} }), preset: presetOf(text) };
}

/** What a setting was given as: where that was text, the run has the dataset that it became. */
function askedFor(name: string, own: RequestedSettings, paths: RunPaths): unknown {
  const { data = [], evalData = [] } = own;
  if (name === "text") return askedPaths(data.map(({ path }) => path), paths);
  if (name === "evalData") return askedPaths(evalData, paths);
  return own[name as keyof RequestedSettings];
}

function changesOf(rest: RequestLayer["settings"], tokens: number | undefined) {
  const allowed = Object.entries(rest).filter(([name]) => RESUMABLE.has(name as SettingName));
  return { ...Object.fromEntries(allowed), ...(tokens === undefined ? {} : { tokens }) };
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
