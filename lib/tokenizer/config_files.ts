/**
 * What stands about special tokens beside a tokenizer: `tokenizer_config.json`,
 * `special_tokens_map.json`, and the template inside `tokenizer.json`.
 *
 * @module
 */

import { FormatError } from "../base/errors.ts";
import { type JsonValue, parseStrictJson } from "../base/json_scanner.ts";
import { quoted } from "../base/quoted.ts";
import type { JsonObject } from "../formats/tokenizer_json.ts";

/** Names of tokens with a meaning, and whether they are added to texts. */
export interface NamedTokens {
  /** The token that begins a text. */
  readonly bos?: string | undefined;
  /** The token that ends a text. */
  readonly eos?: string | undefined;
  /** The token that fills up batches. */
  readonly pad?: string | undefined;
  /** Whether the begin token is added. */
  readonly addBos?: boolean | undefined;
  /** Whether the end token is added. */
  readonly addEos?: boolean | undefined;
  /** Tokens by id (`added_tokens_decoder`). */
  readonly added: readonly { readonly id: number; readonly name: string }[];
}

/** What is known of special tokens where no config file lies beside the tokenizer: nothing. */
export const NO_NAMES: NamedTokens = { added: [] };

function parseObject(bytes: Uint8Array, file: string): JsonObject {
  const refuse = (what: string, offset: number): FormatError =>
    new FormatError(`Cannot read ${quoted(file)}: ${what}`, { file, offset });
  const value = parseStrictJson(bytes, refuse);
  if (value instanceof Map) return value;
  throw refuse("it is no JSON object", 0);
}

/** A token's text, which stands as a string or as an object with a `content`. */
function tokenText(value: JsonValue | undefined): string | undefined {
  if (typeof value === "string") return value;
  const content = value instanceof Map ? value.get("content") : undefined;
  return typeof content === "string" ? content : undefined;
}

function boolean(value: JsonValue | undefined): boolean | undefined {
  return typeof value === "boolean" ? value : undefined;
}

/** Reads a `tokenizer_config.json` or `special_tokens_map.json`. @throws {FormatError} */
export function parseNamedTokens(bytes: Uint8Array, file: string): NamedTokens {
  const config = parseObject(bytes, file);
  const decoder = config.get("added_tokens_decoder");
  const added: { id: number; name: string }[] = [];
  if (decoder instanceof Map) {
    for (const [key, value] of decoder) {
      const name = tokenText(value);
      if (/^[0-9]{1,9}$/.test(key) && name !== undefined) added.push({ id: Number(key), name });
    }
  }
  return {
    bos: tokenText(config.get("bos_token")),
    eos: tokenText(config.get("eos_token")),
    pad: tokenText(config.get("pad_token")),
    addBos: boolean(config.get("add_bos_token")),
    addEos: boolean(config.get("add_eos_token")),
    added: added.sort((a, b) => a.id - b.id),
  };
}

/** What both say, the first before the second. */
export function mergeNamedTokens(first: NamedTokens, second: NamedTokens): NamedTokens {
  return {
    bos: first.bos ?? second.bos,
    eos: first.eos ?? second.eos,
    pad: first.pad ?? second.pad,
    addBos: first.addBos ?? second.addBos,
    addEos: first.addEos ?? second.addEos,
    added: first.added.length > 0 ? first.added : second.added,
  };
}

/** The tokens that the template of a `tokenizer.json` puts before and behind one text. */
export function tokensOfTemplate(
  processor: JsonObject | undefined,
): { first: string | undefined; last: string | undefined } {
  const nested = processor?.get("processors");
  const processors = Array.isArray(nested) ? nested : [processor ?? null];
  const names: { first: string | undefined; last: string | undefined } = {
    first: undefined,
    last: undefined,
  };
  for (const step of processors) {
    if (!(step instanceof Map) || step.get("type") !== "TemplateProcessing") continue;
    const single = step.get("single");
    let behind = false;
    for (const entry of Array.isArray(single) ? single : []) {
      if (!(entry instanceof Map)) continue;
      if (entry.has("Sequence")) behind = true;
      const token = entry.get("SpecialToken");
      const id = token instanceof Map ? token.get("id") : undefined;
      if (typeof id === "string") names[behind ? "last" : "first"] = id;
    }
  }
  return names;
}
