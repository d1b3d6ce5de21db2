/**
 * `llamero tokenize encode`: turns text into token ids.
 *
 * @module
 */

import { FormatError } from "../../lib/base/errors.ts";
import { quotedPath } from "../../lib/base/quoted.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled_tokenizer.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import type { EncodeOptions } from "../../lib/tokenizer/tokenizer.ts";
import { type Io, writeJson } from "../io.ts";
import { inputBytes, inputLines, inputText, type LineBatch } from "../line_input.ts";
import { openBackendFor } from "../open_backend.ts";
import { Log } from "../ui/log.ts";
import type { TokenizeEncodeArguments, TokenizeEncodeOptions } from "./tokenize_encode.spec.ts";

/** What the command line gives. */
export type Values = TokenizeEncodeOptions & TokenizeEncodeArguments;

const LINE_END = 0x0a;

/** Runs `llamero tokenize encode`. */
export async function run(values: Values, io: Io): Promise<void> {
  const log = new Log(io, values);
  const backend = await openBackendFor({ ...values, processor: true }, log);
  try {
    const tokenizer = await openTokenizer(values.tokenizer, { backend });
    const { special, invalid, bos, eos } = values;
    const options: EncodeOptions = { special, invalid, bos, eos };
    if (values.json) return await encodeWhole(tokenizer, { values, options, io });
    if (values.jsonl) return await encodeObjects(tokenizer, { values, options, io });
    await encodeLines(tokenizer, { values, options, io });
  } finally {
    backend.close();
  }
}

/** Writes the ids of each line as a line. */
async function encodeLines(tokenizer: CompiledTokenizer, job: Job): Promise<void> {
  let before = 0;
  for await (const { text, offset } of inputText(job.values.file, job.io)) {
    try {
      const { bytes, lines } = tokenizer.encodeLines(text, { ...job.options, offset });
      job.io.stdout.write(bytes);
      before += lines;
    } catch (thrown) {
      throw inFile(thrown, { text, offset, before, file: job.values.file });
    }
  }
}

/** Some lines of a file. */
interface Lines {
  readonly text: Uint8Array;
  readonly offset: number;
  readonly before: number;
  readonly file: string | undefined;
}

/** An error about a byte of some lines as one that names the file and the line. */
function inFile(thrown: unknown, { text, offset, before, file }: Lines): unknown {
  if (!(thrown instanceof FormatError) || thrown.offset === undefined) return thrown;
  const ended = text.subarray(0, thrown.offset - offset).filter((byte) => byte === LINE_END);
  const line = before + ended.length + 1;
  const name = file === undefined || file === "-" ? "stdin" : quotedPath(file);
  return new FormatError(
    `Cannot encode ${name}: byte ${thrown.offset}, in line ${line}, is not UTF-8`,
    { offset: thrown.offset, cause: thrown, hint: thrown.hint },
  );
}

interface Job {
  readonly values: Values;
  readonly options: EncodeOptions;
  readonly io: Io;
}

type Texts = Pick<LineBatch, "bytes" | "ends">;

async function encodeWhole(tokenizer: CompiledTokenizer, job: Job): Promise<void> {
  const text = await inputBytes(job.values.file, job.io);
  const ids = tokenizer.encode(text, job.options);
  const pieces = Array.from(ids, (id) => tokenizer.piece(id));
  writeJson(job.io.stdout, { ids, pieces, count: ids.length });
}

/** The texts that lines of JSON hold. */
function jsonTexts(batch: LineBatch, file: string | undefined): Texts {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const encoder = new TextEncoder();
  const parts: Uint8Array[] = [];
  const ends: number[] = [];
  let length = 0;
  batch.ends.forEach((end, i) => {
    const line = batch.bytes.subarray(batch.ends[i - 1] ?? 0, end);
    const number = batch.before + i + 1;
    const part = encoder.encode(jsonText(line, { decoder, number, file }));
    parts.push(part);
    ends.push(length += part.length);
  });
  const bytes = new Uint8Array(length);
  parts.forEach((part, i) => bytes.set(part, ends[i]! - part.length));
  return { bytes, ends: Uint32Array.from(ends) };
}

function jsonText(
  line: Uint8Array,
  { decoder, number, file }: { decoder: TextDecoder; number: number; file: string | undefined },
): string {
  const refuse = (what: string): FormatError =>
    new FormatError(`Cannot encode line ${number} of ${file ?? "stdin"}: ${what}`, {
      hint: 'each line must be a JSON string, or an object with a string "text"',
    });
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(line));
  } catch {
    throw refuse("it is no JSON");
  }
  const text = typeof value === "object" && value !== null && "text" in value ? value.text : value;
  if (typeof text !== "string") throw refuse("it holds no text");
  return text;
}

/** Writes the ids of the text in each line's JSON as JSON. */
async function encodeObjects(tokenizer: CompiledTokenizer, job: Job): Promise<void> {
  for await (const batch of inputLines(job.values.file, job.io)) {
    const texts = jsonTexts(batch, job.values.file);
    forEachText(tokenizer, { ...job, texts }, (ids) => {
      const pieces = job.values.pieces ? Array.from(ids, (id) => tokenizer.piece(id)) : undefined;
      writeJson(job.io.stdout, { ids, pieces });
    });
  }
}

function forEachText(
  tokenizer: CompiledTokenizer,
  { texts, options }: Job & { readonly texts: Texts },
  take: (ids: Uint32Array) => void,
): void {
  const { ids, counts } = tokenizer.encodeBatch(texts, options);
  const before = options.bos === true && tokenizer.bosId !== undefined ? [tokenizer.bosId] : [];
  const behind = options.eos === true && tokenizer.eosId !== undefined ? [tokenizer.eosId] : [];
  const bare = before.length + behind.length === 0;
  let start = 0;
  for (const count of counts) {
    const part = ids.subarray(start, start += count);
    take(bare ? part : Uint32Array.from([...before, ...part, ...behind]));
  }
}
