/**
 * Float32 rows as blocks, chunk by chunk on a backend.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { FormatError } from "../base/errors.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import { bytesOf, type DType } from "../tensor/dtype.ts";
import { convert, quantizeWeighted } from "../tensor/ops.ts";
import { allocate, fromValues, release, rows as rowsOf, type Tensor } from "../tensor/tensor.ts";

/** Float32 bytes that are quantized at once: enough rows for many threads, few enough for any memory. */
const CHUNK_BYTES = 4 << 20;

/** A matrix that is quantized. */
export interface MatrixToQuantize {
  /** Its name, for messages. */
  readonly name: string;
  /** The file it comes from, for messages. */
  readonly file: string;
  /** Rows and columns. */
  readonly shape: readonly number[];
  /** Its numbers as float32, row-major. */
  readonly data: AsyncIterable<Uint8Array>;
}

/** How it is quantized. */
export interface QuantizeRowsOptions {
  /** The block type, or f16. */
  readonly dtype: DType;
  /** Whose kernels compute. */
  readonly backend: Backend;
  /** Importance of every column; all count the same without it. */
  readonly importance?: Float32Array | undefined;
  /** Told of every chunk: the numbers and what became of them, both overwritten by the next. */
  readonly made?: ((values: Float32Array, bytes: Uint8Array) => void) | undefined;
}

/** Tensors that a matrix passes through. */
interface Stage {
  readonly x: Tensor;
  readonly out: Tensor;
  readonly importance: Tensor | undefined;
}

/**
 * Yields the bytes of a matrix in blocks; a chunk is overwritten by the next one. Memory: some rows of
 * both types.
 *
 * @throws {FormatError} For a number that is not finite, naming its row and column.
 */
export async function* quantizeRows(
  matrix: MatrixToQuantize,
  options: QuantizeRowsOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const { backend, dtype } = options;
  const [rows, columns] = matrix.shape as [number, number];
  const most = Math.min(rows, Math.max(1, Math.floor(CHUNK_BYTES / (4 * columns))));
  const values = new Float32Array(most * columns);
  const bytes = new Uint8Array(bytesOf(dtype, most * columns));
  const held: Tensor[] = [];
  const hold = (tensor: Tensor): Tensor => (held.push(tensor), tensor);
  try {
    const stage: Stage = {
      x: hold(allocate(backend, { shape: [most, columns] })),
      out: hold(allocate(backend, { dtype, shape: [most, columns] })),
      // Half precision has no choice to make: every number is rounded to the nearest.
      importance: options.importance === undefined || dtype === "f16"
        ? undefined
        : hold(fromValues(backend, { shape: [columns], values: options.importance })),
    };
    let done = 0;
    for await (const count of fill(matrix.data, values)) {
      const some = values.subarray(0, count);
      checkFinite(some, { matrix, row: done });
      const made = bytes.subarray(0, bytesOf(dtype, count));
      compute(stage, some, made);
      options.made?.(some, made);
      yield made;
      done += count / columns;
    }
  } finally {
    for (const tensor of held) release(tensor);
  }
}

function compute({ x, out, importance }: Stage, values: Float32Array, bytes: Uint8Array): void {
  const range = { first: 0, count: values.length / x.shape[1]! };
  const tensors = { x: rowsOf(x, range), out: rowsOf(out, range) };
  x.backend.upload(x.address, values);
  if (importance === undefined) convert(tensors);
  else quantizeWeighted({ ...tensors, importance });
  x.backend.download(bytes, out.address);
}

/** Fills the room again and again, and yields how many numbers are in it. */
async function* fill(
  chunks: AsyncIterable<Uint8Array>,
  room: Float32Array<ArrayBuffer>,
): AsyncGenerator<number, void, void> {
  const target = new Uint8Array(room.buffer);
  let filled = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      const count = Math.min(chunk.length - at, target.length - filled);
      target.set(chunk.subarray(at, at + count), filled);
      at += count;
      filled += count;
      if (filled < target.length) continue;
      yield room.length;
      filled = 0;
    }
  }
  if (filled > 0) yield filled / 4;
}

const EXPONENT = 0x7f800000;

function checkFinite(
  values: Float32Array,
  { matrix, row }: { readonly matrix: MatrixToQuantize; readonly row: number },
): void {
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) {
    if ((bits[i]! & EXPONENT) !== EXPONENT) continue;
    const columns = matrix.shape[1]!;
    throw new FormatError(
      `Cannot quantize ${quotedPath(matrix.file)}: tensor ${quoted(matrix.name)} has ${
        values[i]
      } ` +
        `in row ${row + Math.floor(i / columns)}, column ${i % columns}, ` +
        "and finite numbers were wanted",
      { file: matrix.file },
    );
  }
}
