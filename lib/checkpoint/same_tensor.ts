/**
 * Whether two tensors have the same bytes.
 *
 * @module
 */

import { InputFile } from "../formats/input_file.ts";
import { tensorChunks } from "../formats/read_tensor.ts";
import type { TensorRecord } from "../formats/tensor_file.ts";

const SAMPLES = 64;
const SAMPLE_BYTES = 4096;

/** Whether type, size and spans spread over two tensors agree: whole ones would take as long as loading the model. */
export function samplesAgree(a: TensorRecord, b: TensorRecord): boolean {
  if (a.dtype !== b.dtype || a.bytes !== b.bytes) return false;
  if (a.stored !== undefined || b.stored !== undefined) {
    // What is stored in another way cannot be read from its middle, nor in chunks of a known length.
    const [left, right] = [firstChunk(a), firstChunk(b)];
    const length = Math.min(left.length, right.length);
    return isSame(left.subarray(0, length), right.subarray(0, length));
  }
  using fileA = InputFile.open(a.file);
  using fileB = InputFile.open(b.file);
  const length = Math.min(SAMPLE_BYTES, a.bytes);
  for (let i = 0; i < SAMPLES; i++) {
    const at = Math.floor(((a.bytes - length) * i) / (SAMPLES - 1));
    if (!isSame(fileA.read(a.offset + at, length), fileB.read(b.offset + at, length))) return false;
  }
  return true;
}

/** Whether type, shape and every byte of two tensors agree; differing ones are mostly told by a few samples. */
export function isSameTensor(a: TensorRecord, b: TensorRecord): boolean {
  if (`${a.shape}` !== `${b.shape}` || !samplesAgree(a, b)) return false;
  const others = bytesInOrder(b);
  for (const chunk of tensorChunks(a)) {
    if (!isSame(chunk, others(chunk.length))) return false;
  }
  return true;
}

/** Gives the next so many bytes of a tensor at each call. */
function bytesInOrder(record: TensorRecord): (length: number) => Uint8Array {
  const chunks = tensorChunks(record);
  let rest = new Uint8Array(0);
  return (length) => {
    const out = new Uint8Array(length);
    for (let filled = 0; filled < length;) {
      if (rest.length === 0) {
        const { value } = chunks.next();
        if (value === undefined) return out.subarray(0, filled);
        rest = value as Uint8Array<ArrayBuffer>;
      }
      const taken = rest.subarray(0, length - filled);
      out.set(taken, filled);
      filled += taken.length;
      rest = rest.subarray(taken.length);
    }
    return out;
  };
}

function firstChunk(record: TensorRecord): Uint8Array {
  for (const chunk of tensorChunks(record)) return chunk;
  return new Uint8Array(0);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
