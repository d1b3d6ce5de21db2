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
import {
  CENTRAL_BYTES,
  dataOffset,
  type DescribedEntry,
  IN_ZIP64,
  readEntry,
  type ZipEntry,
} from "./zip_entry.ts";

const END_SIGNATURE = 0x06054b50;
const END64_SIGNATURE = 0x06064b50;
const LOCATOR64_SIGNATURE = 0x07064b50;

const END_BYTES = 22;
const END64_BYTES = 56;
const LOCATOR64_BYTES = 20;
const MOST_COMMENT = 0xffff;

/** Entries beyond this number are refused; a file of PyTorch has one per tensor. */
const MOST_ENTRIES = 1 << 16;

/** Where the directory of an archive stands. */
interface Directory {
  readonly offset: number;
  readonly bytes: number;
  readonly entries: number;
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

function readDirectory(file: InputFile, directory: Directory): DescribedEntry[] {
  const reader = new ByteReader(file, directory.offset);
  const list: DescribedEntry[] = [];
  for (let i = 0; i < directory.entries; i++) list.push(readEntry(reader));
  if (reader.position !== directory.offset + directory.bytes) {
    throw reader.refuse(`its directory has another length than its ${directory.entries} entries`);
  }
  return list;
}
