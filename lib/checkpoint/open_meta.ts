/**
 * Opens a Meta folder: params.json and the weights, in one file or in several.
 *
 * @module
 */

import { basename, dirname, join } from "node:path";
import { FormatError } from "../base/errors.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import type { TensorRecord } from "../formats/tensor_file.ts";
import { parseMetaParams } from "../model/config_meta.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { DetectedCheckpoint } from "./detect.ts";
import { readJsonFile } from "./json_file.ts";
import { matchTensors } from "./match.ts";
import { joinMetaParts } from "./meta_parts.ts";
import { isSameTensor } from "./same_tensor.ts";
import { readWeightFiles, type WeightFiles } from "./weight_files.ts";
import { tokenizerBeside } from "./tokenizer_beside.ts";

/** Opens what `detectCheckpoint` found to be a Meta folder. */
export async function openMeta(found: DetectedCheckpoint): Promise<Checkpoint> {
  const folder = dirname(found.weights);
  const paramsFile = found.config ?? join(folder, "params.json");
  const params = readJsonFile(paramsFile);
  const { records, files, metadata } = await readParts(found, params);
  const embedding = records.get("tok_embeddings.weight");
  const vocabSize = embedding?.shape[0];
  if (embedding === undefined || vocabSize === undefined) {
    throw new FormatError(
      `Cannot open ${quotedPath(found.weights)}: tensor "tok_embeddings.weight" is missing, ` +
        `the weights of a Llama by Meta's names were wanted`,
      { file: found.weights },
    );
  }
  const config = parseMetaParams(params, {
    file: paramsFile,
    vocabSize,
    tieWordEmbeddings: isTied(records, embedding),
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

/** Reads the headers of all files of the model. */
async function readParts(found: DetectedCheckpoint, params: unknown): Promise<WeightFiles> {
  const paths = found.parts ?? [found.weights];
  if (paths.length === 1) return await readWeightFiles(found);
  checkNumbers(found, paths);
  const files = await Promise.all(
    paths.map((weights) => readWeightFiles({ ...found, weights })),
  );
  const parts = files.map(({ records }, i) => ({ path: paths[i]!, records }));
  const dim = (params as { readonly dim?: unknown } | null)?.dim;
  return {
    records: joinMetaParts({ path: found.path, parts, dim }),
    files: paths,
    metadata: files[0]!.metadata,
  };
}

/** A model whose last part is missing looks whole, but one with a gap does not. */
function checkNumbers(found: DetectedCheckpoint, paths: readonly string[]): void {
  for (const [i, path] of paths.entries()) {
    const wanted = basename(path).replace(/\d\d/, `${i}`.padStart(2, "0"));
    if (basename(path) === wanted) continue;
    throw new FormatError(
      `Cannot open ${quotedPath(found.path)}: ${quoted(basename(path))} is there and ` +
        `${quoted(wanted)} before it is missing`,
      { file: path, hint: "put all parts of the model into one folder" },
    );
  }
}

/**
 * Meta's own models have a head in their files even where it is the embedding (Llama 3.2): nothing
 * but the bytes tells.
 */
function isTied(records: ReadonlyMap<string, TensorRecord>, embedding: TensorRecord): boolean {
  const head = records.get("output.weight");
  return head === undefined || isSameTensor(head, embedding);
}
