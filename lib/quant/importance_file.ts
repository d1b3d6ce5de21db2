/**
 * Files that say how much each column of a model's matrices matters: llama.cpp's importance matrices,
 * in the binary layout of old (`imatrix.dat`) and as GGUF.
 *
 * The importance of a column is the mean of the squares of what was multiplied by it. Both layouts keep
 * sums and how often something was added.
 *
 * Source: llama.cpp, common/imatrix-loader.cpp and tools/quantize/quantize.cpp.
 *
 * @module
 */

import { quoted } from "../base/quoted.ts";
import { ByteReader } from "../formats/byte_reader.ts";
import { readGguf } from "../formats/gguf.ts";
import { ggufInteger, ggufString, ggufStrings } from "../formats/gguf_values.ts";
import { InputFile } from "../formats/input_file.ts";
import { readTensor } from "../formats/read_tensor.ts";
import { refusal, type TensorRecord } from "../formats/tensor_file.ts";

/** What an importance file says. */
export interface ImportanceFile {
  /** Its path, for messages. */
  readonly path: string;
  /** Importance of every column, by GGUF's name of the matrix; finite and not negative. */
  readonly columns: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
  /** How many pieces of text it was made from, where the file says it. */
  readonly chunks?: number;
  /** The texts that it was made from, as the file names them. */
  readonly datasets: readonly string[];
}

const SUMS = ".in_sum2";
const COUNTS = ".counts";

/** The least that an entry of the binary layout takes: a name of one letter, two counts and a number. */
const LEAST_ENTRY = 4 + 1 + 4 + 4 + 4;

/**
 * Reads an importance file of either layout.
 *
 * @example
 * ```ts
 * const { columns } = await readImportance("imatrix.gguf");
 * console.log(columns.get("blk.0.attn_q.weight")?.length);
 * ```
 * @throws {FormatError} Naming the file and the entry.
 */
export async function readImportance(path: string): Promise<ImportanceFile> {
  if (isGguf(path)) return await readGgufImportance(path);
  using file = InputFile.open(path);
  return readBinary(file);
}

function isGguf(path: string): boolean {
  using file = InputFile.open(path);
  if (file.size < 8) {
    throw refusal(path, `it has ${file.size} bytes, and an importance file has more`);
  }
  return String.fromCharCode(...file.read(0, 4)) === "GGUF";
}

function readBinary(file: InputFile): ImportanceFile {
  const reader = new ByteReader(file);
  const entries = reader.i32("the number of entries");
  if (entries < 1 || entries * LEAST_ENTRY > reader.remaining) {
    throw refusal(
      file.path,
      `it would have ${entries} entries in ${reader.remaining} bytes, and is no importance file`,
      { offset: 0, hint: "an importance file comes from llama.cpp's llama-imatrix" },
    );
  }
  const columns = new Map<string, Float32Array<ArrayBuffer>>();
  for (let i = 0; i < entries; i++) {
    const name = text(reader, `the name of entry ${i}`);
    if (name === "") throw reader.refuse(`entry ${i} has no name`);
    if (columns.has(name)) throw reader.refuse(`entry ${quoted(name)} stands there twice`);
    const calls = reader.i32(`the count of entry ${quoted(name)}`);
    const sums = floats(reader, `entry ${quoted(name)}`);
    columns.set(name, means(file.path, name, { sums, counts: [calls > 0 ? calls : 1] }));
  }
  if (reader.position === file.size) return { path: file.path, columns, datasets: [] };
  const chunks = reader.i32("the number of chunks");
  const datasets = reader.position === file.size ? [] : [text(reader, "the name of the text")];
  if (reader.position !== file.size) {
    throw reader.refuse(`${file.size - reader.position} bytes follow the last entry`);
  }
  return { path: file.path, columns, chunks, datasets: datasets.filter((name) => name !== "") };
}

/** A 32-bit length, at most what the file still has. */
function length(reader: ByteReader, width: number, what: string): number {
  const start = reader.position;
  const count = reader.i32(`the length of ${what}`);
  if (count >= 0 && count <= reader.remaining / width) return count;
  throw reader.refuse(
    `the length of ${what} is ${count}, and ${reader.remaining} bytes follow`,
    start,
  );
}

function text(reader: ByteReader, what: string): string {
  const bytes = reader.bytes(length(reader, 1, what), what);
  return new TextDecoder().decode(bytes);
}

function floats(reader: ByteReader, what: string): Float32Array {
  const count = length(reader, 4, what);
  if (count === 0) throw reader.refuse(`${what} has no values`);
  return new Float32Array(reader.copy(4 * count, what).buffer);
}

async function readGgufImportance(path: string): Promise<ImportanceFile> {
  const file = await readGguf(path);
  const type = ggufString(file, "general.type");
  if (type !== "imatrix") {
    const is = type === undefined ? "missing" : quoted(type);
    throw refusal(path, `the key "general.type" is ${is}, wanted "imatrix"`, {
      hint: "an importance file comes from llama.cpp's llama-imatrix",
    });
  }
  const columns = new Map<string, Float32Array<ArrayBuffer>>();
  for (const [full, record] of file.records) {
    const [name, wanted] = full.endsWith(SUMS)
      ? [full.slice(0, -SUMS.length), COUNTS]
      : full.endsWith(COUNTS)
      ? [full.slice(0, -COUNTS.length), SUMS]
      : [undefined, ""];
    if (name === undefined) continue;
    const other = file.records.get(name + wanted);
    if (other === undefined) {
      throw refusal(path, `tensor ${quoted(full)} is there without ${quoted(name + wanted)}`);
    }
    if (wanted === SUMS) continue;
    const [sums, counts] = [await numbers(record), await numbers(other)];
    columns.set(name, means(path, name, { sums, counts: counts.map(Math.round) }));
  }
  if (columns.size === 0) throw refusal(path, "no tensor in it is an importance");
  const chunks = ggufInteger(file, "imatrix.chunk_count");
  return {
    path,
    columns,
    ...(chunks === undefined ? {} : { chunks }),
    datasets: ggufStrings(file, "imatrix.datasets") ?? [],
  };
}

async function numbers(record: TensorRecord): Promise<Float32Array> {
  if (record.dtype !== "f32") {
    throw refusal(
      record.file,
      `tensor ${quoted(record.name)} is ${record.dtype}, and f32 was wanted`,
    );
  }
  return new Float32Array((await readTensor(record)).slice().buffer);
}

/** Sums over counts, in float32 as llama.cpp divides; what was never met is of importance 1. */
function means(
  path: string,
  name: string,
  { sums, counts }: { readonly sums: Float32Array; readonly counts: ArrayLike<number> },
): Float32Array<ArrayBuffer> {
  const group = sums.length / counts.length;
  if (!Number.isInteger(group)) {
    throw refusal(
      path,
      `entry ${quoted(name)} has ${sums.length} values and ${counts.length} counts`,
    );
  }
  return Float32Array.from(sums, (sum, i) => {
    const count = counts[Math.floor(i / group)]!;
    if (!Number.isFinite(count) || !Number.isFinite(sum) || sum < 0) {
      throw refusal(
        path,
        `entry ${quoted(name)} has ${sum} over ${count} in column ${i}, ` +
          "and finite numbers from 0 were wanted",
      );
    }
    return count > 0 ? sum / count : 1;
  });
}
