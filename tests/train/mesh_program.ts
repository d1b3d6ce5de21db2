/** What a rank of the test of meshes does: the gradients of one step under one mesh after the other. */

import { openBackend } from "../../lib/backend/open.ts";
import type { BackendName } from "../../lib/backend/backend.ts";
import type { Communicator } from "../../lib/comm/communicator.ts";
import { Mesh, parseMesh } from "../../lib/comm/mesh.ts";
import type { WeightSlice } from "../../lib/model/training/parts.ts";
import { openMachine } from "../../lib/train/machine.ts";
import type { TrainSettings } from "../../lib/train/settings.ts";
import { FIRST_STATE } from "../../lib/train/state.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { fiveLayers } from "../parallel/pipeline_program.ts";
import { dataOf } from "./optimizer_runs.ts";

/** A mesh, and what else decides how work is shared. */
export type MeshCase =
  & Pick<TrainSettings, "mesh">
  & Partial<Pick<TrainSettings, "zero" | "reduce" | "pipelineSchedule" | "recompute">>;

/** What the rank is given. */
export interface MeshInput {
  /** Its backend. */
  readonly backend: BackendName;
  /** Meshes of as many ranks as there are. */
  readonly cases: readonly MeshCase[];
  /** Settings that all share. */
  readonly settings: TrainSettings;
  /** Whether the head is the embedding. */
  readonly tied: boolean;
}

/** What it has of one weight's gradient. */
export interface MeshGradient {
  /** The weight. */
  readonly name: string;
  /** What of it; all without. */
  readonly slice: WeightSlice | undefined;
  /** Its gradient. */
  readonly values: Float32Array;
}

/** What came of one mesh. */
export interface MeshResult {
  /** Mean loss of the step. */
  readonly loss: number;
  /** Norm of the gradients. */
  readonly gradNorm: number;
  /** Gradients of what this rank has. */
  readonly gradients: readonly MeshGradient[];
}

const [SEQUENCES, LENGTH] = [8, 12];

/** Sequences whose targets do not all count. */
export function sequences(
  vocabSize: number,
): { readonly tokens: number[][]; readonly targets: number[][] } {
  let seed = 11;
  const draw = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
  const rows = () =>
    Array.from({ length: SEQUENCES }, () => Array.from({ length: LENGTH }, () => draw(vocabSize)));
  const targets = rows().map((row) => row.map((id) => draw(4) === 0 ? -100 : id));
  return { tokens: rows(), targets };
}

/**
 * Gradients of a step, which AdamW's first moment is after one update where its decay is 0: so they are
 * read from wherever they are shared out to.
 */
async function gradientsUnder(
  world: Communicator,
  { mesh, ...more }: MeshCase,
  input: MeshInput,
): Promise<MeshResult> {
  const backend = await openBackend({ backend: input.backend, threads: 1 });
  await backend.ready();
  try {
    const settings = { ...input.settings, ...more };
    const model = fiveLayers(input.tied);
    const ranks = new Mesh(world, parseMesh(mesh));
    const machine = openMachine(backend, { model, settings, mesh: ranks });
    machine.model.initialize(9);
    const { tokens, targets } = sequences(model.vocabSize);
    const data = dataOf([{ input_ids: tokens, targets }]);
    const { loss, gradNorm } = await new Trainer({ ...machine, data, settings }).step(FIRST_STATE);
    const { held } = machine;
    const gradients = held.parameters.map(({ spec: { name }, slice }, index) => (
      { name, slice, values: held.moment("m", index) }
    ));
    machine.close();
    return { loss, gradNorm, gradients };
  } finally {
    backend.close();
  }
}

/** Computes under every mesh. */
export async function run(world: Communicator, input: MeshInput): Promise<MeshResult[]> {
  const results: MeshResult[] = [];
  for (const one of input.cases) results.push(await gradientsUnder(world, one, input));
  return results;
}
