/** What a rank with an emulated GPU does in the test of meshes: a step under each, and what it took. */

import { openCuda } from "../../lib/backend/cuda.ts";
import type { Communicator } from "../../lib/comm/communicator.ts";
import { Mesh, parseMesh } from "../../lib/comm/mesh.ts";
import { openMachine } from "../../lib/train/machine.ts";
import { planRank } from "../../lib/train/rank_plan.ts";
import type { TrainSettings } from "../../lib/train/settings.ts";
import { FIRST_STATE } from "../../lib/train/state.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { EMULATED_LIBRARY, EMULATED_NCCL } from "../../scripts/build_cuda.ts";
import { countedBackend } from "../counted_backend.ts";
import { fiveLayers } from "../parallel/pipeline_program.ts";
import { type MeshCase, sequences } from "./mesh_program.ts";
import { dataOf } from "./optimizer_runs.ts";

/** A mesh, and whether its GPUs are connected. */
export interface GpuCase extends MeshCase {
  /** Otherwise all goes by way of the processor's memory. */
  readonly connected: boolean;
  /** Whether the head is the embedding. */
  readonly tied: boolean;
  /** Sequences of a micro-batch. */
  readonly microBatch?: number;
  /** Type of products. */
  readonly dtype?: "f32" | "bf16";
}

/** What the rank is given. */
export interface GpuMeshInput {
  /** Meshes of as many ranks as there are. */
  readonly cases: readonly GpuCase[];
  /** Settings that all share. */
  readonly settings: TrainSettings;
}

/** What came of one mesh. */
export interface GpuMeshResult {
  /** Mean loss of each step. */
  readonly losses: readonly number[];
  /** Norm of the gradients of each step. */
  readonly norms: readonly number[];
  /** First moments, which are gradients of the last step, of what this rank has. */
  readonly gradients: readonly Float32Array[];
  /** Weights in the end. */
  readonly weights: readonly Float32Array[];
  /** The longest message that went by way of the processor in the second step. */
  readonly hostBytes: number;
  /** Bytes that went from GPU to GPU in it. */
  readonly deviceBytes: number;
  /** The most bytes that the GPU was asked for, and those that were planned. */
  readonly memory: { readonly taken: number; readonly planned: number };
}

async function trained(
  world: Communicator,
  { connected, tied, ...changes }: GpuCase,
  input: GpuMeshInput,
): Promise<GpuMeshResult> {
  const opened = openCuda({ library: EMULATED_LIBRARY, localRank: world.rank });
  try {
    const { backend, most } = countedBackend(opened);
    const settings = { ...input.settings, ...changes };
    const model = fiveLayers(tied);
    const mesh = new Mesh(world, parseMesh(settings.mesh));
    const nccl = connected ? EMULATED_NCCL : "off";
    const machine = openMachine(backend, { model, settings, mesh, nccl });
    machine.model.initialize(9);
    const { tokens, targets } = sequences(model.vocabSize);
    const batch = { input_ids: tokens, targets };
    const trainer = new Trainer({ ...machine, data: dataOf([batch, batch]), settings });
    const first = await trainer.step(FIRST_STATE);
    const before = sentBy(machine);
    const second = await trainer.step(first.state);
    const after = sentBy(machine);
    const { held } = machine;
    machine.engine.settle?.();
    const { sizes, coordinates, replicas, axes } = mesh;
    const place = { sizes, coordinates, replicas, axes, connected };
    const { total, buckets, exchange } = planRank({ model, settings }, place);
    const result = {
      losses: [first.loss, second.loss],
      norms: [first.gradNorm, second.gradNorm],
      gradients: held.parameters.map((_, index) => held.moment("m", index)),
      weights: held.parameters.map((_, index) => held.weight(index)),
      hostBytes: after.host - before.host,
      deviceBytes: after.device - before.device,
      memory: { taken: most(), planned: connected ? total : total - buckets - exchange },
    };
    machine.close();
    return result;
  } finally {
    opened.close();
  }
}

/** Bytes that a rank has sent so far along the axes, and from its GPU. */
function sentBy({ mesh: { axes }, engine }: ReturnType<typeof openMachine>) {
  const bytesOf = (all: readonly { traffic(): Partial<Record<string, { bytes: number }>> }[]) =>
    all.flatMap((one) => Object.values(one.traffic()))
      .reduce((sum, counts) => sum + counts!.bytes, 0);
  const { communicators = [] } = engine;
  return {
    host: bytesOf([...Object.values(axes), ...communicators.filter((one) => "startSend" in one)]),
    device: bytesOf(communicators.filter((one) => !("startSend" in one))),
  };
}

/** Trains under every mesh. */
export async function run(world: Communicator, input: GpuMeshInput): Promise<GpuMeshResult[]> {
  const results: GpuMeshResult[] = [];
  for (const one of input.cases) results.push(await trained(world, one, input));
  return results;
}
