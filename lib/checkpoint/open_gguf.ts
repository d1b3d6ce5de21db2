/**
 * Opens a GGUF model.
 *
 * @module
 */

import { FormatError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";
import { type GgufFile, readGguf } from "../formats/gguf.ts";
import { readTensor } from "../formats/read_tensor.ts";
import { parseGgufConfig } from "../model/config_gguf.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { DetectedCheckpoint } from "./detect.ts";
import { matchTensors } from "./match.ts";

/** More factors than any head has pairs. */
const MOST_FACTORS = 2 ** 13;

/** Opens what `detectCheckpoint` found to be a GGUF file; the file is its own tokenizer. */
export async function openGguf(found: DetectedCheckpoint): Promise<Checkpoint> {
  const file = await readGguf(found.weights);
  const config = parseGgufConfig(file, { ropeFactors: await readRopeFactors(file) });
  const tensors = matchTensors(file.records, config, {
    scheme: "gguf",
    path: found.path,
    configName: "its metadata",
  });
  const hasTokenizer = file.metadata.has("tokenizer.ggml.tokens");
  return {
    format: "gguf",
    path: found.path,
    files: file.files,
    config,
    tensors,
    ropeLayout: "interleaved",
    ...(hasTokenizer ? { tokenizerPath: found.path } : {}),
    metadata: file.metadata,
  };
}

/** Llama 3.1's stretching: what each rotary frequency is divided by. */
async function readRopeFactors(file: GgufFile): Promise<Float32Array | undefined> {
  const record = file.records.get("rope_freqs.weight");
  if (record === undefined) return undefined;
  if (record.dtype !== "f32" || record.shape.length !== 1 || record.bytes > 4 * MOST_FACTORS) {
    throw new FormatError(
      `Cannot open ${quotedPath(file.path)}: tensor "rope_freqs.weight" is ${record.dtype} ` +
        `[${record.shape.join(", ")}], a short vector of f32 was wanted`,
      { file: file.path, offset: record.offset },
    );
  }
  const bytes = await readTensor(record);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}
