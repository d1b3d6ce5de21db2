/**
 * The tokenizer of a run: what the model takes its vocabulary from, and what every checkpoint carries.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { PresetVocabulary } from "../model/presets.ts";
import type { CompiledTokenizer } from "../tokenizer/compiled_tokenizer.ts";
import { tokenizerFiles } from "../tokenizer/files.ts";
import type { RunTokenizer } from "./observer.ts";

/** What a preset takes from a tokenizer. */
export function vocabularyOf(tokenizer: CompiledTokenizer): PresetVocabulary {
  const { vocabSize, bosId, eosId } = tokenizer;
  return {
    vocabSize,
    ...(bosId === undefined ? {} : { bosTokenId: bosId }),
    ...(eosId === undefined ? { eosTokenIds: [] } : { eosTokenIds: [eosId] }),
  };
}

/** Files and byte counts of a tokenizer. @throws {FormatError} Where no Hugging Face folder can hold it. */
export function runTokenizerOf(tokenizer: CompiledTokenizer): RunTokenizer {
  const { offsets } = tokenizer.definition.decode;
  const tokenBytes = Uint16Array.from(
    { length: tokenizer.vocabSize },
    (_, id) => Math.min(0xffff, offsets[id + 1]! - offsets[id]!),
  );
  for (const id of tokenizer.definition.decode.special) tokenBytes[id] = 0;
  return { files: tokenizerFiles(tokenizer.definition, "hf"), tokenBytes };
}

/** SHA-256 of everything that decides how a tokenizer encodes, in hexadecimal digits. */
export function tokenizerHash({ files }: Pick<RunTokenizer, "files">): string {
  const hash = createHash("sha256");
  for (const { name, bytes } of files) hash.update(name).update("\0").update(bytes);
  return hash.digest("hex");
}
