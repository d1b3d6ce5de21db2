/**
 * Runs a kernel on the arguments of a case: initial numbers from counters, results as bytes.
 *
 * Every tensor is followed by guard bytes and may have gaps between its rows; a kernel that writes
 * there, or into an input, is caught.
 *
 * @module
 */

import assert from "node:assert/strict";
import { KERNELS, type Parameter } from "../../kernels/abi.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import type { KernelName } from "../../lib/backend/kernels.generated.ts";
import { RandomStream } from "../../lib/base/random.ts";
import { call } from "../../lib/tensor/call.ts";
import {
  bytesOf,
  decodeElements,
  type DType,
  encodeElements,
  isDType,
  isPlain,
} from "../../lib/tensor/dtype.ts";
import { elementsOf } from "../../lib/tensor/shape.ts";
import type { Tensor } from "../../lib/tensor/tensor.ts";
import { decodeQ8, encodeQ8 } from "./blocks.ts";
import type { KernelCase, KernelEntry } from "./cases.ts";
import { fill, type Sizes } from "./reference.ts";

const GUARD_BYTES = 64;
const GUARD = 0xa5;

/** One argument of a case: what it is and what it holds. */
export interface Argument {
  /** Element or block type. */
  readonly dtype: DType;
  /** Extents of its axes. */
  readonly shape: readonly number[];
  /** Elements from row to row. */
  readonly rowStride: number;
  /** Its rows side by side, as they are uploaded. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Arguments of a case by name. */
export type Arguments = Readonly<Record<string, Argument>>;

function encode(dtype: DType, values: Float64Array): Uint8Array<ArrayBuffer> {
  if (dtype === "q8_0") return encodeQ8(values);
  assert.ok(isPlain(dtype), `no numbers for ${dtype}`);
  return new Uint8Array(encodeElements(dtype, values).buffer);
}

/** The numbers that bytes of a type stand for. */
export function decode(dtype: DType, bytes: Uint8Array<ArrayBuffer>): Float64Array {
  if (dtype === "q8_0") return decodeQ8(bytes);
  assert.ok(isPlain(dtype), `no numbers for ${dtype}`);
  return decodeElements(dtype, bytes.buffer);
}

/** Numbers as a type holds them. */
export function rounded(dtype: DType, values: Float64Array): Float64Array {
  return dtype === "f32" ? values : decode(dtype, encode(dtype, values));
}

function extentOf(name: string, sizes: Sizes): number {
  if (/^\d+$/.test(name)) return Number(name);
  const [base, divisor] = name.split("/");
  return sizes[base!]! / Number(divisor ?? 1);
}

function tensorParameters(kernel: KernelName): [string, Parameter & { kind: "tensor" }][] {
  return Object.entries(KERNELS[kernel]!.params).flatMap(([name, p]) =>
    p.kind === "tensor" ? [[name, p]] : []
  );
}

/** Whether the first axis of an argument counts the rows of the call. */
export function hasRows(kernel: KernelName, argument: string): boolean {
  const parameter = KERNELS[kernel]!.params[argument]!;
  return parameter.kind === "tensor" && parameter.shape.split(" ")[0] === "rows";
}

/** Makes the arguments of a case: drawn numbers for what the kernel reads, guard bytes for the rest. */
export function argumentsOf(
  kernel: KernelName,
  { entry, one }: { readonly entry: KernelEntry; readonly one: KernelCase },
): Arguments {
  const made: Record<string, Argument> = {};
  tensorParameters(kernel).forEach(([name, parameter], number) => {
    if (parameter.optional && !one.present?.includes(name)) return;
    const shape = parameter.shape.split(" ").map((axis) => extentOf(axis, one.sizes));
    const dtype = isDType(parameter.dtype)
      ? parameter.dtype
      : one.types?.[parameter.dtype] ?? "f32";
    const stream = new RandomStream(7, number);
    const initial = entry.initial?.[name];
    const count = elementsOf(shape);
    const rowStride = one.strides?.[name] ?? count / Math.max(shape[0]!, 1);
    const written = parameter.direction === "out" && initial === undefined;
    const bytes = written
      ? new Uint8Array(bytesOf(dtype, count)).fill(GUARD)
      : encode(dtype, fill(count, (i) => (initial ?? between)(stream.uniform(i), i, one.sizes)));
    made[name] = { dtype, shape, rowStride, bytes };
  });
  for (const [name, truth] of Object.entries(entry.derived ?? {})) {
    const argument = made[name]!;
    const bytes = encode(argument.dtype, truth(valuesOf(made), one.sizes));
    made[name] = { ...argument, bytes };
  }
  return made;
}

const between = (u: number) => 2 * u - 1;

/** The numbers that a kernel gets to see, by argument. */
export function valuesOf(made: Arguments): Record<string, Float64Array> {
  const entries = Object.entries(made);
  return Object.fromEntries(entries.map(([name, a]) => [name, decode(a.dtype, a.bytes)]));
}

/** The arguments of one row of a case, as if the call had no other. */
export function rowOf(kernel: KernelName, made: Arguments, row: number): Arguments {
  const entries = Object.entries(made).map(([name, a]) => {
    if (!hasRows(kernel, name)) return [name, a] as const;
    const size = a.bytes.length / a.shape[0]!;
    const bytes = a.bytes.slice(row * size, (row + 1) * size);
    return [name, { ...a, shape: [1, ...a.shape.slice(1)], bytes }] as const;
  });
  return Object.fromEntries(entries);
}

/** An argument in a backend's memory, with its gaps and guards. */
interface Placed {
  readonly tensor: Tensor;
  readonly rowBytes: number;
  readonly strideBytes: number;
  readonly image: Uint8Array<ArrayBuffer>;
}

function place(backend: Backend, { dtype, shape, rowStride, bytes }: Argument): Placed {
  const rows = shape[0]!;
  const rowBytes = bytes.length / Math.max(rows, 1);
  const strideBytes = bytesOf(dtype, rowStride);
  const image = new Uint8Array(rows * strideBytes + GUARD_BYTES).fill(GUARD);
  for (let row = 0; row < rows; row++) {
    image.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), row * strideBytes);
  }
  const address = backend.alloc(image.length);
  backend.upload(address, image);
  return { tensor: { dtype, shape, address, backend, rowStride }, rowBytes, strideBytes, image };
}

/** Reads an argument back; whatever may not have changed must not have. */
function collect(name: string, placed: Placed, written: boolean): Uint8Array<ArrayBuffer> {
  const { tensor, rowBytes, strideBytes, image } = placed;
  const after = new Uint8Array(image.length);
  tensor.backend.download(after, tensor.address);
  const rows = tensor.shape[0]!;
  const result = new Uint8Array(rows * rowBytes);
  for (let i = 0; i < after.length; i++) {
    const row = Math.floor(i / strideBytes);
    const inside = row < rows && i % strideBytes < rowBytes;
    if (inside) result[row * rowBytes + (i % strideBytes)] = after[i]!;
    if ((!inside || !written) && after[i] !== image[i]) {
      assert.fail(`"${name}" changed at byte ${i}, where nothing was to be written`);
    }
  }
  return result;
}

/** Runs a kernel and returns the bytes of everything that it may write, by argument. */
export function run(
  backend: Backend,
  kernel: KernelName,
  { made, scalars }: { readonly made: Arguments; readonly scalars: Sizes },
): Record<string, Uint8Array<ArrayBuffer>> {
  const placed = Object.entries(made).map(([name, a]) => [name, place(backend, a)] as const);
  const tensors = Object.fromEntries(placed.map(([name, { tensor }]) => [name, tensor]));
  const given = Object.entries(KERNELS[kernel]!.params).flatMap(([name, p]) =>
    p.kind === "scalar" && name in scalars ? [[name, scalars[name]!] as const] : []
  );
  // What follows from the tensors is left to `call`, which this tests along.
  const free = given.filter(([name]) => !isExtent(kernel, name));
  try {
    call(kernel, { tensors, scalars: Object.fromEntries(free) });
    const results: Record<string, Uint8Array<ArrayBuffer>> = {};
    for (const [name, where] of placed) {
      const parameter = KERNELS[kernel]!.params[name]!;
      const written = parameter.kind === "tensor" && parameter.direction !== "in";
      const bytes = collect(name, where, written);
      if (written) results[name] = bytes;
    }
    return results;
  } finally {
    for (const [, { tensor }] of placed) backend.free(tensor.address);
  }
}

/** Whether a scalar is an extent that some tensor's shape tells. */
function isExtent(kernel: KernelName, scalar: string): boolean {
  return tensorParameters(kernel).some(([, p]) =>
    p.shape.split(" ").some((axis) => axis.split("/")[0] === scalar)
  );
}
