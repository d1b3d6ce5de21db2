/**
 * The copy of a run's state that becomes a checkpoint, each rank's share of it.
 *
 * @module
 */

import { formatJson } from "../checkpoint/json_file.ts";
import { formatConfigJson, TRANSFORMERS_VERSION } from "../checkpoint/save_huggingface.ts";
import type { Communicator } from "../comm/communicator.ts";
import type { Mesh } from "../comm/mesh.ts";
import { toHuggingFaceConfig } from "../model/config_huggingface.ts";
import type { ModelConfig } from "../model/config.ts";
import { heldElements, sliceRuns } from "../model/training/parts.ts";
import type { WeightSpec } from "../model/weights.ts";
import type { TokenizerFile } from "../tokenizer/files.ts";
import type { CheckpointPlan, PlannedFile, PlannedTensor } from "./checkpoint_plan.ts";
import { momentName } from "./checkpoint_read.ts";
import {
  type Snapshot,
  type SnapshotFile,
  type SnapshotShard,
  STATE_FILE,
} from "./checkpoint_write.ts";
import type { HeldState } from "./held_state.ts";
import type { RunIdentity } from "./identity.ts";
import type { Moment } from "./optimizer.ts";
import type { TrainState } from "./state.ts";

/** What a snapshot is made of. */
export interface SnapshotOptions {
  /** The ranks. */
  readonly mesh: Mesh;
  /** This rank's weights and moments. */
  readonly held: HeldState;
  /** Who writes what. */
  readonly plan: CheckpointPlan;
  /** The rest of the state. */
  readonly state: TrainState;
  /** The model's config. */
  readonly config: ModelConfig;
  /** What the run is. */
  readonly identity: RunIdentity;
  /** Files of the tokenizer. */
  readonly tokenizer: readonly TokenizerFile[];
  /** Where checkpoints stand. */
  readonly checkpoints: string;
  /** Checkpoints to remove afterwards. */
  readonly obsolete: readonly number[];
}

/**
 * Copies this rank's share of a checkpoint out of the backends' memory: the tensors that it writes are
 * whole, gathered from the ranks that have slices of them. All ranks call it; those that write nothing
 * get `undefined`.
 */
export function takeSnapshot(options: SnapshotOptions): Snapshot | undefined {
  const { mesh: { world, coordinates }, held, plan, state, checkpoints, obsolete } = options;
  const name = temporaryFolder(world);
  // Other replicas have the same; the first one alone writes.
  const gathered = coordinates.data === 0 ? gather(world, { held, plan }) : new Map();
  const writer = plan.writers.indexOf(world.rank);
  if (writer < 0) return undefined;
  const leads = world.rank === 0;
  return {
    step: state.step,
    checkpoints,
    temporary: name,
    writer,
    writers: plan.writers.length,
    shards: [
      ...plan.weights.map((file) => shardOf(file, world, { kinds: ["weight"], gathered })),
      ...plan.moments.map((file) => shardOf(file, world, { kinds: ["m", "v"], gathered })),
    ],
    files: leads ? filesOf(options) : [],
    obsolete,
  };
}

/** A name under which all writers put a checkpoint together: the leader draws it. */
function temporaryFolder(world: Communicator): string {
  const drawn = new Uint32Array(2);
  if (world.rank === 0) crypto.getRandomValues(drawn);
  world.broadcast(drawn, 0);
  return [...drawn].map((word) => word.toString(36)).join("");
}

/** What a tensor of a checkpoint is: the weight, or a moment of it. */
type Kind = "weight" | Moment;

function nameOf(kind: Kind, spec: WeightSpec): string {
  return kind === "weight" ? spec.names.huggingFace : momentName(kind, { spec });
}

/** Collects the tensors that this rank writes, whole, and sends the others' their slices. */
function gather(
  world: Communicator,
  { held, plan }: Pick<SnapshotOptions, "held" | "plan">,
): Map<string, Float32Array<ArrayBuffer>> {
  const gathered = new Map<string, Float32Array<ArrayBuffer>>();
  const places = new Map(held.parameters.map(({ spec }, index) => [spec.name, index]));
  for (const kind of ["weight", "m", "v"] as const) {
    for (const tensor of plan.tensors) {
      const index = places.get(tensor.spec.name);
      if (index === undefined) continue;
      const values = kind === "weight" ? held.weight(index) : held.moment(kind, index);
      const whole = gatherTensor(world, { tensor, values });
      if (whole !== undefined) gathered.set(nameOf(kind, tensor.spec), whole);
    }
  }
  return gathered;
}

/**
 * Brings one tensor together at its writer, who gets it whole; the others that have slices of it call
 * this too, with theirs.
 */
export function gatherTensor(
  world: Communicator,
  { tensor, values }: {
    readonly tensor: PlannedTensor;
    /** What this rank has of it; nothing where it has none. */
    readonly values: Float32Array<ArrayBuffer> | undefined;
  },
): Float32Array<ArrayBuffer> | undefined {
  const { spec, writer, holdings } = tensor;
  if (world.rank !== writer) {
    if (holdings.some(({ rank }) => rank === world.rank)) world.send(values!, writer);
    return undefined;
  }
  if (holdings.length === 1 && holdings[0]!.rank === writer) return values;
  const whole = new Float32Array(spec.shape.reduce((product, extent) => product * extent, 1));
  for (const { rank, slice } of holdings) {
    const part = rank === writer ? values! : new Float32Array(heldElements({ spec, slice }));
    if (rank !== writer) world.recv(part, rank);
    for (const run of sliceRuns({ spec, slice })) {
      whole.set(part.subarray(run.held, run.held + run.count), run.whole);
    }
  }
  return whole;
}

function shardOf(
  { name, writer, tensors }: PlannedFile,
  { rank }: Communicator,
  { kinds, gathered }: {
    readonly kinds: readonly Kind[];
    readonly gathered: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
  },
): SnapshotShard {
  return {
    name,
    tensors: kinds.flatMap((kind) =>
      tensors.map((spec) => {
        const tensor = nameOf(kind, spec);
        const values = writer === rank ? gathered.get(tensor) : undefined;
        return { name: tensor, shape: spec.shape, values };
      })
    ),
  };
}

function filesOf({ config, tokenizer, state, identity }: SnapshotOptions): SnapshotFile[] {
  const { bosTokenId, eosTokenIds } = config;
  const json = { ...toHuggingFaceConfig(config, { dtype: "f32" }) };
  return [
    {
      name: "config.json",
      content: formatConfigJson({ ...json, transformers_version: TRANSFORMERS_VERSION }),
    },
    {
      name: "generation_config.json",
      content: formatJson({
        ...(bosTokenId === undefined ? {} : { bos_token_id: bosTokenId }),
        ...(eosTokenIds.length === 0
          ? {}
          : { eos_token_id: eosTokenIds.length > 1 ? eosTokenIds : eosTokenIds[0] }),
        transformers_version: TRANSFORMERS_VERSION,
      }),
    },
    ...tokenizer.map(({ name, bytes }) => ({ name, content: bytes })),
    { name: STATE_FILE, content: formatJson({ run: identity, state }) },
  ];
}
