/**
 * Small `tokenizer.json` files with what huggingface/tokenizers makes of texts under them.
 *
 * @module
 */

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { parseTokenizerJson } from "../../lib/formats/tokenizer_json.ts";
import { compileTokenizer } from "../../lib/tokenizer/compiled.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled_tokenizer.ts";
import { NO_NAMES } from "../../lib/tokenizer/config_files.ts";
import { defineHuggingFace } from "../../lib/tokenizer/huggingface.ts";

/** A text and its ids, with special tokens parsed and (`plain`) as text, and what the ids decode to. */
interface HuggingFaceVector {
  readonly text: string;
  readonly ids: readonly number[];
  readonly plain: readonly number[];
  readonly decoded: string;
  readonly skipped: string;
}

/** One tokenizer and its texts. */
export interface HuggingFaceCase {
  /** What is tested. */
  readonly name: string;
  /** The texts. */
  readonly vectors: readonly HuggingFaceVector[];
}

/** Reads a file of cases from `tests/golden/tokenizer`. */
export async function goldenCases<T>(name: string): Promise<T> {
  const url = new URL(`../golden/tokenizer/${name}.json`, import.meta.url);
  return JSON.parse(await Deno.readTextFile(url)) as T;
}

/** Whether the tokenizer of a file gives the ids and texts of the case, streamed ones included. */
export function assertCase(
  backend: Backend,
  { name, vectors, file }: HuggingFaceCase & { readonly file: unknown },
): void {
  const bytes = new TextEncoder().encode(JSON.stringify(file));
  const json = parseTokenizerJson(bytes, `${name}.json`);
  const tokenizer = compileTokenizer(defineHuggingFace(json, NO_NAMES), backend);
  for (const { text, ids, plain, decoded, skipped } of vectors) {
    const where = `${name}: ${JSON.stringify(text)}`;
    deepStrictEqual([...tokenizer.encode(text, { special: "parse" })], ids, where);
    deepStrictEqual([...tokenizer.encode(text, { special: "text" })], plain, `${where}, as text`);
    strictEqual(tokenizer.decode(ids), decoded, where);
    strictEqual(tokenizer.decode(ids, { skipSpecial: true }), skipped, `${where}, skipped`);
    for (const step of [1, 3]) {
      deepStrictEqual(streamed(tokenizer, text, step), ids, `${where}, by ${step} bytes`);
    }
  }
  tokenizer.close();
}

/** The ids of a text that comes a few bytes at a time. */
function streamed(tokenizer: CompiledTokenizer, text: string, step: number): number[] {
  const encoder = tokenizer.encoder({ special: "parse" });
  const bytes = new TextEncoder().encode(text);
  const ids: number[] = [];
  for (let at = 0; at < bytes.length; at += step) {
    ids.push(...encoder.push(bytes.subarray(at, at + step)));
  }
  return [...ids, ...encoder.end()];
}
