/**
 * The weights of an open checkpoint as another format has them: under its names, in its rotary
 * layout, of the wanted type, whole or the slice of one of several files.
 *
 * @module
 */

import type { EventLoop } from "../base/event_loop.ts";
import { tensorBytes } from "../formats/file_dtype.ts";
import type { TensorRecord, TensorSource } from "../formats/tensor_file.ts";
import type { RopeLayout } from "../model/rope.ts";
import type { NameScheme, WeightSpec } from "../model/weights.ts";
import { cutColumns, cutRows } from "./byte_streams.ts";
import { castChunks, type CastReport } from "./cast.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { reorderRows } from "./rope_rows.ts";

/** What the work tells and listens to while bytes flow. */
export interface Flow {
  /** Gives the event loop its turns and stops the work when it is aborted. */
  readonly loop: EventLoop;
  /** Told after each chunk how many bytes it had. */
  readonly written: (bytes: number) => void;
  /** Told of each tensor that had finite numbers beyond the range of its new type, and how many. */
  readonly overflowed: (name: string, count: number) => void;
}

/** One of equal slices of a tensor. */
export interface TensorSlice {
  /** 0 for rows, 1 for columns. */
  readonly axis: 0 | 1;
  /** Which slice, from 0. */
  readonly index: number;
  /** How many there are. */
  readonly count: number;
}

/** How a weight is to stand in the target. */
export interface MapOptions {
  /** Whose names it gets. */
  readonly scheme: NameScheme;
  /** The order of rows in queries and keys. */
  readonly ropeLayout: RopeLayout;
  /** Its element type. */
  readonly dtype: string;
  /** The slice that is wanted; the whole without it. */
  readonly slice?: TensorSlice | undefined;
  /** What the work tells. */
  readonly flow: Flow;
}

/** A weight of a checkpoint as a source to write from; nothing is read before its turn has come. */
export function mapTensor(
  source: Checkpoint,
  spec: WeightSpec,
  options: MapOptions,
): TensorSource {
  const { scheme, dtype, slice, flow } = options;
  const shape = [...spec.shape];
  if (slice !== undefined) shape[slice.axis]! /= slice.count;
  const name = spec.names[scheme];
  const report: CastReport = { overflowed: 0 };
  return {
    name,
    dtype,
    shape,
    async *data() {
      for (const chunk of weightChunks(source, spec, { ...options, report })) {
        await flow.loop.turn();
        yield chunk;
        flow.written(chunk.length);
      }
      if (report.overflowed > 0) flow.overflowed(name, report.overflowed);
    },
  };
}

function weightChunks(
  source: Checkpoint,
  spec: WeightSpec,
  options: MapOptions & { readonly report: CastReport },
): Iterable<Uint8Array> {
  const { dtype, ropeLayout } = options;
  const whole = source.tensors.get(spec.name)!;
  // Slices of rows hold whole heads, so that they may be taken before the rows of heads are reordered.
  const record = options.slice === undefined ? whole : rowsOf(whole, options.slice) ?? whole;
  const slice = record === whole ? options.slice : undefined;
  const rowBytes = tensorBytes(dtype, spec.shape.slice(-1))!;
  const chunks = castChunks(record, options);
  const reordered = spec.ropeHeads === 0 || ropeLayout === source.ropeLayout
    ? chunks
    : reorderRows(chunks, { headDim: source.config.headDim, rowBytes, to: ropeLayout });
  if (slice === undefined) return reordered;
  const bytes = (slice.axis === 0 ? spec.shape[0]! * rowBytes : rowBytes) / slice.count;
  const span = { from: slice.index * bytes, to: (slice.index + 1) * bytes };
  return slice.axis === 0 ? cutRows(reordered, span) : cutColumns(reordered, { ...span, rowBytes });
}

/** A slice of rows as a record of its own, which spares reading the rest; not of what is stored in another way. */
function rowsOf(record: TensorRecord, slice: TensorSlice): TensorRecord | undefined {
  if (slice.axis !== 0 || record.stored !== undefined) return undefined;
  const [rows, ...others] = record.shape as [number, ...number[]];
  const bytes = record.bytes / slice.count;
  return {
    ...record,
    shape: [rows / slice.count, ...others],
    offset: record.offset + slice.index * bytes,
    bytes,
  };
}
