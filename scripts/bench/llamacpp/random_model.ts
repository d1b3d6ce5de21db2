/**
 * Llamas of random numbers as GGUF files, with a vocabulary that llama.cpp accepts: speed depends on
 * shapes and types alone.
 *
 * @module
 */

import type { GgufValue } from "../../../lib/formats/gguf_types.ts";
import { writeGguf } from "../../../lib/formats/gguf_write.ts";
import type { TensorSource } from "../../../lib/formats/tensor_file.ts";
import { encodeBf16 } from "../../../lib/base/float16.ts";
import { RandomStream } from "../../../lib/base/random.ts";
import { toGgufKeys } from "../../../lib/model/gguf_keys.ts";
import { presetOf } from "../../../lib/model/presets.ts";
import { weightSpecs } from "../../../lib/model/weights.ts";

/** Numbers that are drawn for one tensor and then repeated: speed does not look at them. */
const DRAWN = 1 << 16;

/** Kinds of tokens in `tokenizer.ggml.token_type`. */
const [NORMAL, UNKNOWN, CONTROL, BYTE] = [1, 2, 3, 6];

function vocabulary(size: number): Map<string, GgufValue> {
  const tokens = ["<unk>", "<s>", "</s>"];
  const types = [UNKNOWN, CONTROL, CONTROL];
  for (let byte = 0; byte < 256; byte++) {
    tokens.push(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
    types.push(BYTE);
  }
  while (tokens.length < size) {
    tokens.push(`\u2581t${tokens.length}`);
    types.push(NORMAL);
  }
  return new Map<string, GgufValue>([
    ["tokenizer.ggml.model", { type: "string", value: "llama" }],
    ["tokenizer.ggml.tokens", { type: "array", of: "string", value: tokens }],
    ["tokenizer.ggml.scores", {
      type: "array",
      of: "f32",
      value: Float32Array.from(tokens, (_, i) => -i),
    }],
    ["tokenizer.ggml.token_type", { type: "array", of: "i32", value: Int32Array.from(types) }],
    ["tokenizer.ggml.bos_token_id", { type: "u32", value: 1 }],
    ["tokenizer.ggml.eos_token_id", { type: "u32", value: 2 }],
  ]);
}

/** How a random model is made. */
export interface RandomModel {
  /** A preset's name. */
  readonly preset: string;
  /** Element type of its matrices. */
  readonly dtype: "f32" | "bf16";
}

/** Writes a random model of a preset; norms are ones. @throws {LlameroError} Where it cannot be written. */
export async function writeRandomModel(
  path: string,
  { preset, dtype }: RandomModel,
): Promise<void> {
  const { config } = presetOf(preset, { vocabSize: 32_000 });
  const metadata = new Map<string, GgufValue>([
    ["general.architecture", { type: "string", value: "llama" }],
    ["general.name", { type: "string", value: preset }],
    ["general.file_type", { type: "u32", value: dtype === "f32" ? 0 : 32 }],
    ...toGgufKeys(config),
    ...vocabulary(config.vocabSize),
  ]);
  const tensors = weightSpecs(config).map((spec, stream): TensorSource => {
    const isMatrix = spec.shape.length === 2;
    const count = spec.shape.reduce((product, extent) => product * extent, 1);
    const size = isMatrix ? spec.shape[1]! ** -0.5 : 1;
    const random = new RandomStream(1, stream);
    const drawn = Float32Array.from(
      { length: Math.min(count, DRAWN) },
      (_, i) => isMatrix ? size * random.normal(i) : 1,
    );
    const type = isMatrix ? dtype : "f32";
    const bytes = new Uint8Array(type === "f32" ? drawn.buffer : encodeBf16(drawn).buffer);
    return {
      name: spec.names.gguf,
      dtype: type,
      shape: spec.shape,
      *data() {
        const total = count * (type === "f32" ? 4 : 2);
        for (let at = 0; at < total; at += bytes.length) {
          yield bytes.subarray(0, Math.min(bytes.length, total - at));
        }
      },
    };
  });
  await writeGguf(path, tensors, { metadata });
}
