/**
 * Texts of any length as chunks of bytes, decompressed where they are gzip or Zstandard.
 *
 * @module
 */

import { type FileHandle, open } from "node:fs/promises";
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { asError, FormatError, LlameroError } from "../base/errors.ts";
import { fileError } from "../base/file_error.ts";
import { quotedPath } from "../base/quoted.ts";
import { isZstandard, ZstandardFrames } from "./zstandard_frames.ts";

/** A text to read: a file, or a stream such as stdin. */
export interface TextInput {
  /** The path, or the stream's name for errors. */
  readonly name: string;
  /** The bytes, where they do not come from a file of that name. */
  readonly stream?: AsyncIterable<Uint8Array> | undefined;
}

/** How a text is read. */
export interface TextChunkOptions {
  /** Byte of the decompressed text to begin with; default 0. */
  readonly start?: number | undefined;
  /** Counts the bytes as they are stored, as they are read. */
  readonly meter?: { stored: number } | undefined;
}

/** Bytes that one read asks for. */
const CHUNK = 1 << 22;

/** Chunks of a file as it is stored; of a pipe or device too. */
async function* fileChunks(path: string, start: number): AsyncGenerator<Uint8Array> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path);
    let position = (await handle.stat()).isFile() ? start : null;
    for (;;) {
      const buffer = new Uint8Array(CHUNK);
      const { bytesRead } = await handle.read(buffer, 0, CHUNK, position);
      if (bytesRead === 0) return;
      if (position !== null) position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } catch (thrown) {
    throw fileError(thrown, { action: "read", path });
  } finally {
    await handle?.close();
  }
}

/** The first bytes of a text, at least four where it has them. */
async function peek(chunks: AsyncGenerator<Uint8Array>): Promise<Uint8Array> {
  let head: Uint8Array = new Uint8Array();
  while (head.length < 4) {
    const { value, done } = await chunks.next();
    if (done === true) break;
    head = head.length === 0 ? value : concatenated(head, value);
  }
  return head;
}

function concatenated(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

async function* rejoined(
  head: Uint8Array,
  chunks: AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    if (head.length > 0) yield head;
    yield* chunks;
  } finally {
    await chunks.return(undefined);
  }
}

async function* metered(
  chunks: AsyncIterable<Uint8Array>,
  meter: { stored: number },
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    meter.stored += chunk.length;
    yield chunk;
  }
}

/** What node's decompressors have in common. */
type Decompressor = ReturnType<typeof createGunzip> | ReturnType<typeof createZstdDecompress>;

async function* decompressed(
  name: string,
  chunks: AsyncIterable<Uint8Array>,
  decompressor: Decompressor,
): AsyncGenerator<Uint8Array> {
  const source = Readable.from(chunks);
  source.on("error", (error) => decompressor.destroy(error));
  source.pipe(decompressor);
  try {
    for await (const bytes of decompressor) yield bytes as Uint8Array;
  } catch (thrown) {
    if (thrown instanceof LlameroError) throw thrown;
    throw damaged(name, asError(thrown).message, thrown);
  } finally {
    source.destroy();
    decompressor.destroy();
  }
}

function damaged(name: string, reason: string, cause?: unknown): FormatError {
  return new FormatError(`Cannot decompress ${quotedPath(name)}: ${reason}`, {
    file: name,
    cause,
    hint: "the file is damaged or not complete",
  });
}

async function* decompressedFrames(
  name: string,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const frames = new ZstandardFrames(chunks);
  try {
    while (await frames.more()) {
      const frame = frames.next(() => damaged(name, "unexpected end of file"));
      yield* decompressed(name, frame, createZstdDecompress({ chunkSize: CHUNK }));
    }
  } finally {
    await frames.close();
  }
}

async function* skipping(
  chunks: AsyncIterable<Uint8Array>,
  start: number,
): AsyncGenerator<Uint8Array> {
  let left = start;
  for await (const chunk of chunks) {
    if (chunk.length > left) yield chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}

/**
 * Chunks of a text; which compression it has, its first bytes say.
 *
 * @throws {LlameroError} If it cannot be read.
 * @throws {FormatError} If what is compressed is damaged.
 */
export async function* textChunks(
  input: TextInput,
  { start = 0, meter = { stored: 0 } }: TextChunkOptions = {},
): AsyncGenerator<Uint8Array> {
  const { name, stream } = input;
  const stored = stream === undefined ? fileChunks(name, 0) : streamChunks(stream);
  const head = await peek(stored);
  if (head[0] === 0x1f && head[1] === 0x8b) {
    const all = metered(rejoined(head, stored), meter);
    yield* skipping(decompressed(name, all, createGunzip({ chunkSize: CHUNK })), start);
  } else if (isZstandard(head)) {
    const all = metered(rejoined(head, stored), meter);
    yield* skipping(decompressedFrames(name, all), start);
  } else if (start > 0 && stream === undefined) {
    await stored.return(undefined);
    meter.stored += start;
    yield* metered(fileChunks(name, start), meter);
  } else {
    yield* skipping(metered(rejoined(head, stored), meter), start);
  }
}

async function* streamChunks(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* stream;
}
