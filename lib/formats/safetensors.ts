/**
 * The safetensors format: `u64 N`, a JSON header of N bytes, then the tensors side by side.
 *
 * Every field of the header is checked against the file before a record is made of it: names and dtypes, the span of
 * each tensor against its shape, and that the spans cover the data without holes or overlaps
 * (the rules of the safetensors reference, github.com/huggingface/safetensors).
 *
 * @module
 */

import { JsonScanner } from "../base/json_scanner.ts";
import { quoted } from "../base/quoted.ts";
import { tensorBytes } from "./file_dtype.ts";
import { InputFile } from "./input_file.ts";
import { JSON_HEADER_LIMIT, MOST_TENSORS, refusal, type TensorRecord } from "./tensor_file.ts";

/** What a safetensors file holds. */
export interface SafetensorsFile {
  /** The path as the user named it. */
  readonly path: string;
  /** Tensors by name, in the order of their bytes. */
  readonly records: ReadonlyMap<string, TensorRecord>;
  /** The entries of `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** More axes than this are refused: PyTorch has no tensor with more. */
const MOST_AXES = 64;

/** More entries of metadata than this are refused; real files have a handful. */
const MOST_METADATA = 1 << 16;

/** The format's element types by our names, in the order of the reference, which sorts files by it. */
export const SAFETENSORS_DTYPES: readonly string[] = [
  ...["bool", "u8", "i8", "f8_e5m2", "f8_e4m3", "f8_e8m0", "i16", "u16", "f16", "bf16"],
  ...["i32", "u32", "f32", "c64", "f64", "i64", "u64"],
];

/** One tensor as the header describes it, before its span is checked against the others. */
interface Entry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Reads the header of one safetensors file and checks all of it; throws `FormatError` naming file, tensor and values.
 *
 * @example
 * ```ts
 * const file = await readSafetensors("model.safetensors");
 * console.log(file.records.get("lm_head.weight")?.shape);
 * ```
 */
// deno-lint-ignore require-await -- the promise is the seam: callers must not depend on the reading being synchronous
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  using file = InputFile.open(path);
  const length = headerLength(file);
  const header = new HeaderParser(path, file.read(8, length)).parse();
  const entries = header.entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkSpans(path, entries, file.size - 8 - length);
  const records = new Map<string, TensorRecord>();
  for (const { name, dtype, shape, begin, end } of entries) {
    const offset = 8 + length + begin;
    records.set(name, { name, dtype, shape, file: path, offset, bytes: end - begin });
  }
  return { path, records, metadata: header.metadata };
}

function headerLength(file: InputFile): number {
  if (file.size < 8) {
    throw refusal(file.path, `it has ${file.size} bytes, and a safetensors file has at least 8`);
  }
  const stated = new DataView(file.read(0, 8).buffer).getBigUint64(0, true);
  const there = file.size - 8;
  if (stated > BigInt(there)) {
    throw refusal(
      file.path,
      `its header is said to have ${stated} bytes, and ${there} bytes follow`,
      {
        offset: 0,
        hint: "the file is cut short, or it is not a safetensors file",
      },
    );
  }
  if (stated > BigInt(JSON_HEADER_LIMIT)) {
    throw refusal(
      file.path,
      `its header has ${stated} bytes, and at most ${JSON_HEADER_LIMIT} are read`,
      {
        offset: 0,
      },
    );
  }
  const length = Number(stated);
  if (length < 2 || file.read(8, 1)[0] !== 0x7b) {
    throw refusal(file.path, "its header does not begin with '{'", {
      offset: 8,
      hint: "the file is probably not a safetensors file",
    });
  }
  return length;
}

/** Reads the JSON header field by field; anything that the format does not name is refused where it stands. */
class HeaderParser {
  readonly #path: string;
  readonly #scanner: JsonScanner;
  readonly #entries: Entry[] = [];
  readonly #metadata = new Map<string, string>();

  constructor(path: string, bytes: Uint8Array) {
    this.#path = path;
    this.#scanner = new JsonScanner(bytes, (what, at) => refusal(path, what, { offset: 8 + at }));
  }

  parse(): { entries: Entry[]; metadata: Map<string, string> } {
    this.#scanner.object((name) => {
      if (name === "__metadata__") this.#readMetadata();
      else this.#readEntry(name);
    });
    this.#scanner.end();
    return { entries: this.#entries, metadata: this.#metadata };
  }

  #readMetadata(): void {
    this.#scanner.object((key) => {
      if (this.#metadata.size === MOST_METADATA) {
        throw this.#refuse(
          this.#scanner.position,
          `its metadata has more than ${MOST_METADATA} entries`,
        );
      }
      this.#metadata.set(key, this.#scanner.string());
    });
  }

  #readEntry(name: string): void {
    const start = this.#scanner.position;
    if (this.#entries.length === MOST_TENSORS) {
      throw this.#refuse(start, `it has more than ${MOST_TENSORS} tensors`);
    }
    let dtype: string | undefined;
    let shape: number[] | undefined;
    let span: number[] | undefined;
    this.#scanner.object((key) => {
      if (key === "dtype") dtype = this.#dtype(name);
      else if (key === "shape") {
        shape = this.#integers(() => `an extent of tensor ${quoted(name)}`, MOST_AXES);
      } else if (key === "data_offsets") {
        span = this.#integers(() => `an offset of tensor ${quoted(name)}`, 2);
      } else {
        throw this.#refuse(
          start,
          `tensor ${quoted(name)} has the unknown field ${quoted(key)}`,
        );
      }
    });
    const missing = dtype === undefined ? "dtype" : shape === undefined ? "shape" : "data_offsets";
    if (dtype === undefined || shape === undefined || span === undefined) {
      throw this.#refuse(start, `tensor ${quoted(name)} has no "${missing}"`);
    }
    const [begin, end] = span;
    if (begin === undefined || end === undefined || begin > end) {
      throw this.#refuse(
        start,
        `tensor ${quoted(name)} has the offsets [${
          span.join(", ")
        }], wanted a begin and an end not before it`,
      );
    }
    const bytes = tensorBytes(dtype, shape);
    if (bytes !== end - begin) {
      const wanted = bytes === undefined ? "2^53 or more" : `${bytes}`;
      throw this.#refuse(
        start,
        `tensor ${quoted(name)} spans ${end - begin} bytes, and its shape [${shape.join(", ")}] ` +
          `of ${dtype} needs ${wanted}`,
      );
    }
    this.#entries.push({ name, dtype, shape, begin, end });
  }

  #dtype(name: string): string {
    const stated = this.#scanner.string();
    const dtype = stated.toLowerCase();
    if (stated === stated.toUpperCase() && SAFETENSORS_DTYPES.includes(dtype)) return dtype;
    throw this.#refuse(
      this.#scanner.position,
      `tensor ${quoted(name)} has the unknown dtype ${quoted(stated)}`,
    );
  }

  #integers(what: () => string, most: number): number[] {
    const list: number[] = [];
    this.#scanner.array(() => {
      if (list.length === most) {
        throw this.#refuse(
          this.#scanner.position,
          `${what()} is one too many, wanted at most ${most}`,
        );
      }
      list.push(this.#scanner.unsignedInteger(what));
    });
    return list;
  }

  #refuse(at: number, what: string): Error {
    return refusal(this.#path, what, { offset: 8 + at });
  }
}

/** Refuses spans that overlap, leave a hole, end beyond the data or leave bytes behind. */
function checkSpans(path: string, entries: readonly Entry[], dataBytes: number): void {
  let covered = 0;
  let before = "the header";
  for (const { name, begin, end } of entries) {
    if (end > dataBytes) {
      throw refusal(
        path,
        `tensor ${
          quoted(name)
        } ends at byte ${end} of the data, and the file has ${dataBytes} bytes of data`,
        { hint: "the file is cut short: fetch or copy it again" },
      );
    }
    if (begin !== covered) {
      const what = begin < covered ? "overlaps" : `leaves ${begin - covered} unused bytes after`;
      throw refusal(path, `tensor ${quoted(name)} at byte ${begin} of the data ${what} ${before}`);
    }
    covered = end;
    before = `tensor ${quoted(name)}`;
  }
  if (covered !== dataBytes) {
    throw refusal(path, `${dataBytes - covered} bytes follow the last tensor, wanted none`);
  }
}
