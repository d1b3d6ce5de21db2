/**
 * GGUF models in several files, as `llama-gguf-split` cuts them.
 *
 * The first file has all the metadata; each has `split.no` (from 0), `split.count` and `split.tensors.count`, and is
 * named `PREFIX-00001-of-0000N.gguf`.
 *
 * @module
 */

import { basename, dirname, join } from "node:path";
import { errorCode } from "../base/file_error.ts";
import { quoted } from "../base/quoted.ts";
import type { GgufFile } from "./gguf.ts";
import { ggufInteger } from "./gguf_values.ts";
import { refusal, type TensorRecord } from "./tensor_file.ts";

/** Reads the other files of a split model and joins their records; a file that is not split passes as it is. */
export function joinSplits(first: GgufFile, read: (path: string) => GgufFile): GgufFile {
  const count = ggufInteger(first, "split.count") ?? 0;
  if (count <= 1) return first;
  const paths = partPaths(first, count);
  const records = new Map<string, TensorRecord>(first.records);
  for (const [i, path] of paths.entries()) {
    if (i === 0) continue;
    const part = readPart(first, path, read);
    const [no, of] = [ggufInteger(part, "split.no"), ggufInteger(part, "split.count")];
    if (no !== i || of !== count) {
      throw refusal(
        path,
        `it says that it is part ${no} of ${of} (from 0), wanted part ${i} of ${count}`,
      );
    }
    for (const record of part.records.values()) {
      if (records.has(record.name)) {
        throw refusal(path, `tensor ${quoted(record.name)} stands in an earlier part too`);
      }
      records.set(record.name, record);
    }
  }
  const wanted = ggufInteger(first, "split.tensors.count");
  if (wanted !== undefined && wanted !== records.size) {
    throw refusal(first.path, `its ${count} parts have ${records.size} tensors, wanted ${wanted}`);
  }
  return { ...first, records, files: paths };
}

/** The paths of all parts, from the name of the first. */
function partPaths(first: GgufFile, count: number): string[] {
  const name = basename(first.path);
  const match = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/.exec(name);
  if (match === null || Number(match[3]) !== count) {
    const total = String(count).padStart(5, "0");
    throw refusal(
      first.path,
      `it is one of ${count} parts, whose names must end in -00001-of-${total}.gguf and so on`,
    );
  }
  const folder = dirname(first.path);
  const named = (i: number): string =>
    `${match[1]}-${String(i + 1).padStart(5, "0")}-of-${match[3]}.gguf`;
  const no = ggufInteger(first, "split.no");
  if (no !== 0 || match[2] !== "00001") {
    throw refusal(first.path, `it is a later part of ${count}, and the first was wanted`, {
      hint: `name the first part: ${named(0)}`,
    });
  }
  // The first keeps the path that the user gave.
  return [first.path, ...Array.from({ length: count - 1 }, (_, i) => join(folder, named(i + 1)))];
}

function readPart(first: GgufFile, path: string, read: (path: string) => GgufFile): GgufFile {
  try {
    return read(path);
  } catch (thrown) {
    if (!(thrown instanceof Error) || errorCode(thrown.cause) !== "ENOENT") throw thrown;
    throw refusal(first.path, `its part ${quoted(basename(path))} is missing`, {
      hint: "put all parts into one folder",
    });
  }
}
