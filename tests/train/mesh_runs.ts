/** Small runs under meshes of workers, and what they leave. */

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { BackendName } from "../../lib/backend/backend.ts";
import { tensorValues } from "../../lib/checkpoint/tensor_values.ts";
import { runLocal } from "../../lib/comm/local/run.ts";
import { meshSize, parseMesh } from "../../lib/comm/mesh.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import type { RequestedSettings } from "../../lib/train/config_file.ts";
import { runPaths } from "../../lib/train/run_folder.ts";
import { PATIENCE_MS } from "../time_limits.ts";
import { smallRun, timeless } from "./run_fixture.ts";
import type { SessionInput, SessionResult } from "./session_program.ts";

const MODULE = new URL("./session_program.ts", import.meta.url);

/** A run under a mesh. */
export interface MeshRun {
  /** The mesh. */
  readonly mesh: string;
  /** Its folder. */
  readonly run: string;
  /** The dataset. */
  readonly data: string;
  /** What differs from the settings of small runs. */
  readonly settings?: RequestedSettings;
  /** The backend of each rank. @default {"auto"} */
  readonly backend?: BackendName | "auto";
  /** When and how it stops early. */
  readonly stops?: SessionInput["stops"];
}

/**
 * Trains, or goes on, one run after the other: those of as many ranks in the same workers, the fewest
 * ranks first. What each rank saw, by run.
 */
export async function trainUnder(runs: readonly MeshRun[]): Promise<SessionResult[][]> {
  const found: SessionResult[][] = runs.map(() => []);
  const sizes = runs.map(({ mesh }) => meshSize(parseMesh(mesh)));
  for (const ranks of [...new Set(sizes)].sort((a, b) => a - b)) {
    const places = sizes.flatMap((size, place) => size === ranks ? [place] : []);
    const input = places.map((place): SessionInput => {
      const { mesh, run, data, settings, backend = "auto", stops } = runs[place]!;
      return {
        config: smallRun(data, { ...settings, mesh }),
        run,
        backend,
        ...(stops && { stops }),
      };
    });
    const byRank = await runLocal<SessionResult[], readonly SessionInput[]>(MODULE, {
      ...{ ranks, input, timeLimitMs: PATIENCE_MS },
    });
    places.forEach((place, i) => found[place] = byRank.map((results) => results[i]!));
  }
  return found;
}

/** All numbers of folders' tensors by name. */
export async function numbersOf(...folders: string[]): Promise<Map<string, Float32Array>> {
  const numbers = new Map<string, Float32Array>();
  for (const folder of folders) {
    for (const file of readdirSync(folder).filter((name) => name.endsWith(".safetensors"))) {
      const { records } = await readSafetensors(join(folder, file));
      for (const [name, record] of records) {
        assert.ok(!numbers.has(name), `${name} is there twice`);
        const chunks = [...tensorValues(record)!].flatMap((chunk) => [...chunk]);
        numbers.set(name, Float32Array.from(chunks));
      }
    }
  }
  return numbers;
}

/** Rows of a run's metrics, and its weights in the end. */
export interface Trained {
  /** The rows, without what depends on time. */
  readonly rows: ReturnType<typeof timeless>;
  /** The weights. */
  readonly weights: Map<string, Float32Array>;
}

/** Trains; what came of each run, and what its first rank saw. */
export async function train(
  runs: readonly MeshRun[],
): Promise<(Trained & Pick<SessionResult, "events">)[]> {
  const found = await trainUnder(runs);
  return await Promise.all(runs.map(async ({ run }, i) => {
    const { rows, events } = found[i]![0]!;
    const weights = await numbersOf(join(runPaths(run).checkpoints, "latest"));
    return { rows: timeless(rows), weights, events };
  }));
}
