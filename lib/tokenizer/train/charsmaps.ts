/**
 * SentencePiece's built-in normalization rules, compiled: what its models carry in
 * `precompiled_charsmap`. `lib/tokenizer/charsmaps` says where they come from.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import { FormatError, LlameroError } from "../../base/errors.ts";
import { fileError } from "../../base/file_error.ts";
import { quotedPath } from "../../base/quoted.ts";
import { compileRules, parseRules } from "./compile_rules.ts";
import type { NormalizationRule, Training } from "./options.ts";

async function packed(rule: NormalizationRule): Promise<Uint8Array> {
  const url = new URL(`../charsmaps/${rule}.bin.gz`, import.meta.url);
  if (url.protocol === "file:") return await readFile(url);
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  return await response.bytes();
}

/** The compiled rules of this name; those of `identity` are empty. */
async function charsmapOf(rule: NormalizationRule): Promise<Uint8Array> {
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

/** The rules of a training: those of its file, or those that its name says. @throws {FormatError} */
export async function charsmapOfTraining(training: Training): Promise<Uint8Array> {
  if (training.kind === "bytes") return new Uint8Array();
  const path = training.normalizationRuleTsv;
  if (path === "") return await charsmapOf(training.normalizationRuleName);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (thrown) {
    throw fileError(thrown, { action: "read", path });
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(`Cannot read the rules ${quotedPath(path)}: they are not UTF-8`, {
      file: path,
      cause,
    });
  }
  return compileRules(parseRules(text, path));
}
