/**
 * Tensors as streams of bytes in row-major order: regrouped to whole units, cut by rows and columns.
 *
 * A chunk that is yielded may be overwritten by the next one.
 *
 * @module
 */

/** Bytes that regrouped chunks have about. */
const CHUNK_BYTES = 1 << 20;

/** Yields the same bytes in chunks of whole units. @throws {RangeError} Where the end is no whole unit. */
export function* inUnits(
  chunks: Iterable<Uint8Array>,
  options: { readonly unitBytes: number },
): Generator<Uint8Array, void, void> {
  const { unitBytes } = options;
  const room = new Uint8Array(unitBytes * Math.max(1, Math.floor(CHUNK_BYTES / unitBytes)));
  let filled = 0;
  for (const chunk of chunks) {
    if (filled === 0 && chunk.length % unitBytes === 0) {
      yield chunk;
      continue;
    }
    for (let at = 0; at < chunk.length;) {
      const count = Math.min(chunk.length - at, room.length - filled);
      room.set(chunk.subarray(at, at + count), filled);
      at += count;
      filled += count;
      if (filled < room.length) continue;
      yield room;
      filled = 0;
    }
  }
  if (filled % unitBytes !== 0) {
    throw new RangeError(`A stream ended inside a unit of ${unitBytes} bytes`);
  }
  if (filled > 0) yield room.subarray(0, filled);
}

/** A part of a matrix, in bytes: of the whole stream for rows, of each row for columns. */
export interface ByteSpan {
  /** The first byte. */
  readonly from: number;
  /** The byte behind the last. */
  readonly to: number;
}

/** Yields a span of a stream, and reads no further. */
export function* cutRows(
  chunks: Iterable<Uint8Array>,
  { from, to }: ByteSpan,
): Generator<Uint8Array, void, void> {
  let at = 0;
  for (const chunk of chunks) {
    const [begin, end] = [Math.max(from - at, 0), Math.min(to - at, chunk.length)];
    if (begin < end) yield chunk.subarray(begin, end);
    at += chunk.length;
    if (at >= to) return;
  }
}

/** Yields the same span of every row. */
export function* cutColumns(
  chunks: Iterable<Uint8Array>,
  options: ByteSpan & { readonly rowBytes: number },
): Generator<Uint8Array, void, void> {
  const { from, to, rowBytes } = options;
  const width = to - from;
  let out = new Uint8Array(0);
  for (const chunk of inUnits(chunks, { unitBytes: rowBytes })) {
    const rows = chunk.length / rowBytes;
    if (out.length < rows * width) out = new Uint8Array(rows * width);
    for (let row = 0; row < rows; row++) {
      out.set(chunk.subarray(row * rowBytes + from, row * rowBytes + to), row * width);
    }
    yield out.subarray(0, rows * width);
  }
}
