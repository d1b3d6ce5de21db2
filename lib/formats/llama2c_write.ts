/**
 * Writing llama2.c's `.bin` checkpoints, versions 0 (legacy), 1 and 2, streaming and atomically.
 *
 * @module
 */

import { AtomicFile, type AtomicFileOptions } from "../base/atomic_file.ts";
import { quoted } from "../base/quoted.ts";
import { ByteWriter } from "./byte_writer.ts";
import {
  LLAMA2C_MAGIC,
  type Llama2cHeader,
  llama2cHeaderBytes,
  type Llama2cSlot,
  llama2cSlots,
  slotElements,
} from "./llama2c_layout.ts";
import { quantizeGroups } from "./llama2c_quantize.ts";
import type { TensorSource } from "./tensor_file.ts";
import { writeTensorBytes } from "./write_tensor.ts";

/** How a llama2.c file is written. */
export interface WriteLlama2cOptions extends AtomicFileOptions {
  /** The header; of version 2 with `groupSize`, a divisor of the size of every matrix. */
  readonly header: Llama2cHeader;
}

/** The base of the rotary frequencies, which the format does not record. */
const ROPE_THETA = 10000;

/**
 * Writes a llama2.c file from float32 tensors under Meta's names, in any order, in the interleaved rotary layout.
 *
 * Throws `LlameroError` where the path exists (without `force`) or cannot be written, and leaves nothing behind.
 */
export async function writeLlama2c(
  path: string,
  tensors: readonly TensorSource[],
  options: WriteLlama2cOptions,
): Promise<void> {
  const { header } = options;
  const slots = llama2cSlots(header);
  const sources = match(slots, tensors);
  checkGroups(slots, header);
  using file = AtomicFile.create(path, options);
  file.write(encodeHeader(header));
  let tables = 0;
  for (const slot of slots) {
    const source = slot.name === undefined ? undefined : sources.get(slot.name);
    if (source === undefined) file.write(rotaryTable(slot, tables++ === 0 ? Math.cos : Math.sin));
    else if (header.version === 2 && slot.quantized) {
      await quantizeGroups(file, source, { group: header.groupSize! });
    } else await writeTensorBytes(file, source);
  }
  file.commit();
}

/** Finds the source of every array; a missing, surplus or misshapen one is the caller's mistake. */
function match(
  slots: readonly Llama2cSlot[],
  tensors: readonly TensorSource[],
): Map<string, TensorSource> {
  const sources = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const named = slots.filter((slot) => slot.name !== undefined);
  for (const { name, shape } of named) {
    const source = sources.get(name!);
    if (source?.dtype === "f32" && `${source.shape}` === `${shape}`) continue;
    const found = source === undefined ? "is missing" : `is ${source.dtype} [${source.shape}]`;
    throw new TypeError(`Tensor ${quoted(name!)} ${found}, wanted f32 [${shape}]`);
  }
  if (named.length !== tensors.length) {
    throw new TypeError(`${tensors.length} tensors were given, and llama2.c has ${named.length}`);
  }
  return sources;
}

function checkGroups(slots: readonly Llama2cSlot[], header: Llama2cHeader): void {
  if (header.version !== 2) return;
  const group = header.groupSize ?? 0;
  const bad = slots.find((slot) => slot.quantized && slotElements(slot) % group !== 0);
  if (!(group >= 1) || bad !== undefined) {
    throw new TypeError(`A group size of ${group} does not divide ${bad?.name ?? "anything"}`);
  }
}

function encodeHeader(header: Llama2cHeader): Uint8Array {
  const writer = new ByteWriter();
  const legacy = header.version === 0;
  if (!legacy) {
    writer.u32(LLAMA2C_MAGIC);
    writer.i32(header.version);
  }
  for (const value of [header.dim, header.hiddenDim, header.layers, header.heads, header.kvHeads]) {
    writer.i32(value);
  }
  writer.i32(legacy && !header.sharedClassifier ? -header.vocabSize : header.vocabSize);
  writer.i32(header.sequenceLength);
  if (!legacy) {
    writer.u8(header.sharedClassifier ? 1 : 0);
    if (header.version === 2) writer.i32(header.groupSize!);
  }
  writer.zeros(llama2cHeaderBytes(header.version) - writer.length);
  return writer.finish();
}

/**
 * `f(position * theta^(-2i / head_dim))`, which the legacy version has and its readers skip; the angles are rounded to
 * float32 at each step, as `export.py` does, so that the bytes are its bytes.
 */
function rotaryTable(slot: Llama2cSlot, f: (angle: number) => number): Uint8Array {
  const [positions, pairs] = slot.shape as [number, number];
  const table = new Float32Array(positions * pairs);
  for (let i = 0; i < pairs; i++) {
    const frequency = Math.fround(1 / Math.fround(ROPE_THETA ** Math.fround(i / pairs)));
    for (let position = 0; position < positions; position++) {
      table[position * pairs + i] = f(Math.fround(position * frequency));
    }
  }
  return new Uint8Array(table.buffer);
}
