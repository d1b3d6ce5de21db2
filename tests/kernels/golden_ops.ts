/**
 * The golden numbers of single operations: inputs and outputs that PyTorch computed in double
 * precision (tests/golden/ops).
 *
 * @module
 */

import { readTensor } from "../../lib/formats/read_tensor.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import { golden } from "../fixtures.ts";

/** One golden array. */
export interface GoldenArray {
  /** Extents, outermost first. */
  readonly shape: readonly number[];
  /** Its numbers. */
  readonly values: Float64Array<ArrayBuffer>;
}

function numbers(dtype: string, buffer: ArrayBuffer): Float64Array<ArrayBuffer> {
  if (dtype === "f64") return new Float64Array(buffer);
  if (dtype === "f32") return Float64Array.from(new Float32Array(buffer));
  return Float64Array.from(new BigInt64Array(buffer), Number);
}

/** Reads every array of one operation, by the name after the dot. */
export async function goldenOp(op: string): Promise<(name: string) => GoldenArray> {
  const arrays = new Map<string, GoldenArray>();
  for (const [name, record] of (await readSafetensors(golden("ops/ops.safetensors"))).records) {
    if (!name.startsWith(`${op}.`)) continue;
    const bytes = await readTensor(record);
    const values = numbers(record.dtype, bytes.slice().buffer);
    arrays.set(name.slice(op.length + 1), { shape: record.shape, values });
  }
  return (name) => {
    const found = arrays.get(name);
    if (found === undefined) throw new Error(`no golden array "${op}.${name}"`);
    return found;
  };
}
