/**
 * The bytes of a tensor record, whole or chunk by chunk.
 *
 * @module
 */

import { refusal, type TensorBytes, type TensorRecord } from "./tensor_file.ts";
import { InputFile } from "./input_file.ts";
import { groupedChunks } from "./grouped_read.ts";
import { partsChunks } from "./parts_read.ts";
import { stridedChunks } from "./strided_read.ts";

/** Bytes read at once when a tensor is streamed: large enough for the disk, small enough for the cache. */
const CHUNK_BYTES = 4 << 20;

/** Takes a chunk of a tensor that begins at byte `offset` of it; the chunk is overwritten after the call has ended. */
export type TensorSink = (chunk: Uint8Array, offset: number) => void | Promise<void>;

/** How a tensor is streamed. */
export interface ReadTensorOptions {
  /** Bytes per chunk, default 4 MiB. */
  readonly chunkBytes?: number;
}

/** Yields a tensor's bytes in order, as its `dtype` says; each chunk is a view that the next one overwrites. */
export function* tensorChunks(
  record: TensorRecord,
  options: ReadTensorOptions = {},
): Generator<Uint8Array, void, void> {
  const chunkBytes = options.chunkBytes ?? CHUNK_BYTES;
  if (record.stored?.kind === "parts") {
    return yield* partsChunks(record, { chunkBytes, chunksOf: tensorChunks });
  }
  using file = InputFile.open(record.file);
  if (record.stored?.kind === "strided") return yield* stridedChunks(file, record, { chunkBytes });
  if (record.stored?.kind === "grouped") return yield* groupedChunks(file, record, { chunkBytes });
  checkSpan(file, record, record.bytes);
  const buffer = new Uint8Array(Math.min(record.bytes, chunkBytes));
  for (let done = 0; done < record.bytes;) {
    const chunk = buffer.subarray(0, Math.min(buffer.length, record.bytes - done));
    file.readInto(chunk, record.offset + done);
    yield chunk;
    done += chunk.length;
  }
}

/** Reads a whole tensor into memory of its own; its size was checked against the file first. */
// deno-lint-ignore require-await -- the promise is the seam: callers must not depend on the reading being synchronous
export async function readTensor(record: TensorRecord): Promise<Uint8Array> {
  if (record.stored === undefined) {
    using file = InputFile.open(record.file);
    checkSpan(file, record, record.bytes);
    return file.read(record.offset, record.bytes);
  }
  const bytes = new Uint8Array(record.bytes);
  let done = 0;
  for (const chunk of tensorChunks(record)) {
    bytes.set(chunk, done);
    done += chunk.length;
  }
  return bytes;
}

/** Streams a tensor's bytes into `sink`, in order. */
export async function readTensorInto(
  record: TensorRecord,
  sink: TensorSink,
  options: ReadTensorOptions = {},
): Promise<void> {
  let offset = 0;
  for (const chunk of tensorChunks(record, options)) {
    await sink(chunk, offset);
    offset += chunk.length;
  }
}

/** The bytes of a record as what a writer streams from. */
export function tensorBytesOf(record: TensorRecord): TensorBytes {
  return () => tensorChunks(record);
}

/** The file may have been cut since its header was read. */
function checkSpan(file: InputFile, record: TensorRecord, bytes: number): void {
  if (record.offset + bytes <= file.size) return;
  throw refusal(
    record.file,
    `tensor ${JSON.stringify(record.name)} ends at byte ${record.offset + bytes}, ` +
      `and the file has ${file.size} now`,
    { offset: record.offset },
  );
}
