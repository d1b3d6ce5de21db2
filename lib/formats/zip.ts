/**
 * The directory of a ZIP archive with stored entries, as PyTorch writes it (PKWARE APPNOTE 6.3, zip64 included).
 *
 * Nothing is unpacked: an entry is a span of the file. Compressed or encrypted entries, names that leave the archive,
 * entries that overlap and sizes that disagree between the directory and the entry are refused.
 *
 * @module
 */

import { quoted } from "../base/quoted.ts";
import { ByteReader } from "./byte_reader.ts";
import type { InputFile } from "./input_file.ts";
import { HEADER_LIMIT, refusal } from "./tensor_file.ts";

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

const END_SIGNATURE = 0x06054b50;
const END64_SIGNATURE = 0x06064b50;
const LOCATOR64_SIGNATURE = 0x07064b50;
const CENTRAL_SIGNATURE = 0x02014b50;
const LOCAL_SIGNATURE = 0x04034b50;

const END_BYTES = 22;
const END64_BYTES = 56;
const LOCATOR64_BYTES = 20;
const CENTRAL_BYTES = 46;
const LOCAL_BYTES = 30;
const MOST_COMMENT = 0xffff;

/** In a field of 32 bits: the number stands in the zip64 part. */
const IN_ZIP64 = 0xffffffff;

/** Entries beyond this number are refused; a file of PyTorch has one per tensor. */
const MOST_ENTRIES = 1 << 16;

const ENCRYPTED = 1;
/** The sizes in the entry's own header are zero, for they follow the data. */
const SIZES_FOLLOW = 8;

/** Where the directory of an archive stands. */
interface Directory {
  readonly offset: number;
  readonly bytes: number;
  readonly entries: number;
}

/** An entry as the directory describes it. */
interface Described extends ZipEntry {
  readonly flags: number;
  readonly headerOffset: number;
}

/** Reads the directory of an archive and checks every entry against the file and against the others. */
export function readZip(file: InputFile): Map<string, ZipEntry> {
  const directory = findDirectory(file);
  const described = readDirectory(file, directory);
  const entries = new Map<string, ZipEntry>();
  let end = 0;
  let before = "the start of the file";
  for (const entry of described.toSorted((a, b) => a.headerOffset - b.headerOffset)) {
    const { name, bytes, crc32 } = entry;
    const offset = dataOffset(file, entry);
    if (entry.headerOffset < end) {
      throw refusal(file.path, `its entry ${quoted(name)} overlaps ${before}`, {
        offset: entry.headerOffset,
      });
    }
    end = offset + bytes;
    before = `entry ${quoted(name)}`;
    if (end > directory.offset) {
      throw refusal(
        file.path,
        `its entry ${quoted(name)} of ${bytes} bytes overlaps the directory`,
        { offset },
      );
    }
    if (entries.has(name)) {
      throw refusal(file.path, `its entry ${quoted(name)} stands there twice`, { offset });
    }
    entries.set(name, { name, offset, bytes, crc32 });
  }
  return entries;
}

/** Finds the record at the archive's end, and its zip64 twin before it. */
function findDirectory(file: InputFile): Directory {
  if (file.size < END_BYTES) throw notZip(file);
  const tailBytes = Math.min(file.size, END_BYTES + MOST_COMMENT);
  const tail = new DataView(file.read(file.size - tailBytes, tailBytes).buffer);
  for (let at = tailBytes - END_BYTES; at >= 0; at--) {
    const comment = tailBytes - END_BYTES - at;
    if (tail.getUint32(at, true) !== END_SIGNATURE || tail.getUint16(at + 20, true) !== comment) {
      continue;
    }
    const disks = tail.getUint32(at + 4, true);
    const end = file.size - tailBytes + at;
    if (disks !== 0 && disks !== IN_ZIP64) {
      throw refusal(file.path, "it is one volume of several of a ZIP archive", { offset: end });
    }
    const short = {
      entries: tail.getUint16(at + 10, true),
      bytes: tail.getUint32(at + 12, true),
      offset: tail.getUint32(at + 16, true),
    };
    const large = short.entries === 0xffff || short.bytes === IN_ZIP64 || short.offset === IN_ZIP64;
    const [directory, limit] = large ? readEnd64(file, end) : [short, end];
    checkDirectory(file, directory, limit, large);
    return directory;
  }
  throw notZip(file);
}

function notZip(file: InputFile): Error {
  return refusal(file.path, "it does not end as a ZIP archive does", {
    hint: "the file is cut short, or it is not a PyTorch file",
  });
}

/** Reads the zip64 record and returns the directory and where that record begins. */
function readEnd64(file: InputFile, end: number): [Directory, number] {
  const locatorAt = end - LOCATOR64_BYTES;
  const refuse = (what: string): Error =>
    refusal(file.path, `its zip64 record ${what}`, { offset: Math.max(locatorAt, 0) });
  if (locatorAt < 0) throw refuse("is missing");
  const locator = new DataView(file.read(locatorAt, LOCATOR64_BYTES).buffer);
  if (locator.getUint32(0, true) !== LOCATOR64_SIGNATURE) throw refuse("is missing");
  const at = locator.getBigUint64(8, true);
  if (at > BigInt(locatorAt - END64_BYTES)) throw refuse(`is said to stand at byte ${at}`);
  const record = new DataView(file.read(Number(at), END64_BYTES).buffer);
  if (record.getUint32(0, true) !== END64_SIGNATURE) throw refuse(`does not stand at byte ${at}`);
  const [entries, bytes, offset] = [32, 40, 48].map((field) =>
    Number(record.getBigUint64(field, true))
  );
  return [{ entries: entries!, bytes: bytes!, offset: offset! }, Number(at)];
}

function checkDirectory(
  file: InputFile,
  directory: Directory,
  limit: number,
  large: boolean,
): void {
  const { entries, bytes, offset } = directory;
  // PyTorch writes the zip64 record even where the short one would do: then a gap of its size follows.
  const gap = limit - (offset + bytes);
  const allowed = large ? [0] : [0, END64_BYTES + LOCATOR64_BYTES];
  if (!allowed.includes(gap)) {
    throw refusal(
      file.path,
      `its directory of ${bytes} bytes at ${offset} does not end where its end record begins, at ${limit}`,
      { offset: limit },
    );
  }
  if (bytes > HEADER_LIMIT || entries > Math.min(MOST_ENTRIES, bytes / CENTRAL_BYTES)) {
    const what =
      `its directory has ${entries} entries in ${bytes} bytes, wanted at most ${MOST_ENTRIES}`;
    throw refusal(file.path, what, { offset });
  }
}

function readDirectory(file: InputFile, directory: Directory): Described[] {
  const reader = new ByteReader(file, directory.offset);
  const list: Described[] = [];
  for (let i = 0; i < directory.entries; i++) list.push(readEntry(reader));
  if (reader.position !== directory.offset + directory.bytes) {
    throw reader.refuse(`its directory has another length than its ${directory.entries} entries`);
  }
  return list;
}

function readEntry(reader: ByteReader): Described {
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
function dataOffset(file: InputFile, entry: Described): number {
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
