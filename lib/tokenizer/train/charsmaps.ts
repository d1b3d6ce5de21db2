/**
 * SentencePiece's built-in normalization rules, compiled: what its models carry in
 * `precompiled_charsmap`. `lib/tokenizer/charsmaps` says where they come from.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import { LlameroError } from "../../base/errors.ts";
import type { NormalizationRule } from "./options.ts";

async function packed(rule: NormalizationRule): Promise<Uint8Array> {
  const url = new URL(`../charsmaps/${rule}.bin.gz`, import.meta.url);
  if (url.protocol === "file:") return await readFile(url);
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  return await response.bytes();
}

/** The compiled rules of this name; those of `identity` are empty. */
export async function charsmapOf(rule: NormalizationRule): Promise<Uint8Array> {
  if (rule === "identity") return new Uint8Array();
  try {
    return gunzipSync(await packed(rule));
  } catch (cause) {
    throw new LlameroError(`Cannot load the normalization rules "${rule}": they cannot be read`, {
      cause,
      hint: "the installation is not complete; install it again",
    });
  }
}
