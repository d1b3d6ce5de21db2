/**
 * A tokenizer as the metadata of a GGUF file (ggml's `docs/gguf.md`, keys `tokenizer.ggml.*`).
 *
 * @module
 */

import { FormatError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import type { GgufValue } from "../formats/gguf_types.ts";
import {
  PIECE_TYPE,
  pieceBytes,
  pieceCount,
  type PieceList,
  pieceText,
} from "../formats/piece_list.ts";
import { asSentencePiece, refuseBeyondMerges, refusePreparation } from "./as_sentencepiece.ts";
import { characterPiece } from "./byte_level.ts";
import type { TokenizerDefinition } from "./definition.ts";
import { FLAG, PREFIX, SPECIAL_FLAG } from "./description.ts";
import { GGUF_TOKENIZER } from "./gguf.ts";
import { byteLevelMerges, type MergeList } from "./merge_list.ts";
import { patternOfFlags } from "./split_patterns.ts";

type Entry = readonly [name: string, value: GgufValue];

const strings = (value: string[]): GgufValue => ({ type: "array", of: "string", value });
const integers = (value: Int32Array): GgufValue => ({ type: "array", of: "i32", value });

function ids(definition: TokenizerDefinition): Entry[] {
  const named = [
    ["bos_token_id", definition.bosId],
    ["eos_token_id", definition.eosId],
    ["unknown_token_id", definition.unkId],
    ["padding_token_id", definition.padId],
  ] as const;
  const present = named.flatMap(([name, value]): Entry[] =>
    value === undefined ? [] : [[name, { type: "u32", value }]]
  );
  const name = (wanted: string): number | undefined =>
    definition.description.specials.find((token) => token.name === wanted)?.id;
  const ends = [["eot_token_id", name("<|eot_id|>")], [
    "eom_token_id",
    name("<|eom_id|>"),
  ]] as const;
  return [
    ...present,
    ...ends.flatMap(([key, value]): Entry[] =>
      value === undefined ? [] : [[key, { type: "u32", value }]]
    ),
    ["add_bos_token", { type: "bool", value: definition.addBos }],
    ["add_eos_token", { type: "bool", value: definition.addEos }],
  ];
}

function symbols(definition: TokenizerDefinition): Entry[] {
  const { pieces } = asSentencePiece(definition, "GGUF");
  const { description } = definition;
  const count = pieceCount(pieces);
  const charsmap: Entry[] = description.charsmap.length === 0 ? [] : [[
    "precompiled_charsmap",
    { type: "array", of: "u8", value: description.charsmap.slice() },
  ]];
  const removeExtra = (description.flags & FLAG.removeExtra) !== 0;
  return [
    ["model", { type: "string", value: "llama" }],
    ["pre", { type: "string", value: "default" }],
    ["tokens", strings(Array.from({ length: count }, (_, id) => pieceText(pieces, id)))],
    ["scores", { type: "array", of: "f32", value: pieces.scores.slice() }],
    ["token_type", integers(Int32Array.from(pieces.types))],
    ["add_space_prefix", { type: "bool", value: description.prefix !== PREFIX.none }],
    ["remove_extra_whitespaces", { type: "bool", value: removeExtra }],
    ...charsmap,
  ];
}

/** The name of how text is split and whether whole pieces come before merges. */
function preOf({ description: { flags }, file }: TokenizerDefinition): string {
  const { name, pre, wholePre } = patternOfFlags(flags);
  const [value] = (flags & FLAG.wholeFirst) === 0 ? pre : wholePre;
  if (value !== undefined) return value;
  throw new FormatError(
    `Cannot write the tokenizer ${
      quoted(file)
    } as GGUF: it takes whole pieces before merges and splits by ${name}, which has no name there`,
    { file, hint: "keep its tokenizer.json, which says so" },
  );
}

/** Whether an id has a piece that bytes merge into. */
function isPiece(pieces: PieceList, id: number): boolean {
  return id < pieceCount(pieces) && pieces.offsets[id]! < pieces.offsets[id + 1]!;
}

function bytes(definition: TokenizerDefinition): Entry[] {
  const { pieces, description } = definition;
  const count = pieceCount(pieces);
  const names = new Map(description.specials.map(({ id, name }) => [id, name]));
  const tokens = Array.from({ length: count }, (_, id) => {
    const name = names.get(id);
    if (name !== undefined) return name;
    const own = isPiece(description.pieces, id);
    return own ? characterPiece(pieceBytes(description.pieces, id)) : `[PAD${id}]`;
  });
  const flags = new Map(description.specials.map(({ id, flags }) => [id, flags]));
  const type = (id: number): number => {
    const own = flags.get(id);
    if (own !== undefined) {
      return (own & SPECIAL_FLAG.always) !== 0 ? PIECE_TYPE.userDefined : PIECE_TYPE.control;
    }
    return isPiece(description.pieces, id) ? PIECE_TYPE.normal : PIECE_TYPE.unused;
  };
  return [
    ["model", { type: "string", value: "gpt2" }],
    ["pre", { type: "string", value: preOf(definition) }],
    ["tokens", strings(tokens)],
    ["token_type", integers(Int32Array.from(tokens, (_, id) => type(id)))],
    ["merges", strings(mergeTexts(byteLevelMerges(description)))],
  ];
}

function mergeTexts({ texts: { bytes, offsets }, merges }: MergeList): string[] {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const text = (i: number): string => decoder.decode(bytes.subarray(offsets[i], offsets[i + 1]));
  return Array.from(merges, ([left, right]) => `${text(left)} ${text(right)}`);
}

/**
 * The keys and values that a GGUF file holds its tokenizer in.
 *
 * @throws {FormatError} If merges alone do not say what it does.
 */
export function asGgufMetadata(definition: TokenizerDefinition): Map<string, GgufValue> {
  refuseBeyondMerges(definition, "GGUF");
  refusePreparation(definition, "GGUF");
  const own = definition.description.family === "symbols" ? symbols(definition) : bytes(definition);
  const entries = [...own, ...ids(definition)];
  return new Map(entries.map(([name, value]) => [GGUF_TOKENIZER + name, value]));
}
