/**
 * Tokenizers inside GGUF files (ggml's `docs/gguf.md`, keys `tokenizer.ggml.*`): SentencePiece BPE as
 * `llama`, byte-level BPE as `gpt2`.
 *
 * @module
 */

import { quoted } from "../base/quoted.ts";
import { FlatStrings } from "../formats/flat_strings.ts";
import {
  ggufBoolean,
  ggufFloats,
  ggufInteger,
  ggufIntegers,
  type GgufMetadata,
  ggufString,
  ggufStrings,
} from "../formats/gguf_values.ts";
import { PIECE_TYPE, type PieceList, PieceListBuilder } from "../formats/piece_list.ts";
import type { AddedToken, TokenizerJson } from "../formats/tokenizer_json.ts";
import { refusal } from "../formats/tensor_file.ts";
import { byteOfPiece } from "./decode_table.ts";
import { endIds, type TokenizerDefinition } from "./definition.ts";
import { byteLevelParts } from "./huggingface_bytes.ts";
import { sentencePieceDefinition } from "./sentencepiece.ts";
import { patternOfPre, SPLIT_PATTERNS } from "./split_patterns.ts";

/** Prefix of all keys. */
export const GGUF_TOKENIZER = "tokenizer.ggml.";

interface Ids {
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
}

/** The definition of the tokenizer in a GGUF file. @throws {FormatError} If there is none. */
export function defineGguf(file: GgufMetadata): TokenizerDefinition {
  const key = (name: string): string => GGUF_TOKENIZER + name;
  const model = ggufString(file, key("model"));
  const tokens = ggufStrings(file, key("tokens"));
  if (model === undefined || tokens === undefined) {
    throw refusal(file.path, "it has no tokenizer", {
      hint: "give the model's tokenizer with --tokenizer",
    });
  }
  // Where a file does not say, llama.cpp takes these of Llama's.
  const [bos, eos] = model === "llama" ? [1, 2] : [];
  const ids: Ids = {
    bosId: tokenId(file, "bos", tokens.length, bos),
    eosId: tokenId(file, "eos", tokens.length, eos),
    padId: tokenId(file, "padding", tokens.length),
  };
  if (model === "llama") return sentencePiece(file, tokens, ids);
  if (model === "gpt2") return byteLevel(file, tokens, ids);
  throw refusal(file.path, `its tokenizer is of the kind ${quoted(model)}, wanted llama or gpt2`);
}

function tokenId(
  file: GgufMetadata,
  name: string,
  count: number,
  usual?: number,
): number | undefined {
  const id = ggufInteger(file, `${GGUF_TOKENIZER}${name}_token_id`) ?? usual;
  // Writers put -1 or 2^32 - 1 for "none".
  return id === undefined || id < 0 || id >= count ? undefined : id;
}

function types(file: GgufMetadata, count: number): ArrayLike<number> | undefined {
  const found = ggufIntegers(file, `${GGUF_TOKENIZER}token_type`);
  if (found !== undefined && found.length !== count) {
    throw refusal(file.path, `it has ${found.length} token types for ${count} tokens`);
  }
  return found;
}

function typeOf(token: string, id: number, listed: ArrayLike<number> | undefined): number {
  const type = listed?.[id];
  if (type !== undefined && type >= 1 && type <= 6) return type;
  if (token === "<unk>") return PIECE_TYPE.unknown;
  if (token === "<s>" || token === "</s>") return PIECE_TYPE.control;
  return byteOfPiece(new TextEncoder().encode(token)) >= 0 ? PIECE_TYPE.byte : PIECE_TYPE.normal;
}

function sentencePiece(
  file: GgufMetadata,
  tokens: readonly string[],
  ids: Ids,
): TokenizerDefinition {
  const scores = ggufFloats(file, `${GGUF_TOKENIZER}scores`);
  if (scores === undefined || scores.length !== tokens.length) {
    throw refusal(
      file.path,
      `it has ${scores?.length ?? 0} token scores for ${tokens.length} tokens`,
    );
  }
  if (scores.some(Number.isNaN)) throw refusal(file.path, "a token's score is NaN");
  const listed = types(file, tokens.length);
  const pieces = new PieceListBuilder();
  tokens.forEach((token, id) => {
    pieces.addText(token, { score: scores[id]!, type: typeOf(token, id, listed) });
  });
  const flag = (name: string): boolean | undefined => ggufBoolean(file, GGUF_TOKENIZER + name);
  const charsmap = file.metadata.get(`${GGUF_TOKENIZER}precompiled_charsmap`);
  const rules = charsmap?.type === "array" && (charsmap.of === "u8" || charsmap.of === "i8")
    ? Uint8Array.from(charsmap.value, (byte) => byte & 255)
    : new Uint8Array();
  const list = withUnknown(pieces.finish(), tokenId(file, "unknown", tokens.length));
  return sentencePieceDefinition(list, {
    charsmap: rules,
    rulesName: "",
    dummyPrefix: flag("add_space_prefix") ?? true,
    removeExtra: flag("remove_extra_whitespaces") ?? false,
    escape: true,
    suffix: false,
    byteFallback: list.types.includes(PIECE_TYPE.byte),
    unkSurface: " \u2047 ",
  }, {
    file: file.path,
    ids,
    addBos: flag("add_bos_token") ?? true,
    addEos: flag("add_eos_token") ?? false,
  });
}

/** Pieces of which one is the unknown one; writers forget to say which, or call others so too. */
function withUnknown(pieces: PieceList, said: number | undefined): PieceList {
  const types = pieces.types.map((type) => type === PIECE_TYPE.unknown ? PIECE_TYPE.unused : type);
  const first = pieces.types.indexOf(PIECE_TYPE.unknown);
  const id = said !== undefined && pieces.types[said] !== PIECE_TYPE.normal ? said : first;
  types[Math.max(id, 0)] = PIECE_TYPE.unknown;
  return { ...pieces, types };
}

function byteLevel(file: GgufMetadata, tokens: readonly string[], ids: Ids): TokenizerDefinition {
  const pre = ggufString(file, `${GGUF_TOKENIZER}pre`) ?? "default";
  const split = patternOfPre(pre);
  if (split === undefined) {
    const names = SPLIT_PATTERNS.flatMap(({ pre, wholePre }) => [...wholePre, ...pre].slice(0, 1));
    const known = names.map((name) => quoted(name)).join(", ");
    throw refusal(file.path, `its tokenizer splits text by ${quoted(pre)}, wanted one of ${known}`);
  }
  const json = asJson(file, tokens);
  const parts = byteLevelParts(json, {
    split,
    wholeFirst: split.wholePre.includes(pre),
    addedMerge: false,
  });
  const specials = json.addedTokens.map(({ content, id }) => ({ name: content, id }));
  const flag = (name: string): boolean | undefined => ggufBoolean(file, GGUF_TOKENIZER + name);
  return {
    ...parts,
    kind: "huggingface",
    file: file.path,
    vocabSize: tokens.length,
    replaceBytes: false,
    ...ids,
    unkId: undefined,
    endIds: endIds(ids.eosId, specials),
    // Of the tokenizers whose bytes merge, llama.cpp takes this for granted with Llama 3's alone.
    addBos: flag("add_bos_token") ?? split.wholePre.includes(pre),
    addEos: flag("add_eos_token") ?? false,
  };
}

/** The same as a `tokenizer.json` would say. */
function asJson(file: GgufMetadata, tokens: readonly string[]): TokenizerJson {
  const listed = types(file, tokens.length);
  const vocab = new FlatStrings();
  const encoder = new TextEncoder();
  const addedTokens: AddedToken[] = [];
  tokens.forEach((token, id) => {
    vocab.add(encoder.encode(token));
    const type = listed?.[id] ?? PIECE_TYPE.normal;
    if (type !== PIECE_TYPE.control && type !== PIECE_TYPE.userDefined) return;
    if (token === "") return;
    const special = type === PIECE_TYPE.control;
    const plain = { singleWord: false, lstrip: false, rstrip: false, normalized: false };
    addedTokens.push({ id, content: token, special, ...plain });
  });
  const merges = new FlatStrings();
  const lines = ggufStrings(file, `${GGUF_TOKENIZER}merges`) ?? [];
  lines.forEach((line, i) => {
    merges.add(encoder.encode(line));
    if (!merges.splitLastAtSpace()) {
      throw refusal(file.path, `merge ${i} is ${quoted(line)}, wanted two texts and one space`);
    }
  });
  return {
    file: file.path,
    addedTokens,
    normalizer: undefined,
    preTokenizer: undefined,
    postProcessor: undefined,
    decoder: undefined,
    model: new Map(),
    vocab,
    vocabIds: Uint32Array.from(tokens, (_, id) => id),
    merges,
  };
}
