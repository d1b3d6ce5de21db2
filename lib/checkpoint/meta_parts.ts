/**
 * How Meta cuts a model over several files, `consolidated.00.pth` and so on: some matrices by rows,
 * some by columns, norms repeated in each.
 *
 * @module
 */

import { basename } from "node:path";
import { FormatError, ShapeError } from "../base/errors.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import type { TensorRecord } from "../formats/tensor_file.ts";
import type { ModelConfig } from "../model/config.ts";
import { LLAMA3_VOCABULARY } from "../model/config_meta.ts";
import { WEIGHT_ROWS, type WeightRow, type WeightSpec } from "../model/weights.ts";

/**
 * The axis that Meta cuts a weight along, or `undefined` where each file has it whole. The embedding
 * is cut by columns up to Llama 2, by rows in Llama 3.
 */
export function metaAxis(
  spec: Pick<WeightSpec, "role" | "split">,
  config: Pick<ModelConfig, "vocabSize">,
): 0 | 1 | undefined {
  if (spec.role !== "embedding") return spec.split;
  return config.vocabSize === LLAMA3_VOCABULARY ? 0 : 1;
}

/** One of the files, by the names in it. */
export interface MetaPart {
  /** Path of `consolidated.NN.pth` or `.safetensors`. */
  readonly path: string;
  /** Its tensors, each a part of one. */
  readonly records: ReadonlyMap<string, TensorRecord>;
}

/** The files of a model, in order. */
export interface MetaParts {
  /** The folder, as the user named it. */
  readonly path: string;
  /** The files. */
  readonly parts: readonly MetaPart[];
  /** `dim` of params.json, which tells how the embedding is cut. */
  readonly dim: unknown;
}

const ROWS: ReadonlyMap<string, WeightRow> = new Map(
  WEIGHT_ROWS.map((row) => [row.names.meta, row]),
);

function rowOf(name: string): WeightRow | undefined {
  return ROWS.get(name.replace(/^layers\.\d+\./, "layers.{i}."));
}

/**
 * Puts the tensors together that stand in several files; nothing is read yet.
 *
 * @throws {FormatError} Where a file lacks a tensor that another has, or has it of another type.
 * @throws {ShapeError} Where the parts of a tensor do not fit together.
 */
export function joinMetaParts(model: MetaParts): Map<string, TensorRecord> {
  const records = new Map<string, TensorRecord>();
  const [first, ...others] = model.parts;
  for (const part of others) {
    for (const name of part.records.keys()) {
      if (!first!.records.has(name)) throw lacks(first!, name, part);
    }
  }
  for (const [name, record] of first!.records) {
    const pieces = [record, ...others.map((part) => part.records.get(name))];
    const absent = pieces.indexOf(undefined);
    if (absent >= 0) throw lacks(model.parts[absent]!, name, first!);
    records.set(name, joined(name, pieces as TensorRecord[], model));
  }
  return records;
}

function lacks(part: MetaPart, name: string, other: MetaPart): FormatError {
  return new FormatError(
    `Cannot open ${quotedPath(part.path)}: tensor ${quoted(name)} is missing, and ` +
      `${basename(other.path)} beside it has its part`,
    { file: part.path, hint: "the files are not of one model: fetch or copy them again" },
  );
}

function joined(name: string, pieces: readonly TensorRecord[], model: MetaParts): TensorRecord {
  const first = pieces[0]!;
  const row = rowOf(name);
  const type = pieces.find((piece) => piece.dtype !== first.dtype);
  if (type !== undefined) {
    throw new FormatError(
      `Cannot open ${quotedPath(type.file)}: tensor ${quoted(name)} is ${type.dtype}, ` +
        `and its part in ${basename(first.file)} is ${first.dtype}`,
      { file: type.file },
    );
  }
  const axis = row?.role === "embedding" ? embeddingAxis(first, model.dim) : row?.split;
  const other = axis === undefined ? undefined : 1 - axis;
  for (const piece of pieces) {
    const fits = other === undefined
      ? `${piece.shape}` === `${first.shape}`
      : piece.shape.length === 2 && piece.shape[other] === first.shape[other];
    if (!fits) throw misfit(name, first, piece);
  }
  // Norms stand in every file, and so does what is no weight.
  if (axis === undefined) return first;
  const shape = [...first.shape];
  shape[axis] = pieces.reduce((sum, piece) => sum + piece.shape[axis]!, 0);
  const bytes = pieces.reduce((sum, piece) => sum + piece.bytes, 0);
  return { ...first, shape, bytes, stored: { kind: "parts", axis, parts: pieces } };
}

/** A part that is as wide as the model has whole rows. */
function embeddingAxis(part: TensorRecord, dim: unknown): 0 | 1 {
  return part.shape[1] === dim ? 0 : 1;
}

function misfit(name: string, first: TensorRecord, piece: TensorRecord): ShapeError {
  return new ShapeError(
    `Cannot open ${quotedPath(piece.file)}: tensor ${quoted(name)} has shape ` +
      `[${piece.shape.join(", ")}], which does not fit its part [${first.shape.join(", ")}] in ` +
      `${basename(first.file)}`,
  );
}
