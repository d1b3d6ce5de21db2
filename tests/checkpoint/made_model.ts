/**
 * Models of any config with numbers that nothing repeats, as Hugging Face folders, and the bytes of
 * what comes of them.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import type { Checkpoint } from "../../lib/checkpoint/checkpoint.ts";
import { convertCheckpoint, type ConvertOptions } from "../../lib/checkpoint/convert.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { writeSafetensors } from "../../lib/formats/safetensors_write.ts";
import type { TensorSource } from "../../lib/formats/tensor_file.ts";
import { parseHuggingFaceConfig } from "../../lib/model/config_huggingface.ts";
import { weightSpecs } from "../../lib/model/weights.ts";
import { CONFIG, type Json } from "./small_model.ts";

const WIDTHS = { f32: 4, f16: 2, bf16: 2 } as const;

/** How a model is made. */
export interface MadeModel {
  /** What differs from the config of the small model. */
  readonly config?: Json;
  /** Element type of the matrices. */
  readonly dtype?: keyof typeof WIDTHS;
  /** Element type of the norms, where it is another. */
  readonly normDtype?: keyof typeof WIDTHS;
}

/** A generator of 32-bit words: xorshift, Marsaglia 2003. */
function words(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Random bytes; any bits may occur in matrices, and norms are numbers that bfloat16 holds, around 1. */
function bytesOf(
  elements: number,
  dtype: keyof typeof WIDTHS,
  next: () => number,
  isNorm: boolean,
) {
  const bytes = new Uint8Array(elements * WIDTHS[dtype]);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < elements; i++) {
    const word = next();
    if (!isNorm && dtype === "f32") view.setUint32(4 * i, word, true);
    else if (!isNorm) view.setUint16(2 * i, word & 0xffff, true);
    else if (dtype === "f32") view.setUint32(4 * i, 0x3f800000 | ((word & 63) << 17), true);
    else {view.setUint16(
        2 * i,
        dtype === "bf16" ? 0x3f80 | (word & 63) : 0x3c00 | (word & 63) << 4,
        true,
      );}
  }
  return bytes;
}

/** Writes a model and opens it. */
export async function makeModel(folder: string, made: MadeModel = {}): Promise<Checkpoint> {
  const { dtype = "f32", normDtype = dtype } = made;
  const json = { ...CONFIG, ...made.config };
  const config = parseHuggingFaceConfig(json, "config.json");
  const next = words(12345);
  const tensors = weightSpecs(config).map((spec): TensorSource => {
    const elements = spec.shape.reduce((product, extent) => product * extent, 1);
    const isNorm = spec.shape.length === 1;
    const type = isNorm ? normDtype : dtype;
    const data = bytesOf(elements, type, next, isNorm);
    return { name: spec.names.huggingFace, dtype: type, shape: spec.shape, data };
  });
  Deno.mkdirSync(folder, { recursive: true });
  Deno.writeTextFileSync(join(folder, "config.json"), JSON.stringify(json));
  await writeSafetensors(join(folder, "model.safetensors"), tensors, { force: true });
  return await openCheckpoint(folder);
}

/** Converts a model and opens what came of it. */
export async function converted(
  source: Checkpoint,
  options: ConvertOptions,
): Promise<Checkpoint> {
  await convertCheckpoint(source, options);
  return await openCheckpoint(options.path);
}

/** Types, shapes and bytes of all tensors by canonical name. */
async function contentOf(checkpoint: Checkpoint): Promise<Map<string, unknown>> {
  const content = new Map<string, unknown>();
  for (const [name, record] of checkpoint.tensors) {
    const { dtype, shape } = record;
    content.set(name, { dtype, shape, bytes: await readTensor(record) });
  }
  return content;
}

/** Expects every tensor of two checkpoints in the same layout to be the same, bit by bit. */
export async function assertSameTensors(is: Checkpoint, wanted: Checkpoint): Promise<void> {
  assert.equal(is.ropeLayout, wanted.ropeLayout);
  const [a, b] = [await contentOf(is), await contentOf(wanted)];
  assert.deepEqual([...a.keys()], [...b.keys()]);
  for (const [name, content] of a) assert.deepEqual(content, b.get(name), name);
}
