/**
 * One entry of a ZIP archive: what the directory says of it, held against what stands before its data
 * (PKWARE APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.5.3).
 *
 * @module
 */

import { quoted } from "../base/quoted.ts";
import type { ByteReader } from "./byte_reader.ts";
import type { InputFile } from "./input_file.ts";
import { refusal } from "./tensor_file.ts";

/** One stored entry: a span of the archive. */
export interface ZipEntry {
  /** Its name, with slashes. */
  readonly name: string;
  /** Where its data begins, in bytes from the file's start. */
  readonly offset: number;
  /** Bytes of its data. */
  readonly bytes: number;
  /** CRC-32 of its data, as the directory states it. */
  readonly crc32: number;
}

const CENTRAL_SIGNATURE = 0x02014b50;
const LOCAL_SIGNATURE = 0x04034b50;

/** Bytes of an entry of the directory, without name, extra field and comment. */
export const CENTRAL_BYTES = 46;
const LOCAL_BYTES = 30;

/** In a field of 32 bits: the number stands in the zip64 part. */
export const IN_ZIP64 = 0xffffffff;

const ENCRYPTED = 1;
/** The sizes in the entry's own header are zero, for they follow the data. */
const SIZES_FOLLOW = 8;

/** An entry as the directory describes it; `offset` is not known yet, and 0. */
export interface DescribedEntry extends ZipEntry {
  /** General purpose bit flags. */
  readonly flags: number;
  /** Where its own header begins, in bytes from the file's start. */
  readonly headerOffset: number;
}

/** Reads the next entry of the directory. @throws {FormatError} For one that is packed, encrypted or outside. */
export function readEntry(reader: ByteReader): DescribedEntry {
  const start = reader.position;
  // A copy: the name below may move the reader's window.
  const fixed = new DataView(
    reader.bytes(CENTRAL_BYTES, "an entry of the directory").slice().buffer,
  );
  if (fixed.getUint32(0, true) !== CENTRAL_SIGNATURE) {
    throw reader.refuse("its directory has no entry where one was wanted", start);
  }
  const nameBytes = reader.bytes(fixed.getUint16(28, true), "the name of an entry").slice();
  const name = entryName(reader, nameBytes, start);
  const extra = reader.bytes(fixed.getUint16(30, true), "the extra field of an entry").slice();
  reader.bytes(fixed.getUint16(32, true), "the comment of an entry");
  const flags = fixed.getUint16(8, true);
  const method = fixed.getUint16(10, true);
  if (method !== 0 || (flags & ENCRYPTED) !== 0) {
    const how = method === 0 ? "encrypted" : `compressed by method ${method}`;
    throw reader.refuse(
      `its entry ${quoted(name)} is ${how}, and only stored ones are read`,
      start,
    );
  }
  const long = new LongFields(
    extra,
    (what) => reader.refuse(`its entry ${quoted(name)} ${what}`, start),
  );
  const bytes = long.take(fixed.getUint32(24, true));
  const stored = long.take(fixed.getUint32(20, true));
  const headerOffset = long.take(fixed.getUint32(42, true));
  if (stored !== bytes) {
    throw reader.refuse(
      `its entry ${quoted(name)} has ${stored} bytes stored and ${bytes} stated`,
      start,
    );
  }
  return { name, bytes, flags, headerOffset, crc32: fixed.getUint32(16, true), offset: 0 };
}

function entryName(reader: ByteReader, bytes: Uint8Array, start: number): string {
  let name: string | undefined;
  try {
    name = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // Refused below.
  }
  // deno-lint-ignore no-control-regex -- control characters are what this looks for
  const bad = name === undefined || name === "" || /^\/|\\|[\u0000-\u001f]|^[A-Za-z]:/.test(name) ||
    name.split("/").includes("..");
  if (name !== undefined && !bad) return name;
  const shown = name === undefined ? "that is not UTF-8" : quoted(name);
  throw reader.refuse(
    `its directory has the name ${shown}, wanted a path inside the archive`,
    start,
  );
}

/** The numbers that did not fit 32 bits, in the order in which their fields come. */
class LongFields {
  readonly #view: DataView | undefined;
  readonly #refuse: (what: string) => Error;
  #next = 0;

  constructor(extra: Uint8Array, refuse: (what: string) => Error) {
    this.#refuse = refuse;
    const view = new DataView(extra.buffer, extra.byteOffset, extra.byteLength);
    for (let at = 0; at + 4 <= extra.length;) {
      const bytes = view.getUint16(at + 2, true);
      if (at + 4 + bytes > extra.length) throw refuse("has an extra field that is cut short");
      if (view.getUint16(at, true) === 1) {
        this.#view = new DataView(extra.buffer, extra.byteOffset + at + 4, bytes);
        break;
      }
      at += 4 + bytes;
    }
  }

  /** The number of a 32-bit field, from the zip64 part where it says so. */
  take(short: number): number {
    if (short !== IN_ZIP64) return short;
    if (this.#view === undefined || this.#next + 8 > this.#view.byteLength) {
      throw this.#refuse("lacks the 64-bit number that it announces");
    }
    const long = this.#view.getBigUint64(this.#next, true);
    this.#next += 8;
    if (long > BigInt(Number.MAX_SAFE_INTEGER)) throw this.#refuse(`has the number ${long}`);
    return Number(long);
  }
}

/** Reads an entry's own header, compares it with the directory, and returns where its data begins. */
export function dataOffset(file: InputFile, entry: DescribedEntry): number {
  const refuse = (what: string): Error =>
    refusal(file.path, `its entry ${quoted(entry.name)} ${what}`, { offset: entry.headerOffset });
  if (entry.headerOffset + LOCAL_BYTES > file.size) {
    throw refuse(`is said to be at ${entry.headerOffset}`);
  }
  const expected = LOCAL_BYTES + new TextEncoder().encode(entry.name).length;
  const bytes = file.read(entry.headerOffset, Math.min(expected, file.size - entry.headerOffset));
  const header = new DataView(bytes.buffer);
  if (header.getUint32(0, true) !== LOCAL_SIGNATURE) {
    throw refuse("has no header where the directory says");
  }
  if (header.getUint16(8, true) !== 0) {
    throw refuse("is stored in the directory and compressed in its header");
  }
  const nameBytes = header.getUint16(26, true);
  const offset = entry.headerOffset + LOCAL_BYTES + nameBytes + header.getUint16(28, true);
  if (offset + entry.bytes > file.size) {
    throw refuse(`has ${entry.bytes} bytes at ${offset}, and the file has ${file.size}`);
  }
  const name = new TextDecoder().decode(bytes.subarray(LOCAL_BYTES));
  if (LOCAL_BYTES + nameBytes !== expected || name !== entry.name) {
    throw refuse("has another name in its header");
  }
  for (const field of [18, 22]) {
    const stated = header.getUint32(field, true);
    const later = stated === 0 && (entry.flags & SIZES_FOLLOW) !== 0;
    if (!later && stated !== IN_ZIP64 && stated !== entry.bytes) {
      throw refuse(`has ${entry.bytes} bytes in the directory and ${stated} in its header`);
    }
  }
  return offset;
}
