/**
 * Ranks of one run are started apart and must be the same: program, settings, data, tokenizer, kernels.
 * They compare before the first step, and who differs in what is said by name.
 *
 * @module
 */

import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { ABI_HASH } from "../backend/kernels.generated.ts";
import { ConfigError } from "../base/errors.ts";
import { fileError } from "../base/file_error.ts";
import { quoted } from "../base/quoted.ts";
import type { Communicator } from "../comm/communicator.ts";
import { gatherJson } from "../comm/json.ts";
import { datasetPaths } from "../formats/indexed_dataset.ts";
import type { RunTokenizer } from "./observer.ts";
import type { RunConfig } from "./run_config.ts";
import { tokenizerHash } from "./run_tokenizer.ts";
import { SETTING_NAMES } from "./setting_checks.ts";
import { kebabCase, type SettingName } from "./settings.ts";

/** What ranks compare, by what a user calls it. */
export type Facts = Readonly<Record<string, unknown>>;

/** Settings that may differ: where something lies (its content is compared), and what changes nothing. */
const MAY_DIFFER: ReadonlySet<SettingName> = new Set([
  ...["data", "evalData", "tokenizer", "init"] as const,
  ...["backend", "threads", "virtualRanks", "restarts"] as const,
]);

/** Bytes of a file that are looked at: its beginning, its end, and pieces between. */
const [END_BYTES, PIECES, PIECE_BYTES] = [1 << 18, 64, 1 << 12];

/**
 * What a rank is.
 *
 * @param options Besides the config: the program's version, the tokenizer, and the backend's name.
 */
export function factsOf(
  { settings, model }: Pick<RunConfig, "settings" | "model">,
  options: {
    readonly version?: string | undefined;
    readonly tokenizer: Pick<RunTokenizer, "files">;
    readonly backend: string;
  },
): Facts {
  const names = SETTING_NAMES.filter((name) => !MAY_DIFFER.has(name));
  const prefixes = [...settings.data.map(({ path }) => path), ...settings.evalData];
  return {
    version: options.version ?? null,
    kernels: `${options.backend} ${ABI_HASH}`,
    ...Object.fromEntries(names.map((name) => [kebabCase(name), settings[name] ?? null])),
    ...Object.fromEntries(
      Object.entries(model).map(([key, value]) => [`model.${kebabCase(key)}`, value ?? null]),
    ),
    shares: settings.data.map(({ weight, epochs }) => [weight ?? null, epochs ?? null]),
    data: prefixes.map((prefix) => {
      const { idx, bin } = datasetPaths(prefix);
      return `${contentHash(idx)} ${contentHash(bin)}`;
    }),
    tokenizer: tokenizerHash(options.tokenizer),
  };
}

/** SHA-256 of a file's size and of pieces of it: enough to tell data apart, in no time. */
function contentHash(path: string): string {
  let file: number | undefined;
  try {
    file = fs.openSync(path, "r");
    const { size } = fs.fstatSync(file);
    const hash = createHash("sha256").update(String(size));
    const read = (at: number, bytes: number) => {
      const buffer = new Uint8Array(Math.max(0, Math.min(bytes, size - at)));
      fs.readSync(file!, buffer, 0, buffer.length, at);
      hash.update(buffer);
    };
    read(0, END_BYTES);
    for (let i = 1; i < PIECES; i++) read(Math.floor((size * i) / PIECES), PIECE_BYTES);
    read(Math.max(0, size - END_BYTES), END_BYTES);
    return hash.digest("hex");
  } catch (thrown) {
    throw fileError(thrown, { action: "read", path });
  } finally {
    if (file !== undefined) fs.closeSync(file);
  }
}

/** Facts whose values are hashes, which tell nobody anything. */
const HASHES: ReadonlySet<string> = new Set(["data", "tokenizer"]);

/**
 * Compares the facts of all ranks; every rank calls it.
 *
 * @throws {ConfigError} On every rank, where one of them differs from the first: names it, and what.
 */
export function agree(world: Communicator, facts: Facts): void {
  const [first, ...others] = gatherJson(world, facts) as Facts[];
  for (const [i, other] of others.entries()) {
    const keys = new Set([...Object.keys(first!), ...Object.keys(other)]);
    for (const key of keys) {
      const [is, wanted] = [JSON.stringify(other[key]), JSON.stringify(first![key])];
      if (is === wanted) continue;
      const what = HASHES.has(key)
        ? `rank ${i + 1} has other contents of ${quoted(key)} than rank 0`
        : `on rank ${i + 1} ${quoted(key)} is ${is ?? "unknown"}, on rank 0 ${wanted ?? "unknown"}`;
      throw new ConfigError(`Cannot train together: ${what}`, {
        hint: "start all ranks with the same program, command line and files",
      });
    }
  }
}
