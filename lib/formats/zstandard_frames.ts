/**
 * Where the frames of a Zstandard file end, without decompressing them (RFC 8878, section 3).
 *
 * @module
 */

const FRAME = 0xfd2f_b528;
/** The first of sixteen numbers that begin a frame to be skipped. */
const SKIPPABLE = 0x184d_2a50;
const RLE = 1;
/** Bytes of the dictionary's id and of the content's size, by their flags. */
const ID_BYTES = [0, 1, 2, 4] as const;
const SIZE_BYTES = [0, 2, 4, 8] as const;

function word(bytes: ArrayLike<number>, at = 0): number {
  return (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0;
}

function beginsFrame(magic: number): boolean {
  return magic === FRAME || (magic & ~15) >>> 0 === SKIPPABLE;
}

/** Whether a file begins as Zstandard files do. */
export function isZstandard(head: Uint8Array): boolean {
  return head.length >= 4 && beginsFrame(word(head));
}

/** What the next bytes are. */
type Part =
  | "magic"
  | "skippable"
  | "descriptor"
  | "header"
  | "block"
  | "skipped"
  | "unknown"
  | "end";

/** Follows one frame through chunks that are cut anywhere. */
export class ZstandardFrame {
  #part: Part = "magic";
  /** Bytes of the part that are to come, and those that have come of one that is looked at. */
  #left = 4;
  #seen: number[] = [];
  #checksum = false;
  /** What stands behind bytes that are skipped. */
  #then: Part = "block";

  /** Whether the frame has ended. */
  get complete(): boolean {
    return this.#part === "end";
  }

  /** Takes the next bytes, up to the frame's end; gives how many it took. */
  take(chunk: Uint8Array): number {
    let at = 0;
    while (at < chunk.length && !this.complete) {
      const count = Math.min(this.#left, chunk.length - at);
      if (this.#part !== "skipped") this.#seen.push(...chunk.subarray(at, at + count));
      this.#left -= count;
      at += count;
      // Parts of no bytes are over at once.
      while (this.#left === 0 && !this.complete) this.#end();
    }
    return at;
  }

  #begin(part: Part, bytes: number): void {
    this.#part = part;
    this.#left = bytes;
    this.#seen = [];
  }

  #skip(bytes: number, then: Part): void {
    this.#then = then;
    this.#begin("skipped", bytes);
  }

  #end(): void {
    const seen = this.#seen;
    switch (this.#part) {
      case "magic":
        return this.#magic(word(seen));
      case "skippable":
        return this.#skip(word(seen), "end");
      case "descriptor":
        return this.#descriptor(seen[0]!);
      case "header":
        return this.#begin("block", 3);
      case "block":
        return this.#block(seen[0]! | seen[1]! << 8 | seen[2]! << 16);
      case "skipped":
        return this.#begin(this.#then, this.#then === "block" ? 3 : 0);
    }
  }

  #magic(magic: number): void {
    if (magic === FRAME) this.#begin("descriptor", 1);
    else if (beginsFrame(magic)) this.#begin("skippable", 4);
    // The decompressor refuses what this is.
    else this.#begin("unknown", Infinity);
  }

  #descriptor(byte: number): void {
    const single = (byte & 0x20) !== 0;
    this.#checksum = (byte & 4) !== 0;
    const size = byte >> 6;
    const sizeBytes = size === 0 && single ? 1 : SIZE_BYTES[size as 0 | 1 | 2 | 3];
    const bytes = (single ? 0 : 1) + ID_BYTES[(byte & 3) as 0 | 1 | 2 | 3] + sizeBytes;
    this.#begin("header", bytes);
  }

  #block(header: number): void {
    const last = (header & 1) !== 0;
    const bytes = (header >> 1 & 3) === RLE ? 1 : header >> 3;
    if (last) this.#skip(bytes + (this.#checksum ? 4 : 0), "end");
    else this.#skip(bytes, "block");
  }
}

/** The frames of a file, one after another: node's decompressor takes no more than one. */
export class ZstandardFrames {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array();

  /** Reads a file's chunks. */
  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Whether there is more to read. */
  async more(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const { value, done } = await this.#chunks.next();
      if (done === true) return false;
      this.#rest = value;
    }
    return true;
  }

  /** The chunks of the next frame. @throws What `cut` makes, if the file ends inside it. */
  async *next(cut: () => Error): AsyncGenerator<Uint8Array> {
    const frame = new ZstandardFrame();
    while (!frame.complete) {
      if (!await this.more()) throw cut();
      const taken = frame.take(this.#rest);
      const part = this.#rest.subarray(0, taken);
      this.#rest = this.#rest.subarray(taken);
      yield part;
    }
  }

  /** Ends reading. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}
