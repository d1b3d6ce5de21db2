/**
 * `llamero tokenize decode`: turns token ids into text.
 *
 * @module
 */

import { FormatError } from "../../lib/base/errors.ts";
import { quoted } from "../../lib/base/quoted.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled_tokenizer.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { type Io, writeJson } from "../io.ts";
import { inputLines } from "../line_input.ts";
import { openBackendFor } from "../open_backend.ts";
import { Log } from "../ui/log.ts";
import type { TokenizeDecodeArguments, TokenizeDecodeOptions } from "./tokenize_decode.spec.ts";

/** What the command line gives. */
export type Values = TokenizeDecodeOptions & TokenizeDecodeArguments;

/** Runs `llamero tokenize decode`. */
export async function run(values: Values, io: Io): Promise<void> {
  const backend = await openBackendFor({ ...values, processor: true }, new Log(io, values));
  try {
    const tokenizer = await openTokenizer(values.tokenizer, { backend });
    if (values.json) {
      const ids: number[] = [];
      for await (const line of idLines(values, io)) {
        checkIds(line, tokenizer, values.file);
        for (const id of line.ids) ids.push(id);
      }
      return writeJson(io.stdout, { text: tokenizer.decode(ids, values) });
    }
    for await (const line of idLines(values, io)) {
      checkIds(line, tokenizer, values.file);
      const text = tokenizer.decode(line.ids, values);
      io.stdout.write(`${values.jsonl ? JSON.stringify(text) : text}\n`);
    }
  } finally {
    backend.close();
  }
}

interface IdLine {
  readonly ids: readonly number[];
  readonly number: number;
}

function refuse(number: number, file: string | undefined, what: string): FormatError {
  return new FormatError(`Cannot decode line ${number} of ${file ?? "stdin"}: ${what}`);
}

function checkIds(line: IdLine, tokenizer: CompiledTokenizer, file: string | undefined): void {
  const bad = line.ids.find((id) => id >= tokenizer.vocabSize);
  if (bad === undefined) return;
  throw refuse(
    line.number,
    file,
    `id ${bad} is beyond the ${tokenizer.vocabSize} of the vocabulary`,
  );
}

async function* idLines(values: Values, io: Io): AsyncGenerator<IdLine> {
  const decoder = new TextDecoder();
  for await (const batch of inputLines(values.file, io)) {
    let start = 0;
    for (const [i, end] of batch.ends.entries()) {
      const text = decoder.decode(batch.bytes.subarray(start, end));
      const number = batch.before + i + 1;
      const ids = values.jsonl ? jsonIds(text) : plainIds(text);
      if (typeof ids === "string") throw refuse(number, values.file, ids);
      yield { ids, number };
      start = end;
    }
  }
}

function isId(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}

/** The ids of a line, or what is wrong with it. */
function plainIds(text: string): number[] | string {
  const words = text.split(/\s+/).filter((word) => word !== "");
  const bad = words.find((word) => !/^[0-9]{1,10}$/.test(word));
  return bad === undefined ? words.map(Number) : `${quoted(bad)} is no id`;
}

function jsonIds(text: string): number[] | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "it is no JSON";
  }
  const ids = typeof value === "object" && value !== null && "ids" in value ? value.ids : value;
  return Array.isArray(ids) && ids.every(isId) ? ids : 'it is no array of ids, nor {"ids":[…]}';
}
