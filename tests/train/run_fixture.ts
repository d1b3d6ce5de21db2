/** Small runs in temporary folders, for tests of training. */

import { join } from "node:path";
import type { Backend } from "../../lib/backend/backend.ts";
import { openBackend } from "../../lib/backend/open.ts";
import type { RunEvent } from "../../lib/train/events.ts";
import type { MetricsRow } from "../../lib/train/metrics.ts";
import { type ObservedSession, type RunOptions, trainRun } from "../../lib/train/run.ts";
import { resolveRun, type RunConfig } from "../../lib/train/run_config.ts";
import type { RequestedSettings } from "../../lib/train/config_file.ts";
import { type RunPaths, runPaths } from "../../lib/train/run_folder.ts";
import { writeDataset } from "../data/dataset_fixture.ts";

/** Tokens of the vocabulary of small runs. */
export const VOCABULARY = 64;

/** Documents that a model can learn: walks over the ids by a step of their own. */
export function walks(count: number, length: number): number[][] {
  return Array.from({ length: count }, (_, d) => {
    const step = 1 + (d % 5);
    return Array.from({ length }, (_, i) => (3 + d + i * step) % VOCABULARY);
  });
}

/** A folder with a dataset, removed at the end. */
export async function inRunFolder(
  body: (folder: { readonly folder: string; readonly data: string }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body({ folder, data: writeDataset(join(folder, "data"), walks(40, 50)) });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The config of a run so small that a step takes milliseconds. */
export function smallRun(data: string, settings: RequestedSettings = {}): RunConfig {
  const request: RequestedSettings = {
    preset: "debug",
    steps: 12,
    seqLen: 16,
    batchTokens: 64,
    microBatch: 2,
    saveEvery: 4,
    evalEvery: 4,
    warmup: 2,
    data: [{ path: data }],
    tokenizer: "none",
    ...settings,
    model: {
      numHiddenLayers: 1,
      hiddenSize: 32,
      intermediateSize: 48,
      headDim: 8,
      ...settings.model,
    },
  };
  return resolveRun([{ settings: request, origin: () => "test" }], {
    vocabulary: { vocabSize: VOCABULARY, bosTokenId: 1, eosTokenIds: [2] },
  });
}

/** What a run told. */
export interface ToldRun {
  readonly rows: MetricsRow[];
  readonly events: RunEvent[];
  readonly paths: RunPaths;
}

/** Trains; `meddle` may put other parts in the place of a session's. */
export async function train(
  run: string,
  config: RunConfig,
  options: {
    readonly backend?: Backend["name"];
    readonly threads?: number;
    readonly signal?: AbortSignal;
    readonly meddle?: (session: ObservedSession) => void;
    readonly onStep?: (row: MetricsRow) => void;
  } = {},
): Promise<ToldRun> {
  const told: ToldRun = { rows: [], events: [], paths: runPaths(run) };
  const { backend = "wasm", threads = 1, signal, meddle, onStep } = options;
  const runOptions: RunOptions = {
    config,
    paths: told.paths,
    openBackend: () => openBackend({ backend, threads }),
    tokenizer: { files: [], tokenBytes: new Uint16Array(VOCABULARY).fill(1) },
    signal,
    observe: (session) => {
      meddle?.(session);
      return {
        step: (row) => {
          told.rows.push(row);
          onStep?.(row);
        },
        event: (event) => void told.events.push(event),
        rewound: (step) => void told.rows.splice(told.rows.findIndex((row) => row.step > step)),
        flopsPerToken: () => 1,
      };
    },
  };
  await trainRun(runOptions);
  return told;
}

/** SHA-256 of every file of a run's checkpoints, by path. */
export async function checkpointHashes({ checkpoints }: RunPaths): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  const walk = async (folder: string, prefix: string): Promise<void> => {
    for (const entry of [...Deno.readDirSync(folder)].sort((a, b) => a.name < b.name ? -1 : 1)) {
      const path = join(folder, entry.name);
      if (entry.isSymlink) hashes[prefix + entry.name] = await Deno.readLink(path);
      else if (entry.isDirectory) await walk(path, `${prefix}${entry.name}/`);
      else {
        const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
        hashes[prefix + entry.name] = new Uint8Array(digest).toHex();
      }
    }
  };
  await walk(checkpoints, "");
  return hashes;
}

/** Rows without what depends on time. */
export function timeless(
  rows: readonly MetricsRow[],
): Omit<MetricsRow, "tokens_per_second" | "mfu" | "step_ms">[] {
  return rows.map(({ tokens_per_second: _a, mfu: _b, step_ms: _c, ...row }) => row);
}
