/**
 * `llamero tokenize encode`: turns text into token ids.
 *
 * @module
 */

import { FormatError } from "../../lib/base/errors.ts";
import { joined } from "../../lib/base/joined.ts";
import { quotedPath } from "../../lib/base/quoted.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled_tokenizer.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import type { EncodeOptions } from "../../lib/tokenizer/tokenizer.ts";
import { type Io, writeJson } from "../io.ts";
import { inputBytes, inputLines, type LineBatch } from "../line_input.ts";
import { openBackendFor } from "../open_backend.ts";
import { Log } from "../ui/log.ts";
import type { TokenizeEncodeArguments, TokenizeEncodeOptions } from "./tokenize_encode.spec.ts";

/** What the command line gives. */
export type Values = TokenizeEncodeOptions & TokenizeEncodeArguments;

const SPACE = 0x20;
const LINE_END = 0x0a;
const ZERO = 0x30;
/** Digits of the largest id, and what stands behind it. */
const ID_BYTES = 11;

/** Runs `llamero tokenize encode`. */
export async function run(values: Values, io: Io): Promise<void> {
  const log = new Log(io, values);
  const backend = await openBackendFor({ ...values, processor: true }, log);
  try {
    const tokenizer = await openTokenizer(values.tokenizer, { backend });
    const { special, invalid, bos, eos } = values;
    const options: EncodeOptions = { special, invalid, bos, eos };
    if (values.json) return await encodeWhole(tokenizer, { values, options, io });
    for await (const batch of inputLines(values.file, io)) {
      const texts = values.jsonl ? jsonTexts(batch, values.file) : batch;
      const write = values.jsonl ? writeObjects : writeLines;
      try {
        write(tokenizer, { texts, values, options, io });
      } catch (thrown) {
        throw located(thrown, batch, values);
      }
    }
  } finally {
    backend.close();
  }
}

/** An error about a byte of many lines as one about a byte of the file. */
function located(thrown: unknown, batch: LineBatch, values: Values): unknown {
  if (!(thrown instanceof FormatError) || thrown.offset === undefined || values.jsonl) {
    return thrown;
  }
  const at = thrown.offset;
  const line = batch.ends.findIndex((end) => end > at);
  const offset = batch.offset + at + line;
  const name = values.file === undefined || values.file === "-" ? "stdin" : quotedPath(values.file);
  return new FormatError(
    `Cannot encode ${name}: byte ${offset}, in line ${batch.before + line + 1}, is not UTF-8`,
    { offset, cause: thrown, hint: thrown.hint },
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

function writeObjects(tokenizer: CompiledTokenizer, job: Job & { readonly texts: Texts }): void {
  forEachText(tokenizer, job, (ids) => {
    const pieces = job.values.pieces ? Array.from(ids, (id) => tokenizer.piece(id)) : undefined;
    writeJson(job.io.stdout, { ids, pieces });
  });
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

/** Writes each text's ids as a line. */
function writeLines(tokenizer: CompiledTokenizer, job: Job & { readonly texts: Texts }): void {
  const parts: Uint8Array[] = [];
  forEachText(tokenizer, job, (ids) => parts.push(idLine(ids)));
  job.io.stdout.write(joined(Uint8Array, parts));
}

/** Ids in decimal, with spaces between and a line end behind. */
function idLine(ids: Uint32Array): Uint8Array {
  const line = new Uint8Array(ids.length * ID_BYTES + 1);
  let at = 0;
  for (const id of ids) {
    if (at > 0) line[at++] = SPACE;
    let digits = 1;
    for (let rest = id; rest >= 10; rest = Math.floor(rest / 10)) digits++;
    let rest = id;
    for (let i = at + digits - 1; i >= at; i--) {
      line[i] = ZERO + rest % 10;
      rest = Math.floor(rest / 10);
    }
    at += digits;
  }
  line[at++] = LINE_END;
  return line.subarray(0, at);
}
