/**
 * Writing a ZIP archive of stored entries, each aligned, streaming (PKWARE APPNOTE 6.3, zip64 where a number needs it).
 *
 * @module
 */

import { crc32 } from "node:zlib";
import type { AtomicFile } from "../base/atomic_file.ts";
import { ByteWriter } from "./byte_writer.ts";
import { padded } from "./file_dtype.ts";

/** PyTorch maps storages, and wants them at multiples of this. */
const ALIGNMENT = 64;

/** Id of the extra field that pads; PyTorch uses the same. */
const PADDING_ID = 0x4246;

const UTF8_NAMES = 0x0800;
const VERSION = 45;
/** The first day that the format knows: archives of equal content are equal. */
const DATE = 0x0021;
const IN_ZIP64 = 0xffffffff;

interface Written {
  readonly name: Uint8Array;
  readonly offset: number;
  readonly bytes: number;
  readonly crc: number;
}

/** How an archive is written. */
export interface ZipWriterOptions {
  /** Numbers from here on are written in 64 bits; for tests of that, which would need 4 GiB otherwise. */
  readonly longFrom?: number;
}

/** Appends entries to a file; `finish` writes the directory, and the caller commits the file. */
export class ZipWriter {
  readonly #file: AtomicFile;
  readonly #longFrom: number;
  readonly #entries: Written[] = [];

  /** Starts an archive at the beginning of an empty file. */
  constructor(file: AtomicFile, options: ZipWriterOptions = {}) {
    this.#file = file;
    this.#longFrom = options.longFrom ?? IN_ZIP64;
  }

  /** Appends an entry of `bytes` bytes, which `chunks` yields in order. */
  async add(
    name: string,
    content: {
      readonly bytes: number;
      readonly chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
    },
  ): Promise<void> {
    const encoded = new TextEncoder().encode(name);
    const { bytes } = content;
    const offset = this.#file.length;
    this.#file.write(this.#localHeader(encoded, bytes, offset));
    const start = this.#file.length;
    let crc = 0;
    for await (const chunk of content.chunks) {
      crc = crc32(chunk, crc);
      this.#file.write(chunk);
    }
    if (this.#file.length - start !== bytes) {
      throw new RangeError(`Entry ${name} got ${this.#file.length - start} bytes, wanted ${bytes}`);
    }
    const patch = new ByteWriter();
    patch.u32(crc);
    this.#file.writeAt(patch.finish(), offset + 14);
    this.#entries.push({ name: encoded, offset, bytes, crc });
  }

  #localHeader(name: Uint8Array, bytes: number, offset: number): Uint8Array {
    const long = this.#isLong(bytes) ? 20 : 0;
    const before = offset + 30 + name.length + long + 4;
    const fill = padded(before, ALIGNMENT) - before;
    const writer = new ByteWriter();
    writer.u32(0x04034b50);
    writer.u16(VERSION);
    writer.u16(UTF8_NAMES);
    writer.u16(0);
    writer.u16(0);
    writer.u16(DATE);
    writer.u32(0);
    writer.u32(this.#short(bytes));
    writer.u32(this.#short(bytes));
    writer.u16(name.length);
    writer.u16(long + 4 + fill);
    writer.bytes(name);
    if (long > 0) writeLong(writer, [bytes, bytes]);
    writer.u16(PADDING_ID);
    writer.u16(fill);
    writer.zeros(fill);
    return writer.finish();
  }

  #isLong(value: number): boolean {
    return value >= this.#longFrom;
  }

  #short(value: number): number {
    return this.#isLong(value) ? IN_ZIP64 : value;
  }

  /** Writes the directory and the records at the end. */
  finish(): void {
    const writer = new ByteWriter();
    for (const entry of this.#entries) this.#centralEntry(writer, entry);
    const offset = this.#file.length;
    const bytes = writer.length;
    const count = this.#entries.length;
    const long = count >= 0xffff || this.#isLong(offset) || this.#isLong(bytes);
    if (long) {
      writeEnd64(writer, { count, bytes, offset });
    }
    writer.u32(0x06054b50);
    writer.u32(0);
    for (let i = 0; i < 2; i++) writer.u16(long ? 0xffff : count);
    writer.u32(long ? IN_ZIP64 : bytes);
    writer.u32(long ? IN_ZIP64 : offset);
    writer.u16(0);
    this.#file.write(writer.finish());
  }

  #centralEntry(writer: ByteWriter, { name, offset, bytes, crc }: Written): void {
    const numbers = [
      ...(this.#isLong(bytes) ? [bytes, bytes] : []),
      ...(this.#isLong(offset) ? [offset] : []),
    ];
    writer.u32(0x02014b50);
    writer.u16(VERSION);
    writer.u16(VERSION);
    writer.u16(UTF8_NAMES);
    writer.u16(0);
    writer.u16(0);
    writer.u16(DATE);
    writer.u32(crc);
    writer.u32(this.#short(bytes));
    writer.u32(this.#short(bytes));
    writer.u16(name.length);
    writer.u16(numbers.length === 0 ? 0 : 4 + 8 * numbers.length);
    writer.u16(0);
    writer.u16(0);
    writer.u16(0);
    writer.u32(0);
    writer.u32(this.#short(offset));
    writer.bytes(name);
    if (numbers.length > 0) writeLong(writer, numbers);
  }
}

/** The extra field of numbers that do not fit 32 bits. */
function writeLong(writer: ByteWriter, numbers: readonly number[]): void {
  writer.u16(1);
  writer.u16(8 * numbers.length);
  for (const value of numbers) writer.u64(BigInt(value));
}

function writeEnd64(
  writer: ByteWriter,
  directory: { readonly count: number; readonly bytes: number; readonly offset: number },
): void {
  const { count, bytes, offset } = directory;
  writer.u32(0x06064b50);
  writer.u64(44n);
  writer.u16(VERSION);
  writer.u16(VERSION);
  writer.u32(0);
  writer.u32(0);
  for (const value of [count, count, bytes, offset]) writer.u64(BigInt(value));
  writer.u32(0x07064b50);
  writer.u32(0);
  writer.u64(BigInt(offset + bytes));
  writer.u32(1);
}
