/**
 * Opens a Hugging Face model: config.json, generation_config.json and the weights.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { ModelConfig } from "../model/config.ts";
import { mergeGenerationConfig, parseHuggingFaceConfig } from "../model/config_huggingface.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { DetectedCheckpoint } from "./detect.ts";
import { readJsonFile } from "./json_file.ts";
import { matchTensors } from "./match.ts";
import { tokenizerBeside } from "./tokenizer_beside.ts";
import { readWeightFiles } from "./weight_files.ts";

/** Reads a `config.json`, with the ending tokens of the `generation_config.json` beside it. */
function readHuggingFaceConfig(file: string): ModelConfig {
  const config = parseHuggingFaceConfig(readJsonFile(file), file);
  const generation = join(dirname(file), "generation_config.json");
  if (!existsSync(generation)) return config;
  return mergeGenerationConfig(config, { json: readJsonFile(generation), file: generation });
}

/** Opens what `detectCheckpoint` found to be a Hugging Face model. */
export async function openHuggingFace(found: DetectedCheckpoint): Promise<Checkpoint> {
  const configFile = found.config ?? join(dirname(found.weights), "config.json");
  const config = readHuggingFaceConfig(configFile);
  const { records, files, metadata } = await readWeightFiles(found);
  const tensors = matchTensors(records, config, {
    scheme: "huggingFace",
    path: found.weights,
    configName: basename(configFile),
  });
  return {
    format: "hf",
    path: found.path,
    files,
    config,
    tensors,
    ropeLayout: "half",
    ...tokenizerBeside(dirname(found.weights)),
    metadata,
  };
}
