/**
 * The numbers of a tensor in a file that a rank has of it: all, or a slice, its rotary rows in the
 * order that training wants.
 *
 * @module
 */

import { FormatError } from "../base/errors.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import { ropeRows } from "../checkpoint/rope_rows.ts";
import { tensorValues, type Values } from "../checkpoint/tensor_values.ts";
import type { TensorRecord } from "../formats/tensor_file.ts";
import { sliceRuns } from "../model/training/parts.ts";
import type { Parameter } from "../model/training/trainable.ts";

/** What is wanted of a tensor. */
export interface WantedValues {
  /** The parameter, with its slice. */
  readonly parameter: Pick<Parameter, "spec" | "slice" | "count">;
  /** The checkpoint, as the user named it. */
  readonly path: string;
  /** The tensor, as messages call it. */
  readonly name: string;
  /** Rows of a head, where the file's rotary rows are interleaved and are to be in halves. */
  readonly rope?: number | undefined;
}

/**
 * Reads what a rank has of a tensor [count].
 *
 * @throws {FormatError} Where the tensor is not there, has a type that is no number's, or another size.
 */
export function heldValues(
  record: TensorRecord | undefined,
  { parameter, path, name, rope }: WantedValues,
): Float32Array<ArrayBuffer> {
  const elements = parameter.spec.shape.reduce((product, extent) => product * extent, 1);
  const chunks = record && tensorValues(record);
  const refuse = (found: number) => {
    throw new FormatError(
      `Cannot load ${quotedPath(path)}: ${quoted(name)} has ${found} numbers, ` +
        `${elements} were wanted`,
      { file: path },
    );
  };
  if (chunks === undefined) return refuse(0);
  if (rope !== undefined) {
    const whole = new Float32Array(elements);
    const found = copyRuns(chunks, [{ whole: 0, held: 0, count: elements }], whole);
    if (found !== elements) return refuse(found);
    return held(inHalves(whole, { headDim: rope, columns: parameter.spec.shape[1]! }), parameter);
  }
  const values = new Float32Array(parameter.count);
  const found = copyRuns(chunks, sliceRuns(parameter), values);
  return found === elements ? values : refuse(found);
}

/** A whole tensor with the rows of every head reordered. */
function inHalves(
  whole: Float32Array<ArrayBuffer>,
  { headDim, columns }: { readonly headDim: number; readonly columns: number },
): Float32Array<ArrayBuffer> {
  const rows = ropeRows(headDim, "half");
  const out = new Float32Array(whole.length);
  for (let first = 0; first < whole.length; first += headDim * columns) {
    rows.forEach((from, row) => {
      const source = first + from * columns;
      out.set(whole.subarray(source, source + columns), first + row * columns);
    });
  }
  return out;
}

/** What of a whole tensor is here. */
function held(
  whole: Float32Array<ArrayBuffer>,
  parameter: WantedValues["parameter"],
): Float32Array<ArrayBuffer> {
  if (parameter.slice === undefined) return whole;
  const values = new Float32Array(parameter.count);
  copyRuns([whole], sliceRuns(parameter), values);
  return values;
}

/** Copies runs, which ascend, out of chunks that follow one another; returns how long those are. */
function copyRuns(
  chunks: Iterable<Values>,
  runs: Iterable<{ readonly whole: number; readonly held: number; readonly count: number }>,
  target: Float32Array<ArrayBuffer>,
): number {
  const ascending = runs[Symbol.iterator]();
  let run = ascending.next();
  let at = 0;
  for (const chunk of chunks) {
    const end = at + chunk.length;
    while (!run.done && run.value.whole < end) {
      const { whole, held, count } = run.value;
      const [from, to] = [Math.max(whole, at), Math.min(whole + count, end)];
      // A tensor that is too long is told once its length is known.
      if (to > from) target.set(chunk.subarray(from - at, to - at), held + from - whole);
      if (whole + count > end) break;
      run = ascending.next();
    }
    at = end;
  }
  return at;
}
