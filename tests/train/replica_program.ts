/** What a replica of the test does: trains on its share of given batches. */

import type { Backend, BackendName } from "../../lib/backend/backend.ts";
import { openBackend } from "../../lib/backend/open.ts";
import type { CallKind } from "../../lib/comm/call.ts";
import type { Communicator } from "../../lib/comm/communicator.ts";
import { runLocal } from "../../lib/comm/local/run.ts";
import { Mesh, parseMesh } from "../../lib/comm/mesh.ts";
import type { ModelConfig } from "../../lib/model/config.ts";
import { openMachine, type RunMachine } from "../../lib/train/machine.ts";
import type { TrainSettings } from "../../lib/train/settings.ts";
import { FIRST_STATE, type TrainState } from "../../lib/train/state.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { countedBackend } from "../counted_backend.ts";
import { type GoldenModel, goldenSource } from "../model/golden_models.ts";
import { PATIENCE_MS } from "../time_limits.ts";
import { dataOf, type GivenBatch } from "./optimizer_runs.ts";
import type { StepNumbers } from "./tolerances.ts";

/** Bytes of a bucket: small, so that there are many. */
export const BUCKET_BYTES = 30_000;

/** What the replica is given. */
export interface ReplicaInput {
  /** Its backend. */
  readonly backend: BackendName;
  /** Settings, the same on all; their batches have the size of the given ones. */
  readonly settings: TrainSettings;
  /** The mesh of the ranks. @default {"data" alone} */
  readonly mesh?: string;
  /** The golden model that it begins as, or sizes of one that is drawn. @default {"llama_mha"} */
  readonly model?: GoldenModel | ModelConfig;
  /** Whole batches, in turn. */
  readonly batches: readonly GivenBatch[];
}

/** What came of it. */
export interface ReplicaResult {
  /** Every step. */
  readonly steps: readonly StepNumbers[];
  /** Tokens of all steps. */
  readonly tokens: number;
  /** Weights in the end. */
  readonly weights: readonly Float32Array[];
  /** Moments in the end. */
  readonly moments: readonly Float32Array[];
  /** Most bytes that were taken of the backend at once. */
  readonly taken: number;
  /** Bytes sent in the last step, by axis and kind of call. */
  readonly sent: Readonly<Record<"shard" | "data", Partial<Record<CallKind, number>>>>;
}

/** Bytes that have been sent along an axis. */
function sentAlong(axis: Communicator): Partial<Record<CallKind, number>> {
  const kinds = Object.entries(axis.traffic()).map(([kind, { bytes }]) => [kind, bytes]);
  return Object.fromEntries(kinds);
}

/** What was sent since an earlier count. */
function since(
  now: Partial<Record<CallKind, number>>,
  before: Partial<Record<CallKind, number>>,
): Partial<Record<CallKind, number>> {
  const kinds = Object.keys(now) as CallKind[];
  return Object.fromEntries(kinds.map((kind) => [kind, now[kind]! - (before[kind] ?? 0)]));
}

/** Opens the machine of a rank, with the weights that all begin with. */
export async function openRank(
  backend: Backend,
  world: Communicator,
  { mesh = `data=${world.size}`, model = "llama_mha", settings, batches }: ReplicaInput,
): Promise<RunMachine> {
  const source = typeof model === "string" ? await goldenSource(model) : undefined;
  const { input_ids } = batches[0]!;
  const seqLen = input_ids[0]!.length;
  const size = { seqLen, batchTokens: input_ids.length * seqLen, batchRamp: [] };
  const machine = openMachine(backend, {
    model: source?.config ?? model as ModelConfig,
    settings: { ...settings, ...size },
    mesh: new Mesh(world, parseMesh(mesh)),
    bucketBytes: BUCKET_BYTES,
  });
  if (source === undefined) machine.model.initialize(7);
  else await machine.model.load(source);
  return machine;
}

/** Trains from the beginning. */
export async function trainSteps(
  machine: RunMachine,
  { settings, batches }: Pick<ReplicaInput, "settings" | "batches">,
  onStep: () => void = () => {},
): Promise<{ readonly state: TrainState; readonly steps: ReplicaResult["steps"] }> {
  const trainer = new Trainer({ ...machine, data: dataOf(batches), settings });
  const steps: StepNumbers[] = [];
  let state = FIRST_STATE;
  while (state.step < settings.steps) {
    const result = await trainer.step(state);
    steps.push({ loss: result.loss, grad_norm: result.gradNorm, lr: result.lr });
    state = result.state;
    onStep();
  }
  return { state, steps };
}

/** Trains as one of all ranks, several times. */
export async function run(
  world: Communicator,
  inputs: readonly ReplicaInput[],
): Promise<ReplicaResult[]> {
  const results: ReplicaResult[] = [];
  for (const input of inputs) results.push(await runOnce(world, input));
  return results;
}

async function runOnce(world: Communicator, input: ReplicaInput): Promise<ReplicaResult> {
  const backend = await openBackend({ backend: input.backend, threads: 1 });
  await backend.ready();
  const { backend: counting, most } = countedBackend(backend);
  try {
    const machine = await openRank(counting, world, input);
    const { held, mesh: { axes } } = machine;
    const alongAxes = () => ({ shard: sentAlong(axes.shard), data: sentAlong(axes.data) });
    let [before, sent] = [alongAxes(), alongAxes()];
    const { state, steps } = await trainSteps(machine, input, () => {
      [before, sent] = [sent, alongAxes()];
    });
    const taken = most();
    const places = [...held.parameters.keys()];
    return {
      taken,
      sent: { shard: since(sent.shard, before.shard), data: since(sent.data, before.data) },
      steps,
      tokens: state.tokens,
      weights: places.map((index) => held.weight(index)),
      moments: places.flatMap((index) => [held.moment("m", index), held.moment("v", index)]),
    };
  } finally {
    backend.close();
  }
}

/** Runs of so many ranks, one after the other: for each what its ranks have, by rank. */
export async function onReplicas(
  ranks: number,
  inputs: readonly ReplicaInput[],
): Promise<ReplicaResult[][]> {
  const module = new URL(import.meta.url);
  const byRank = await runLocal<ReplicaResult[], readonly ReplicaInput[]>(module, {
    ranks,
    input: inputs,
    timeLimitMs: PATIENCE_MS,
  });
  return inputs.map((_, i) => byRank.map((results) => results[i]!));
}
