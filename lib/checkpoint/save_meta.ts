/**
 * Writing a model as Meta's folder: `params.json`, `consolidated.NN.pth` and the tokenizer.
 *
 * @module
 */

import { writeFileAtomically } from "../base/atomic_file.ts";
import { AtomicFolder, checkOutputFolder } from "../base/atomic_folder.ts";
import { ConfigError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";
import { writePytorch } from "../formats/pytorch_write.ts";
import type { TensorSource } from "../formats/tensor_file.ts";
import type { ModelConfig } from "../model/config.ts";
import { parseMetaParams } from "../model/config_meta.ts";
import { toMetaParams } from "../model/meta_params.ts";
import { type WeightSpec, weightSpecs } from "../model/weights.ts";
import type { Checkpoint } from "./checkpoint.ts";
import {
  cannotHold,
  checkHeadDim,
  checkHeld,
  checkIsLlama,
  type HeldOptions,
  unheldTokens,
} from "./held.ts";
import { mapTensor } from "./map.ts";
import { metaAxis } from "./meta_parts.ts";
import { committed } from "./output_folder.ts";
import type { SaveOptions, SavePlan } from "./plan.ts";
import { isModelFile } from "./model_files.ts";
import { formatJson } from "./json_file.ts";
import { metaFiles } from "./travelling_tokenizer.ts";

/** How a Meta folder is written. */
export interface SaveMetaOptions extends SaveOptions {
  /** Files that the weights are cut over, as many as processes are to run it; default 1. */
  readonly modelParallel?: number | undefined;
}

/** File names have two digits. */
const MOST_PARTS = 100;

/** Prepares a model to be written as Meta's. @throws {ConfigError} Where the format cannot hold it, or not in so many parts. */
export async function planMeta(source: Checkpoint, options: SaveMetaOptions): Promise<SavePlan> {
  const { path, modelParallel: count = 1, force } = options;
  const { config } = source;
  const held: HeldOptions = { path: source.path, target: "Meta's format" };
  checkIsLlama(config, held);
  checkHeadDim(config, held);
  const params = toMetaParams(config);
  const readBack = parseMetaParams(params, { ...config, file: source.path });
  checkHeld(config, { ...held, readBack });
  checkParts(config, count, held);
  const side = await metaFiles(options.tokenizer);
  checkOutputFolder(path, { force, replaceable: isModelFile });
  const parts = Array.from(
    { length: count },
    (_, index) => partTensors(source, options, { index, count }),
  );
  const unheld = unheldTokens(config, readBack);
  return {
    format: "meta",
    tensors: parts.flat(),
    notes: unheld === undefined ? [] : [`params.json does not say that the model ${unheld}`],
    async write() {
      using folder = AtomicFolder.create(path, { force, replaceable: isModelFile });
      writeFileAtomically(folder.file("params.json"), formatJson(params));
      for (const { name, bytes } of side) writeFileAtomically(folder.file(name), bytes);
      for (const [i, tensors] of parts.entries()) {
        await writePytorch(folder.file(`consolidated.${`${i}`.padStart(2, "0")}.pth`), tensors);
      }
      return committed(folder);
    },
  };
}

/** Every process must get the same number of whole heads, columns and tokens. */
function checkParts(config: ModelConfig, count: number, { path, target }: HeldOptions): void {
  const options = { path, target: `${target} in ${count} parts` };
  if (count > MOST_PARTS) {
    throw new ConfigError(
      `Cannot convert ${quotedPath(path)} to ${target}: ${count} parts are wanted, and there are ` +
        `names for ${MOST_PARTS}`,
    );
  }
  const { numKeyValueHeads: heads } = config;
  if (count > heads) {
    throw cannotHold("numKeyValueHeads", `${heads}, and each part wants one at least`, options);
  }
  const divided = [
    "numKeyValueHeads",
    "hiddenSize",
    "intermediateSize",
    "vocabSize",
  ] as const;
  const uneven = divided.find((field) => config[field] % count !== 0);
  if (uneven === undefined) return;
  throw cannotHold(uneven, `${config[uneven]}, a multiple of ${count} was wanted`, options);
}

function partTensors(
  source: Checkpoint,
  { types, flow }: SaveMetaOptions,
  part: { readonly index: number; readonly count: number },
): TensorSource[] {
  return metaSpecs(source.config).map((spec) => {
    const axis = metaAxis(spec, source.config);
    const isWhole = axis === undefined || part.count === 1;
    return mapTensor(source, spec, {
      scheme: "meta",
      ropeLayout: "interleaved",
      dtype: types.get(spec.name)!,
      slice: isWhole ? undefined : { axis, ...part },
      flow,
    });
  });
}

/** The weights of Meta's own model, which has a head even where it is the embedding. */
function metaSpecs(config: ModelConfig): WeightSpec[] {
  const specs = weightSpecs(config);
  if (!config.tieWordEmbeddings) return specs;
  const [embedding] = specs as [WeightSpec, ...WeightSpec[]];
  const untied = weightSpecs({ ...config, tieWordEmbeddings: false, numHiddenLayers: 1 });
  const head = untied.at(-1)!;
  // The record is the embedding's, by its canonical name; all else is the head's.
  return [...specs, { ...head, name: embedding.name }];
}
