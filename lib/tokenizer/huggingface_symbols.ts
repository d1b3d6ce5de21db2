/**
 * `tokenizer.json` files whose characters merge: Llama 2, TinyLlama.
 *
 * @module
 */

import { PIECE_TYPE, type PieceList, PieceListBuilder } from "../formats/piece_list.ts";
import type { JsonObject, TokenizerJson } from "../formats/tokenizer_json.ts";
import { byteOfPiece, type DecodeRules, pieceDecodeTable } from "./decode_table.ts";
import { FLAG, NONE, PREFIX } from "./description.ts";
import {
  addedSpecials,
  type FamilyParts,
  placesById,
  steps,
  stringPattern,
  unsupported,
} from "./huggingface.ts";

const MARK = "\u2581";

/** How text is prepared. */
interface Preparation {
  readonly prefix: number;
  readonly splitSpaces: boolean;
  readonly marks: boolean;
  /** What the normalizer makes of a text alone, for added tokens that are matched after it. */
  readonly normalize: (text: string) => string;
}

function normalization(json: TokenizerJson): Preparation {
  let prefix: number = PREFIX.none;
  let marks = false;
  for (const step of steps(json.normalizer, "normalizers")) {
    const type = step.get("type");
    if (type === "Prepend" && step.get("prepend") === MARK && prefix === PREFIX.none && !marks) {
      prefix = PREFIX.always;
    } else if (
      type === "Replace" && stringPattern(step, "String") === " " && step.get("content") === MARK
    ) {
      marks = true;
    } else {
      throw unsupported(json, `its normalizer has a step ${String(type)} that is not known here`);
    }
  }
  const normalize = (text: string): string =>
    (prefix === PREFIX.always ? MARK : "") + (marks ? text.replaceAll(" ", MARK) : text);
  return { prefix, splitSpaces: false, marks, normalize };
}

/** How a Metaspace step puts a space in front. */
function metaspacePrefix(step: JsonObject): number {
  const scheme = step.get("prepend_scheme") ??
    (step.get("add_prefix_space") === false ? "never" : "always");
  if (scheme === "never") return PREFIX.none;
  return scheme === "first" ? PREFIX.unlessSpaceAtStart : PREFIX.unlessSpace;
}

function preparation(json: TokenizerJson, preTokenizers: readonly JsonObject[]): Preparation {
  const before = normalization(json);
  const [step, ...more] = preTokenizers;
  if (step === undefined) {
    if (before.marks) return before;
    // Without U+2581 for spaces this is another family of models.
    throw unsupported(json, "it neither escapes spaces nor merges bytes");
  }
  const known = more.length === 0 && step.get("type") === "Metaspace" &&
    step.get("replacement") === MARK && before.prefix === PREFIX.none;
  if (!known) {
    throw unsupported(json, `its pre-tokenizer ${String(step.get("type"))} is not known here`);
  }
  return {
    ...before,
    marks: true,
    prefix: metaspacePrefix(step),
    splitSpaces: step.get("split") !== false,
  };
}

/** How the decoder turns pieces into text. */
function decodeRules(
  json: TokenizerJson,
): Omit<DecodeRules, "special"> & { byteFallback: boolean } {
  const rules = { marks: false, byteFallback: false, strip: "none" as "none" | "first" };
  for (const step of steps(json.decoder, "decoders")) {
    const type = step.get("type");
    if (type === "Replace" && stringPattern(step, "String") === MARK) {
      rules.marks = true;
    } else if (type === "ByteFallback") {
      rules.byteFallback = true;
    } else if (type === "Strip" && step.get("content") === " " && step.get("start") === 1) {
      rules.strip = "first";
    } else if (type !== "Fuse") {
      throw unsupported(json, `its decoder has a step ${String(type)} that is not known here`);
    }
  }
  return { ...rules, malformed: "run", showControl: true };
}

/** The pieces in id order: as text matches them, and as the file shows them. */
function pieceLists(
  json: TokenizerJson,
  prepared: Preparation,
  byteFallback: boolean,
): { matched: PieceList; shown: PieceList } {
  const { vocab, addedTokens } = json;
  const places = placesById(json);
  const added = new Map(addedTokens.map((token) => [token.id, token]));
  const matched = new PieceListBuilder();
  const shown = new PieceListBuilder();
  for (let id = 0; id < places.length; id++) {
    const place = places[id]!;
    const token = added.get(id);
    const bytes = place < 0 ? new Uint8Array() : vocab.get(place);
    const isByte = byteFallback && byteOfPiece(bytes) >= 0;
    if (token === undefined) {
      shown.add(bytes, { type: isByte ? PIECE_TYPE.byte : PIECE_TYPE.normal });
    } else shown.addText(token.content, { type: PIECE_TYPE.control });
    if (token?.normalized === true && json.normalizer !== undefined) {
      matched.addText(prepared.normalize(token.content), { type: PIECE_TYPE.userDefined });
    } else {
      matched.add(bytes, { type: place < 0 ? 0 : PIECE_TYPE.normal });
    }
  }
  return { matched: matched.finish(), shown: shown.finish() };
}

/** Ids of the byte pieces `<0x00>` to `<0xFF>`. */
function fallbackIds(pieces: PieceList): Uint32Array {
  const ids = new Uint32Array(256).fill(NONE);
  for (let id = 0; id < pieces.types.length; id++) {
    const byte = byteOfPiece(pieces.bytes.subarray(pieces.offsets[id], pieces.offsets[id + 1]));
    if (byte >= 0) ids[byte] = id;
  }
  return ids;
}

/** The parts of the definition of a tokenizer whose characters merge. */
export function defineSymbolParts(
  json: TokenizerJson,
  preTokenizers: readonly JsonObject[],
): FamilyParts {
  const prepared = preparation(json, preTokenizers);
  const { byteFallback, ...rules } = decodeRules(json);
  const { matched, shown } = pieceLists(json, prepared, byteFallback);
  const has = (field: string): boolean => json.model.get(field) === true;
  if (has("ignore_merges")) throw unsupported(json, "it ignores merges, and merges characters");
  const unkToken = json.model.get("unk_token");
  const unkBytes = new TextEncoder().encode(typeof unkToken === "string" ? unkToken : "");
  const unknown = unkBytes.length === 0 ? NONE : findPiece(shown, unkBytes);
  const normalizedLater = (id: number): boolean => matched.types[id] === PIECE_TYPE.userDefined;
  return {
    description: {
      family: "symbols",
      flags: FLAG.list | FLAG.huggingFace |
        (prepared.marks ? FLAG.marks : 0) |
        (prepared.splitSpaces ? FLAG.splitSpaces : 0) |
        (has("byte_fallback") ? FLAG.byteFallback : 0) |
        (has("fuse_unk") ? FLAG.fuseUnknown : 0),
      prefix: prepared.prefix,
      pieces: matched,
      ranks: new Uint32Array(matched.types.length).fill(NONE),
      unknown,
      byteIds: fallbackIds(matched),
      merges: { bytes: json.merges.bytes, ends: json.merges.ends },
      specials: addedSpecials(json).filter(({ id }) => !normalizedLater(id)),
      charsmap: new Uint8Array(),
    },
    decode: pieceDecodeTable(shown, {
      ...rules,
      special: new Set(json.addedTokens.filter((token) => token.special).map(({ id }) => id)),
    }),
    pieces: shown,
    normalization: describe(prepared, has("byte_fallback")),
  };
}

function findPiece(pieces: PieceList, text: Uint8Array): number {
  for (let id = 0; id < pieces.types.length; id++) {
    const start = pieces.offsets[id]!;
    if (pieces.offsets[id + 1]! - start !== text.length) continue;
    if (text.every((byte, i) => pieces.bytes[start + i] === byte)) return id;
  }
  return NONE;
}

function describe(prepared: Preparation, byteFallback: boolean): string {
  const where = ["", "a space before every stretch", "a space before stretches without one"];
  const parts = [
    "identity",
    prepared.prefix === PREFIX.unlessSpaceAtStart
      ? "a space before the text"
      : where[prepared.prefix],
    byteFallback ? "byte fallback" : undefined,
  ];
  return parts.filter((part) => part !== undefined && part !== "").join(", ");
}
