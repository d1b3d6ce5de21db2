/**
 * llama2.c's int8: `scale = max |x| / 127` over a group, `q = round(x / scale)`, all in float32 (`export.py`).
 *
 * @module
 */

import type { AtomicFile } from "../base/atomic_file.ts";
import { quoted } from "../base/quoted.ts";
import type { TensorSource } from "./tensor_file.ts";

/** Writes a float32 source as int8 and then the scales; the scales wait in memory, at 1/group of the tensor's size. */
export async function quantizeGroups(
  file: AtomicFile,
  source: TensorSource,
  options: { readonly group: number },
): Promise<void> {
  const { group } = options;
  const elements = source.shape.reduce((product, extent) => product * extent, 1);
  const scales = new Float32Array(elements / group);
  const pending = new Float32Array(group);
  const pendingBytes = new Uint8Array(pending.buffer);
  const quants = new Int8Array(group);
  let [filled, done] = [0, 0];
  const chunks = typeof source.data === "function" ? source.data() : [source.data];
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      const count = Math.min(chunk.length - at, pendingBytes.length - filled);
      pendingBytes.set(chunk.subarray(at, at + count), filled);
      at += count;
      filled += count;
      if (filled < pendingBytes.length) continue;
      if (done === scales.length) throw wrongLength(source, "more than", elements);
      scales[done++] = quantizeGroup(pending, quants);
      file.write(new Uint8Array(quants.buffer));
      filled = 0;
    }
  }
  if (done !== scales.length || filled > 0) {
    throw wrongLength(source, `${done * group + filled / 4} of`, elements);
  }
  file.write(new Uint8Array(scales.buffer));
}

function quantizeGroup(values: Float32Array, quants: Int8Array): number {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  const scale = Math.fround(most / 127);
  for (const [i, value] of values.entries()) {
    quants[i] = scale === 0 ? 0 : roundHalfEven(Math.fround(value / scale));
  }
  return scale;
}

/** Rounds as PyTorch does: halves to the even neighbour. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

function wrongLength(source: TensorSource, got: string, elements: number): Error {
  return new RangeError(
    `The source of tensor ${quoted(source.name)} gave ${got} ${elements} elements`,
  );
}
