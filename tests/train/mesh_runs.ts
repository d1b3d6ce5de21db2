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
import { smallRun, timeless } from "./run_fixture.ts";
import type { SessionInput, SessionResult } from "./session_program.ts";

const MODULE = new URL("./session_program.ts", import.meta.url);

/** A run under a mesh. */
export interface MeshRun {
  /** Its folder. */
  readonly run: string;
  /** The dataset. */
  readonly data: string;
  /** What differs from the settings of small runs. */
  readonly settings?: RequestedSettings;
  /** The backend of each rank. @default {"auto"} */
  readonly backend?: BackendName | "auto";
  /** The step after which a rank fails. */
  readonly fails?: SessionInput["fails"];
}

/** Trains, or goes on, under a mesh; what each rank saw. */
export function trainUnder(
  mesh: string,
  { run, data, settings, backend = "auto", fails }: MeshRun,
): Promise<SessionResult[]> {
  const input: SessionInput = {
    ...{ config: smallRun(data, { ...settings, mesh }), run, backend },
    ...(fails && { fails }),
  };
  return runLocal(MODULE, { ranks: meshSize(parseMesh(mesh)), input, timeLimitMs: 60_000 });
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

/** Trains under a mesh; what came of it, and what the first rank saw. */
export async function train(
  mesh: string,
  run: MeshRun,
): Promise<Trained & Pick<SessionResult, "events">> {
  const [{ rows, events }] = await trainUnder(mesh, run) as [SessionResult];
  const weights = await numbersOf(join(runPaths(run.run).checkpoints, "latest"));
  return { rows: timeless(rows), weights, events };
}
