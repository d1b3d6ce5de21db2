/**
 * Hugging Face `tokenizer.json`: everything but the vocabulary and the merges as it stands, those two
 * as flat arrays (huggingface/tokenizers, `Tokenizer::from_file`).
 *
 * @module
 */

import { FormatError } from "../base/errors.ts";
import { JsonScanner, type JsonValue, type RefuseJson } from "../base/json_scanner.ts";
import { quoted } from "../base/quoted.ts";
import { FlatStrings } from "./flat_strings.ts";

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** An object of JSON, its keys in the order of the file. */
export type JsonObject = Map<string, JsonValue>;

/** An entry of `added_tokens`. */
export interface AddedToken {
  /** The id that the file gives it. */
  readonly id: number;
  /** Its text. */
  readonly content: string;
  /** It matches only where no word goes on at its ends. */
  readonly singleWord: boolean;
  /** It takes the white space before it. */
  readonly lstrip: boolean;
  /** It takes the white space behind it. */
  readonly rstrip: boolean;
  /** It is matched in normalized text. */
  readonly normalized: boolean;
  /** It can be skipped in decoding. */
  readonly special: boolean;
}

/** The parts of a `tokenizer.json` that decide what it does. */
export interface TokenizerJson {
  /** The file, for errors. */
  readonly file: string;
  /** All of it, in UTF-8, if it is a file. */
  readonly source?: Uint8Array;
  /** Tokens that are found before anything else. */
  readonly addedTokens: readonly AddedToken[];
  /** What is done to text first. */
  readonly normalizer: JsonObject | undefined;
  /** How text is split. */
  readonly preTokenizer: JsonObject | undefined;
  /** What is added to ids. */
  readonly postProcessor: JsonObject | undefined;
  /** How tokens become text. */
  readonly decoder: JsonObject | undefined;
  /** The model without its vocabulary and merges. */
  readonly model: JsonObject;
  /** Texts of the vocabulary in file order. */
  readonly vocab: FlatStrings;
  /** Id of each text of the vocabulary. */
  readonly vocabIds: Uint32Array;
  /** Left and right halves of the merges, alternating. */
  readonly merges: FlatStrings;
}

/** Makes the error for a file that does not hold what its format promises. */
function tokenizerJsonRefusal(file: string): RefuseJson {
  return (what, offset) =>
    new FormatError(`Cannot read ${quoted(file)} as a tokenizer.json: ${what}`, { file, offset });
}

/** Reads a `tokenizer.json` into its parts. @throws {FormatError} With file and byte, where it is none. */
export function parseTokenizerJson(bytes: Uint8Array, file: string): TokenizerJson {
  const refuse = tokenizerJsonRefusal(file);
  const scanner = new JsonScanner(bytes, refuse);
  const top: JsonObject = new Map();
  const reader = new ModelReader(bytes, scanner, refuse);
  scanner.object((key) => {
    if (key === "model") reader.read();
    else top.set(key, scanner.value());
  });
  scanner.end();
  if (reader.model.size === 0) throw refuse("it has no model", 0);
  const part = (key: string): JsonObject | undefined => {
    const value = top.get(key) ?? null;
    if (value === null) return undefined;
    if (!(value instanceof Map)) throw refuse(`${key} is no object`, 0);
    return value;
  };
  return {
    file,
    source: bytes,
    addedTokens: addedTokens(top.get("added_tokens") ?? [], refuse),
    normalizer: part("normalizer"),
    preTokenizer: part("pre_tokenizer"),
    postProcessor: part("post_processor"),
    decoder: part("decoder"),
    model: reader.model,
    vocab: reader.vocab,
    vocabIds: Uint32Array.from(reader.ids),
    merges: reader.merges,
  };
}

function addedTokens(value: JsonValue, refuse: RefuseJson): AddedToken[] {
  if (!Array.isArray(value)) throw refuse("added_tokens is no array", 0);
  return value.map((entry, i) => {
    const object = entry instanceof Map ? entry : new Map<string, JsonValue>();
    const [id, content] = [object.get("id"), object.get("content")];
    const valid = typeof id === "number" && Number.isInteger(id) && id >= 0 && id < 2 ** 27;
    if (!valid || typeof content !== "string") {
      throw refuse(`added token ${i} has no id or no content`, 0);
    }
    const flag = (name: string): boolean => object.get(name) === true;
    return {
      id,
      content,
      singleWord: flag("single_word"),
      lstrip: flag("lstrip"),
      rstrip: flag("rstrip"),
      normalized: flag("normalized"),
      special: flag("special"),
    };
  });
}

/** Reads the `model` object, whose two big members are not worth a JavaScript string per entry. */
class ModelReader {
  readonly model: JsonObject = new Map();
  readonly vocab = new FlatStrings();
  readonly ids: number[] = [];
  readonly merges = new FlatStrings();
  readonly #bytes: Uint8Array;
  readonly #scanner: JsonScanner;
  readonly #refuse: RefuseJson;

  constructor(bytes: Uint8Array, scanner: JsonScanner, refuse: RefuseJson) {
    this.#bytes = bytes;
    this.#scanner = scanner;
    this.#refuse = refuse;
  }

  read(): void {
    this.#scanner.object((key) => {
      const at = skipSpace(this.#bytes, this.#scanner.position);
      if (key === "vocab" && this.#bytes[at] === OPEN_BRACE) this.#readVocab(at + 1);
      else if (key === "merges" && this.#bytes[at] === OPEN_BRACKET) this.#readMerges(at + 1);
      else this.model.set(key, this.#scanner.value());
    });
  }

  /** The place behind a byte that must stand at `at`. */
  #behind(at: number, byte: number): number {
    const found = skipSpace(this.#bytes, at);
    if (this.#bytes[found] === byte) return found + 1;
    this.#scanner.position = found;
    throw this.#scanner.unexpected(`'${String.fromCharCode(byte)}'`);
  }

  /** Appends the string at `at`; gives the place behind it. */
  #string(at: number, to: FlatStrings): number {
    const start = this.#behind(at, QUOTE);
    const end = to.addJson(this.#bytes, start);
    if (end >= 0) return end;
    // Escapes are rare, and the general way knows all of them.
    this.#scanner.position = start - 1;
    to.add(new TextEncoder().encode(this.#scanner.string()));
    to.reserve(this.#bytes.length - this.#scanner.position);
    return this.#scanner.position;
  }

  #readVocab(from: number): void {
    const bytes = this.#bytes;
    let at = skipSpace(bytes, from);
    this.vocab.reserve(bytes.length - at);
    while (bytes[at] !== CLOSE_BRACE) {
      at = this.vocab.addJsonNumbered(bytes, at, this.ids);
      at = skipSpace(bytes, this.#behind(this.#string(at, this.vocab), COLON));
      const start = at;
      let id = 0;
      while (bytes[at]! >= 0x30 && bytes[at]! <= 0x39 && at - start < 10) {
        id = id * 10 + bytes[at++]! - 0x30;
      }
      if (at === start || id >= 2 ** 27) throw this.#refuse("an id is no number below 2^27", start);
      this.ids.push(id);
      at = this.#next(at, CLOSE_BRACE);
    }
    this.#scanner.position = at + 1;
  }

  #readMerges(from: number): void {
    const bytes = this.#bytes;
    let at = skipSpace(bytes, from);
    this.merges.reserve(bytes.length - at);
    while (bytes[at] !== CLOSE_BRACKET) {
      at = this.merges.addJsonPairs(bytes, at);
      const start = at;
      if (bytes[at] === OPEN_BRACKET) {
        at = this.#behind(this.#string(at + 1, this.merges), COMMA);
        at = this.#behind(this.#string(at, this.merges), CLOSE_BRACKET);
      } else {
        at = this.#string(at, this.merges);
        if (!this.merges.splitLastAtSpace()) {
          throw this.#refuse("a merge is not two texts with one space between", start);
        }
      }
      at = this.#next(at, CLOSE_BRACKET);
    }
    this.#scanner.position = at + 1;
  }

  /** The place of the next entry behind a comma, or of the closing bracket. */
  #next(at: number, close: number): number {
    const found = skipSpace(this.#bytes, at);
    if (this.#bytes[found] === close) return found;
    const next = skipSpace(this.#bytes, this.#behind(found, COMMA));
    if (this.#bytes[next] !== close) return next;
    this.#scanner.position = next;
    throw this.#scanner.unexpected("an entry");
  }
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++;
  return at;
}
