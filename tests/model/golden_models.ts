/**
 * The golden models: their checkpoints, batches and reference numbers.
 *
 * @module
 */

import { ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { parseHuggingFaceConfig } from "../../lib/model/config_huggingface.ts";
import type { DecoderSource } from "../../lib/model/load_weights.ts";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import { golden } from "../fixtures.ts";
import { assertClose } from "../numeric.ts";

/** Folders with a config, a batch and expected numbers. */
export const GOLDEN_MODELS = [
  "llama_mha",
  "llama_gqa",
  "llama_gqa_tied",
  "llama3",
  "llama31",
  "palm",
] as const;

/** Name of a golden model. */
export type GoldenModel = typeof GOLDEN_MODELS[number];

/** Largest difference of a logit that tests/golden/README.md allows single precision. */
export const LOGIT_TOLERANCE = 1e-4;
/** Largest difference of a loss that it allows. */
export const LOSS_TOLERANCE = 1e-5;

/** Opens a golden model's checkpoint. */
export async function goldenSource(name: GoldenModel, file?: string): Promise<DecoderSource> {
  if (name !== "llama31") return await openCheckpoint(golden(name), file ? { file } : {});
  // Llama 3.1 has a config of its own and shares the weights of the model beside it.
  const path = golden("llama31/config.json");
  const config = parseHuggingFaceConfig(JSON.parse(readFileSync(path, "utf8")), path);
  return { ...await openCheckpoint(golden("llama3")), config };
}

interface DocumentMask {
  readonly doc_ids: number[][];
  readonly position_ids: number[][];
  readonly targets: number[][];
}

/** The fields of a golden batch.json. */
export interface GoldenBatch {
  /** Token ids [B][T]. */
  readonly input_ids: number[][];
  /** Targets [B][T], -100 not counted. */
  readonly targets: number[][];
  /** The same tokens as packed documents. */
  readonly docmask: DocumentMask;
  /** Positions 0, 211, 422, … of Llama 3.1. */
  readonly strided_position_ids?: number[][];
}

/** Reads a golden model's batch. */
export function goldenBatch(name: GoldenModel): GoldenBatch {
  return JSON.parse(readFileSync(golden(`${name}/batch.json`), "utf8"));
}

// deno-lint-ignore no-explicit-any -- a record of reference numbers, described in tests/golden/README.md
export function goldenExpected(name: GoldenModel): any {
  return JSON.parse(readFileSync(golden(`${name}/expected.json`), "utf8"));
}

/** Reads a tensor of outputs.safetensors as doubles. */
export async function goldenOutput(name: GoldenModel, tensor: string): Promise<Float64Array> {
  const file = await readSafetensors(golden(`${name}/outputs.safetensors`));
  const record = file.records.get(tensor)!;
  const bytes = await readTensor(record);
  const { buffer, byteOffset } = bytes.slice();
  return record.dtype === "f64"
    ? new Float64Array(buffer, byteOffset)
    : Float64Array.from(new Float32Array(buffer, byteOffset));
}

/** Fails unless all numbers are within `tolerance`, and none of them is NaN. */
export function assertNear(
  got: ArrayLike<number>,
  wanted: ArrayLike<number>,
  tolerance: number,
): void {
  assertClose([got, wanted], { what: "the numbers", absolute: tolerance });
  for (let i = 0; i < wanted.length; i++) ok(!Number.isNaN(wanted[i]), `number ${i} is NaN`);
}
