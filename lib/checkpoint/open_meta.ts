/**
 * Opens a Meta folder: params.json and the weights.
 *
 * @module
 */

import { basename, dirname, join } from "node:path";
import { FormatError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";
import { parseMetaParams } from "../model/config_meta.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { DetectedCheckpoint } from "./detect.ts";
import { readJsonFile } from "./json_file.ts";
import { matchTensors } from "./match.ts";
import { readWeightFiles } from "./weight_files.ts";
import { tokenizerBeside } from "./tokenizer_beside.ts";

/**
 * Opens what `detectCheckpoint` found to be a Meta folder.
 *
 * @throws {FormatError} Where the weights are in several parts: each holds a slice of every matrix,
 * some of rows and some of columns, so that no tensor stands anywhere as a whole.
 */
export async function openMeta(found: DetectedCheckpoint): Promise<Checkpoint> {
  const parts = found.parts ?? [found.weights];
  if (parts.length > 1) {
    throw new FormatError(
      `Cannot open ${quotedPath(found.path)}: its weights are sliced into ${parts.length} parts ` +
        `(${basename(parts[0] ?? "")}, …), one file with whole tensors was wanted`,
      { file: parts[0], hint: "take the model's Hugging Face version" },
    );
  }
  const { records, files, metadata } = await readWeightFiles(found);
  const folder = dirname(found.weights);
  const paramsFile = found.config ?? join(folder, "params.json");
  const vocabSize = records.get("tok_embeddings.weight")?.shape[0];
  if (vocabSize === undefined) {
    throw new FormatError(
      `Cannot open ${quotedPath(found.weights)}: tensor "tok_embeddings.weight" is missing, ` +
        `the weights of a Llama by Meta's names were wanted`,
      { file: found.weights },
    );
  }
  const config = parseMetaParams(readJsonFile(paramsFile), {
    file: paramsFile,
    vocabSize,
    tieWordEmbeddings: !records.has("output.weight"),
  });
  const tensors = matchTensors(records, config, {
    scheme: "meta",
    path: found.weights,
    configName: basename(paramsFile),
  });
  return {
    format: "meta",
    path: found.path,
    files,
    config,
    tensors,
    ropeLayout: "interleaved",
    // LLaMA 1 keeps one tokenizer beside the folders of all sizes.
    ...tokenizerBeside(folder, dirname(folder)),
    metadata,
  };
}
