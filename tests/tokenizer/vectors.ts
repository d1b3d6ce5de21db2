/**
 * The reference vectors of the fixtures: what outside implementations made of given texts.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { FIXTURES } from "../fixtures.ts";

/** Folder of the tokenizer fixtures. */
export const TOKENIZERS: string = join(FIXTURES, "tokenizer");
/** Folder of the texts. */
export const TEXTS: string = join(FIXTURES, "text");

/** One line of a file of vectors. */
export interface Vector {
  readonly op?: "encode" | "decode";
  readonly id: string;
  readonly text?: string;
  readonly b64?: string;
  readonly utf16?: number[];
  readonly ids: number[];
  readonly pieces?: string[];
  readonly decoded?: string;
  readonly decoded_skip?: string;
  readonly ids_special?: number[];
  readonly with_special?: number;
  readonly model?: string;
  readonly file?: string;
}

/** Whether the fixtures are here. */
export const HAS_VECTORS: readonly string[] = [TOKENIZERS, TEXTS];

/** A tokenizer of each kind, below {@linkcode TOKENIZERS}. */
export const KINDS: readonly string[] = [
  "llama2/tokenizer.model",
  "llama3/tokenizer.model",
  "hf/llama2.legacy.tokenizer.json.gz",
  "spm-trained/mix-default-4096.model",
];

const missing = HAS_VECTORS.find((path) => !existsSync(path));

/** For `onBackends`: without the fixtures a test is ignored with the reason. */
export const NEEDS_VECTORS: { readonly ignored: string | undefined } = {
  ignored: missing === undefined ? undefined : `no ${missing}`,
};

/** The vectors of a file. */
export async function vectors(name: string): Promise<Vector[]> {
  const text = await Deno.readTextFile(join(TOKENIZERS, name));
  return text.trimEnd().split("\n").map((line) => JSON.parse(line) as Vector);
}

/** The text of a vector: a string, or bytes that may be malformed. */
export function textOf(vector: Vector): string | Uint8Array {
  if (vector.b64 !== undefined) return Uint8Array.fromBase64(vector.b64);
  if (vector.utf16 !== undefined) return String.fromCharCode(...vector.utf16);
  return vector.text!;
}

/** Texts by the id of their vectors, for files that only name them. */
export async function textsById(): Promise<Map<string, string | Uint8Array>> {
  const all = await vectors("golden-llama2.jsonl");
  return new Map(
    all.filter(({ op }) => op === "encode").map((vector) => [vector.id, textOf(vector)]),
  );
}

/** Lower-case hexadecimal SHA-256 of ids as little-endian 32-bit words. */
export async function digestOf(ids: Uint32Array): Promise<string> {
  const bytes = new Uint8Array(ids.buffer as ArrayBuffer, ids.byteOffset, ids.byteLength);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** The lines of a text that are not empty, packed. */
export function packLines(text: Uint8Array): { bytes: Uint8Array; ends: Uint32Array } {
  const bytes = new Uint8Array(text.length);
  const ends: number[] = [];
  let length = 0;
  let start = 0;
  for (let at = 0; at <= text.length; at++) {
    if (at < text.length && text[at] !== 10) continue;
    if (at > start) {
      bytes.set(text.subarray(start, at), length);
      ends.push(length += at - start);
    }
    start = at + 1;
  }
  return { bytes: bytes.subarray(0, length), ends: Uint32Array.from(ends) };
}
