/**
 * Where the data of a run lie: what was tokenized for it lies in its own folder, and is written
 * there by a relative path, so that a run goes on after its folder was moved.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { isAbsolute, relative, resolve } from "node:path";
import type { RunPaths } from "./run_folder.ts";
import type { TrainSettings } from "./settings.ts";

/** The settings that name files of data. */
export type Sources = Partial<Pick<TrainSettings, "data" | "evalData">>;

/** The settings as `RUN/config.toml` has them: paths in the run's folder are relative to it. */
export function withPathsInRun<T extends Sources>(settings: T, { run, data }: RunPaths): T {
  return withPaths(settings, (path) => {
    const inside = relative(data, path);
    if (inside === "" || inside.startsWith("..") || isAbsolute(inside)) return path;
    return relative(run, path).replaceAll("\\", "/");
  });
}

/** The settings of `RUN/config.toml` with absolute paths, wherever the run lies now. */
export function withPathsOfRun<T extends Sources>(settings: T, { run }: RunPaths): T {
  return withPaths(settings, (path) => resolve(run, path));
}

function withPaths<T extends Sources>(settings: T, place: (path: string) => string): T {
  const { data, evalData } = settings;
  return {
    ...settings,
    ...(data === undefined
      ? {}
      : { data: data.map((source) => ({ ...source, path: place(source.path) })) }),
    ...(evalData === undefined ? {} : { evalData: evalData.map(place) }),
  };
}

/**
 * What the run was asked to train or evaluate on, where that was text: the names of the texts, which
 * stand in the manifest of the dataset that they have become; other paths are what they are.
 */
export function askedPaths(prefixes: readonly string[], { data }: RunPaths): string[] {
  return prefixes.flatMap((prefix) => {
    if (resolve(prefix, "..") !== resolve(data)) return [prefix];
    try {
      const manifest = JSON.parse(readFileSync(`${prefix}.json`, "utf8"));
      return (manifest.inputs as { file: string }[]).map(({ file }) => file);
    } catch {
      return [prefix]; // The dataset says nothing of its texts: it stands for itself.
    }
  });
}
