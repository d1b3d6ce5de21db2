/**
 * Opening a tokenizer, whatever kind of file it stands in.
 *
 * @module
 */

import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { Backend } from "../backend/backend.ts";
import { FormatError } from "../base/errors.ts";
import { fileError } from "../base/file_error.ts";
import { quoted } from "../base/quoted.ts";
import { readGguf } from "../formats/gguf.ts";
import { InputFile } from "../formats/input_file.ts";
import { parseLlama2cTokenizer } from "../formats/llama2c_tokenizer.ts";
import { parseSentencePieceModel } from "../formats/sentencepiece_model.ts";
import { looksLikeRanks, parseTiktokenRanks } from "../formats/tiktoken_ranks.ts";
import { parseTokenizerJson } from "../formats/tokenizer_json.ts";
import { compileTokenizer } from "./compiled.ts";
import type { CompiledTokenizer } from "./compiled_tokenizer.ts";
import { mergeNamedTokens, type NamedTokens, NO_NAMES, parseNamedTokens } from "./config_files.ts";
import type { TokenizerDefinition } from "./definition.ts";
import { defineGguf } from "./gguf.ts";
import { defineHuggingFace } from "./huggingface.ts";
import { defineLlama2c } from "./llama2c.ts";
import { defineSentencePiece, isOwnKind } from "./sentencepiece.ts";
import { sharedTextBackend } from "./text_engine.ts";
import { defineTiktoken, usualSpecials } from "./tiktoken.ts";

/** How to open a tokenizer. */
export interface OpenTokenizerOptions {
  /** Vocabulary size of the model that it is for; a tokenizer that does not fit is refused. */
  readonly vocabSize?: number | undefined;
  /** Where it encodes; by default on one thread of the best backend that is there. */
  readonly backend?: Backend | undefined;
}

/** Files of a folder that may be its tokenizer, the preferred one first. */
const NAMES = ["tokenizer.model", "tokenizer.json", "tokenizer.json.gz", "tokenizer.bin"];

/** Larger files are no tokenizers; GGUF files are read by their parts. */
const LARGEST_FILE = 1 << 28;
const LARGEST_CONFIG = 1 << 24;

/** Models pad their vocabulary to a multiple of at most this. */
const MOST_PADDING = 1024;

/**
 * Opens a tokenizer file, or the tokenizer of a folder.
 *
 * @example
 * ```ts
 * const tokenizer = await openTokenizer("model/tokenizer.model");
 * const ids = tokenizer.encode("Hello world", { bos: true });
 * ```
 * @throws {FormatError} If it is none, or not consistent.
 */
export async function openTokenizer(
  path: string,
  options: OpenTokenizerOptions = {},
): Promise<CompiledTokenizer> {
  const definition = await readDefinition(path);
  checkSize(definition, options.vocabSize);
  if (definition.model !== undefined && !isOwnKind(definition.model)) {
    const { openForeignSentencePiece } = await import("./sentencepiece_js.ts");
    return await openForeignSentencePiece(definition);
  }
  return compileTokenizer(definition, options.backend ?? await sharedTextBackend());
}

function checkSize({ file, vocabSize }: TokenizerDefinition, wanted: number | undefined): void {
  if (wanted === undefined) return;
  if (vocabSize <= wanted && wanted - vocabSize < MOST_PADDING) return;
  throw new FormatError(
    `Cannot use the tokenizer ${
      quoted(file)
    }: it has ${vocabSize} ids, and the model has ${wanted}`,
    { file, hint: "give the tokenizer that the model was trained with" },
  );
}

/** Reads a tokenizer file, or the one of a folder, without compiling it. */
export async function readDefinition(path: string): Promise<TokenizerDefinition> {
  const file = findFile(path);
  const kind = detect(file);
  if (kind === "gguf") return defineGguf(await readGguf(file));
  const named = namesBeside(file);
  const bytes = readWhole(file, LARGEST_FILE);
  switch (kind) {
    case "gzip":
      return defineHuggingFace(parseTokenizerJson(unzipped(bytes, file), file), named);
    case "json":
      return defineHuggingFace(parseTokenizerJson(bytes, file), named);
    case "ranks":
      return tiktoken(bytes, { file, named });
    case "bin":
      return defineLlama2c(parseLlama2cTokenizer(bytes, file), file);
    case "model":
      return defineSentencePiece(parseSentencePieceModel(bytes, file), file);
  }
}

function findFile(path: string): string {
  try {
    if (!statSync(path).isDirectory()) return path;
  } catch (thrown) {
    throw fileError(thrown, { action: "read", path });
  }
  const name = NAMES.find((name) =>
    statSync(join(path, name), { throwIfNoEntry: false })?.isFile() === true
  );
  if (name !== undefined) return join(path, name);
  throw new FormatError(
    `Cannot open the tokenizer ${quoted(path)}: the folder has none of ${NAMES.join(", ")}`,
    { file: path },
  );
}

function readWhole(path: string, largest: number): Uint8Array {
  using file = InputFile.open(path);
  if (file.size > largest) {
    throw new FormatError(
      `Cannot read ${quoted(path)}: it has ${file.size} bytes, at most ${largest} were expected`,
      { file: path },
    );
  }
  return file.read(0, file.size);
}

/** What a file is, by its first bytes. */
function detect(path: string): "gguf" | "gzip" | "json" | "ranks" | "bin" | "model" {
  using file = InputFile.open(path);
  const head = file.read(0, Math.min(file.size, 1024));
  if (head.length === 0) {
    throw new FormatError(`Cannot open the tokenizer ${quoted(path)}: the file is empty`, {
      file: path,
    });
  }
  const text = new TextDecoder("latin1").decode(head);
  if (text.startsWith("GGUF")) return "gguf";
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  if (/^[\s]*\{/.test(text)) return "json";
  if (looksLikeRanks(head)) return "ranks";
  // A model's first field is a piece; llama2.c's file begins with a small number in four bytes.
  const isModel = head[0] === 0x0a && head[2] === 0x0a;
  const isBin = head.length >= 12 && head[2] === 0 && head[3] === 0;
  return isBin && !isModel ? "bin" : "model";
}

function unzipped(bytes: Uint8Array, file: string): Uint8Array {
  try {
    return gunzipSync(bytes, { maxOutputLength: LARGEST_FILE });
  } catch (cause) {
    throw new FormatError(`Cannot read ${quoted(file)}: it is no complete gzip file`, {
      file,
      cause,
    });
  }
}

/** What the config files beside a tokenizer say. */
function namesBeside(file: string): NamedTokens {
  let names = NO_NAMES;
  for (const name of ["tokenizer_config.json", "special_tokens_map.json"]) {
    const path = join(dirname(file), name);
    if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) continue;
    names = mergeNamedTokens(names, parseNamedTokens(readWhole(path, LARGEST_CONFIG), path));
  }
  return names;
}

function tiktoken(
  bytes: Uint8Array,
  { file, named }: { file: string; named: NamedTokens },
): TokenizerDefinition {
  const ranks = parseTiktokenRanks(bytes, file);
  const count = ranks.types.length;
  const beside = named.added.filter(({ id }) => id >= count && id < count + 65536)
    .map(({ id, name }) => ({ id, name, flags: 0 }));
  return defineTiktoken(ranks, beside.length > 0 ? beside : usualSpecials(count), { file });
}
