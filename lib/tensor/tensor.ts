/**
 * Tensors: what lies where in a backend's memory. A tensor is a description; it owns nothing unless
 * {@linkcode allocate} made it, and then {@linkcode release} gives it back.
 *
 * @module
 */

import { ShapeError } from "../base/errors.ts";
import type { Address, Backend } from "../backend/backend.ts";
import {
  bytesOf,
  decodeElements,
  type DType,
  DTYPE_BLOCKS,
  encodeElements,
  isPlain,
} from "./dtype.ts";
import { elementsOf, sameShape, type Shape, shapeText } from "./shape.ts";

/** Elements of one type in a backend's memory, rows side by side unless `rowStride` says otherwise. */
export interface Tensor {
  /** Element or block type. */
  readonly dtype: DType;
  /** Extents, outermost first. */
  readonly shape: Shape;
  /** Address of the first element. */
  readonly address: Address;
  /** Backend in whose memory it lies. */
  readonly backend: Backend;
  /** Elements from one index of the first axis to the next, where they are not side by side. */
  readonly rowStride?: number;
}

/** Type and shape of a tensor. */
export interface TensorSpec {
  /** Element or block type. @default {"f32"} */
  readonly dtype?: DType;
  /** Extents, outermost first. */
  readonly shape: Shape;
}

/** Elements of one index of the first axis. */
function rowElements(tensor: Pick<Tensor, "shape">): number {
  return elementsOf(tensor.shape.slice(1));
}

/** Elements from one index of the first axis to the next. */
export function rowStrideOf(tensor: Tensor): number {
  return tensor.rowStride ?? rowElements(tensor);
}

/** Whether the rows of a tensor lie side by side. */
export function isDense(tensor: Tensor): boolean {
  return (tensor.shape[0] ?? 1) <= 1 || rowStrideOf(tensor) === rowElements(tensor);
}

/** Bytes of a tensor whose rows lie side by side; rows are whole blocks. @throws {ShapeError} */
export function tensorBytes(spec: TensorSpec): number {
  const dtype = spec.dtype ?? "f32";
  bytesOf(dtype, spec.shape.at(-1) ?? 1);
  return bytesOf(dtype, elementsOf(spec.shape));
}

/** Reserves zeroed memory for a tensor. Give it back with {@linkcode release}. */
export function allocate(backend: Backend, spec: TensorSpec): Tensor {
  const bytes = tensorBytes(spec);
  // An empty tensor has an address too: 0 would mean that it is absent.
  const address = backend.alloc(Math.max(bytes, 1));
  return { dtype: spec.dtype ?? "f32", shape: [...spec.shape], address, backend };
}

/** Gives back the memory of a tensor that {@linkcode allocate} or {@linkcode fromValues} made. */
export function release(tensor: Tensor): void {
  tensor.backend.free(tensor.address);
}

/**
 * Reserves a tensor and fills it with numbers, rounded to its type.
 *
 * @example
 * ```ts
 * import { openBackend } from "@llamero/llamero";
 *
 * const backend = await openBackend();
 * const x = fromValues(backend, { shape: [2, 2], values: [1, 2, 3, 4] });
 * ```
 * @throws {ShapeError} When the count differs from the shape's, or the type has blocks.
 */
export function fromValues(
  backend: Backend,
  source: TensorSpec & { readonly values: ArrayLike<number> },
): Tensor {
  const { values, shape } = source;
  const dtype = source.dtype ?? "f32";
  if (values.length !== elementsOf(shape)) {
    throw new ShapeError(
      `Cannot fill ${shapeText(shape)}: ${values.length} values are given, ${
        elementsOf(shape)
      } were wanted`,
    );
  }
  if (!isPlain(dtype)) {
    throw new ShapeError(
      `Cannot fill a tensor of ${dtype} from numbers: upload f32 and convert it`,
    );
  }
  const tensor = allocate(backend, { dtype, shape });
  backend.upload(tensor.address, encodeElements(dtype, values));
  return tensor;
}

/**
 * Copies the elements of a tensor out, row after row, as doubles.
 *
 * @throws {ShapeError} When the type has blocks.
 */
export function toValues(tensor: Tensor): Float64Array<ArrayBuffer> {
  const { dtype, shape, address, backend } = tensor;
  if (!isPlain(dtype)) {
    throw new ShapeError(`Cannot read a tensor of ${dtype} as numbers: convert it to f32 first`);
  }
  if (isDense(tensor)) {
    const bytes = new Uint8Array(tensorBytes({ dtype, shape }));
    if (bytes.length > 0) backend.download(bytes, address);
    return decodeElements(dtype, bytes.buffer);
  }
  const width = rowElements(tensor);
  const values = new Float64Array(shape[0]! * width);
  for (let row = 0; row < shape[0]!; row++) {
    const bytes = new Uint8Array(bytesOf(dtype, width));
    backend.download(bytes, address + bytesOf(dtype, row * rowStrideOf(tensor)));
    values.set(decodeElements(dtype, bytes.buffer), row * width);
  }
  return values;
}

/** A range of rows or columns. */
export interface Range {
  /** Index of the first, from 0. */
  readonly first: number;
  /** How many. */
  readonly count: number;
}

function checkRange(what: string, range: Range, extent: number): void {
  const { first, count } = range;
  if (!(Number.isInteger(first) && Number.isInteger(count) && first >= 0 && count >= 0)) {
    throw new ShapeError(`Cannot take ${count} ${what} from ${first}: counts were wanted`);
  }
  if (first + count > extent) {
    throw new ShapeError(`Cannot take ${count} ${what} from ${first}: there are ${extent}`);
  }
}

/** Some indices of the first axis, without a copy. @throws {ShapeError} */
export function rows(tensor: Tensor, range: Range): Tensor {
  checkRange("rows", range, tensor.shape[0] ?? 1);
  const start = bytesOf(tensor.dtype, range.first * rowStrideOf(tensor));
  return {
    ...tensor,
    shape: [range.count, ...tensor.shape.slice(1)],
    address: tensor.address + start,
  };
}

/** Some columns of a matrix [rows, columns], without a copy: a view whose rows lie apart. */
export function columns(tensor: Tensor, range: Range): Tensor {
  if (tensor.shape.length !== 2) {
    throw new ShapeError(
      `Cannot take columns of ${shapeText(tensor.shape)}: two axes were wanted`,
    );
  }
  checkRange("columns", range, tensor.shape[1]!);
  const rowStride = rowStrideOf(tensor);
  return {
    ...tensor,
    shape: [tensor.shape[0]!, range.count],
    address: tensor.address + bytesOf(tensor.dtype, range.first),
    rowStride,
  };
}

/**
 * The same elements under another shape, without a copy. Rows that lie apart keep their distance, so
 * that only the axes after the first may change.
 *
 * @throws {ShapeError} When the number of elements differs.
 */
export function reshape(tensor: Tensor, shape: Shape): Tensor {
  const fits = isDense(tensor)
    ? elementsOf(shape) === elementsOf(tensor.shape)
    : shape[0] === tensor.shape[0] && rowElements({ shape }) === rowElements(tensor);
  const block = DTYPE_BLOCKS[tensor.dtype].elements;
  if (!fits || (shape.at(-1) ?? 1) % block !== 0) {
    throw new ShapeError(
      `Cannot reshape ${shapeText(tensor.shape)} of ${tensor.dtype} to ${shapeText(shape)}`,
    );
  }
  if (!isDense(tensor) || sameShape(shape, tensor.shape)) return { ...tensor, shape };
  const { dtype, address, backend } = tensor;
  return { dtype, address, backend, shape };
}
