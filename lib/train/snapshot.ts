/**
 * The copy of a run's state that becomes a checkpoint.
 *
 * @module
 */

import { formatJson } from "../checkpoint/json_file.ts";
import { formatConfigJson, TRANSFORMERS_VERSION } from "../checkpoint/save_huggingface.ts";
import { toHuggingFaceConfig } from "../model/config_huggingface.ts";
import type { ModelConfig } from "../model/config.ts";
import type { Trainable } from "../model/training/trainable.ts";
import type { TokenizerFile } from "../tokenizer/files.ts";
import { momentName } from "./checkpoint_read.ts";
import { type Snapshot, type SnapshotFile, STATE_FILE } from "./checkpoint_write.ts";
import type { RunIdentity } from "./identity.ts";
import type { Moment, Optimizer } from "./optimizer.ts";
import type { TrainState } from "./state.ts";

/** What a snapshot is made of. */
export interface SnapshotOptions {
  /** The weights. */
  readonly model: Trainable;
  /** The moments. */
  readonly optimizer: Optimizer;
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

/** Copies everything out of the backend's memory. */
export function takeSnapshot(options: SnapshotOptions): Snapshot {
  const { model, optimizer, state, checkpoints, obsolete } = options;
  const weights = model.parameters.map((parameter) => ({
    name: parameter.spec.names.huggingFace,
    shape: parameter.spec.shape,
    values: model.weight(parameter),
  }));
  const moments = (["m", "v"] as Moment[]).flatMap((which) =>
    optimizer.parameters.map((parameter, index) => ({
      name: momentName(which, parameter),
      shape: parameter.spec.shape,
      values: optimizer.moment(which, index),
    }))
  );
  return { step: state.step, checkpoints, weights, moments, files: filesOf(options), obsolete };
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
