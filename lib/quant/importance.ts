/**
 * Which importance belongs to which tensor of a model.
 *
 * @module
 */

import { FormatError } from "../base/errors.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import type { ImportanceFile } from "./importance_file.ts";
import type { QuantizedTensor } from "./mixture.ts";

/** An importance file and a model, matched. */
export interface MatchedImportance {
  /** Matrices that the file says nothing of: their columns all count the same. */
  readonly missing: readonly string[];
  /** Entries that are of no matrix of the model. */
  readonly unused: readonly string[];
}

/**
 * Compares an importance file with the matrices of a model.
 *
 * @throws {FormatError} Where an entry is not as long as a row of its matrix, or none has a matrix.
 */
export function matchImportance(
  file: ImportanceFile,
  tensors: readonly QuantizedTensor[],
): MatchedImportance {
  const refuse = (what: string): FormatError =>
    new FormatError(`Cannot use ${quotedPath(file.path)}: ${what}`, {
      file: file.path,
      hint: "make the importance file with the model that is quantized",
    });
  const missing: string[] = [];
  const unused = new Set(file.columns.keys());
  for (const { name, columns } of tensors) {
    const found = file.columns.get(name);
    if (found === undefined) {
      missing.push(name);
      continue;
    }
    unused.delete(name);
    if (found.length === columns) continue;
    throw refuse(
      `entry ${quoted(name)} has ${found.length} columns, and the model's tensor ${columns}`,
    );
  }
  if (unused.size === file.columns.size) {
    const [first] = unused;
    throw refuse(
      `none of its ${unused.size} entries (${quoted(first!)}, …) is a matrix of the model`,
    );
  }
  return { missing, unused: [...unused] };
}
