/**
 * Writing a model as Hugging Face's folder: `config.json`, safetensors in one file or in shards, and
 * the tokenizer.
 *
 * @module
 */

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { writeFileAtomically } from "../base/atomic_file.ts";
import { AtomicFolder, checkOutputFolder } from "../base/atomic_folder.ts";
import { writeSafetensorsShards } from "../formats/safetensors_write.ts";
import { type FloatName, toHuggingFaceConfig } from "../model/config_huggingface.ts";
import { weightSpecs } from "../model/weights.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { formatJson, readJsonFile } from "./json_file.ts";
import { mapTensor } from "./map.ts";
import { isModelFile } from "./model_files.ts";
import { committed } from "./output_folder.ts";
import type { SaveOptions, SavePlan } from "./plan.ts";
import { huggingFaceFiles } from "./travelling_tokenizer.ts";

/** How a Hugging Face folder is written. */
export interface SaveHuggingFaceOptions extends SaveOptions {
  /** Most bytes of tensors in one file; default: no limit. */
  readonly shardBytes?: number | undefined;
}

/** A JSON object. */
export type Json = Record<string, unknown>;

/** Prepares a model to be written as Hugging Face's; every model can be. */
export async function planHuggingFace(
  source: Checkpoint,
  options: SaveHuggingFaceOptions,
): Promise<SavePlan> {
  const { path, types, flow, force, shardBytes } = options;
  const specs = weightSpecs(source.config);
  const config = configText(source, types.get("embedding") as FloatName);
  const generation = generationText(source);
  const side = await huggingFaceFiles(options.tokenizer);
  const tensors = specs.map((spec) =>
    mapTensor(source, spec, {
      scheme: "huggingFace",
      ropeLayout: "half",
      dtype: types.get(spec.name)!,
      flow,
    })
  );
  checkOutputFolder(path, { force, replaceable: isModelFile });
  return {
    format: "hf",
    tensors,
    notes: [],
    async write() {
      using folder = AtomicFolder.create(path, { force, replaceable: isModelFile });
      writeFileAtomically(folder.file("config.json"), config);
      if (generation !== undefined) {
        writeFileAtomically(folder.file("generation_config.json"), generation);
      }
      for (const { name, bytes } of side) writeFileAtomically(folder.file(name), bytes);
      const metadata = { format: "pt" };
      await writeSafetensorsShards(folder.temporary, tensors, { shardBytes, metadata });
      return committed(folder);
    },
  };
}

/** The first version with all that a config says; without any, later ones suspect the tokenizer. */
export const TRANSFORMERS_VERSION: string = "4.43.0";

/** The text of the source's own `config.json`, with another type where that changes, or of a new one. */
function configText(source: Checkpoint, dtype: FloatName): string {
  const fresh = toHuggingFaceConfig(source.config, { dtype });
  const path = sidePath(source, "config.json");
  if (path === undefined) {
    return formatConfigJson({ ...fresh, transformers_version: TRANSFORMERS_VERSION });
  }
  const own = readJsonFile(path) as Json;
  const key = "dtype" in own ? "dtype" : "torch_dtype";
  const name = fresh.torch_dtype;
  if (own[key] === name) return readFileSync(path, "utf8");
  return formatConfigJson({ ...own, [key]: name });
}

function generationText(source: Checkpoint): string | undefined {
  if (source.format === "hf") {
    const path = sidePath(source, "generation_config.json");
    return path && readFileSync(path, "utf8");
  }
  const { bosTokenId, eosTokenIds } = source.config;
  if (bosTokenId === undefined && eosTokenIds.length === 0) return undefined;
  const [first, ...others] = eosTokenIds;
  return formatJson({
    ...(bosTokenId === undefined ? {} : { bos_token_id: bosTokenId }),
    ...(first === undefined ? {} : { eos_token_id: others.length > 0 ? eosTokenIds : first }),
  });
}

/** A file beside the weights of the source, where it is Hugging Face's and has it. */
function sidePath(source: Checkpoint, name: string): string | undefined {
  const path = join(dirname(source.files[0] ?? source.path), name);
  return source.format === "hf" && existsSync(path) ? path : undefined;
}

/** Fields that are floats to transformers, which complains of `8` where it wants `8.0`. */
const FLOAT_FIELDS = [
  "rope_theta",
  "factor",
  "low_freq_factor",
  "high_freq_factor",
  "logits_scale",
  "z_loss",
];

/** A config as the text of a `config.json`, its floats written as such. */
export function formatConfigJson(config: Json): string {
  const whole = new RegExp(`("(?:${FLOAT_FIELDS.join("|")})": -?\\d+)(?=,?$)`, "gm");
  return formatJson(config).replace(whole, "$1.0");
}
