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
  skippedIds,
  steps,
  stringPattern,
  textStep,
  textSteps,
  unknownId,
  unsupported,
} from "./huggingface.ts";
import { describePreparation, type Preparation, type Vanishing } from "./prepared.ts";
import { takeSteps, type TextStep } from "./text_steps.ts";

const MARK = "\u2581";
const encoder = new TextEncoder();

/** A Replace step of a normalizer. */
export interface ReplaceRule {
  /** What is replaced, as it stands. */
  readonly String?: string;
  /** What is replaced, as a pattern. */
  readonly Regex?: string;
  /** What it becomes. */
  readonly content: string;
}

/**
 * The rules by which a normalizer removes extra spaces as SentencePiece does: at the start, in runs,
 * and, when they are U+2581 already, at the end.
 */
export const SPACES_REMOVED: readonly [ReplaceRule, ReplaceRule, ReplaceRule] = [
  { Regex: "\\A +", content: "" },
  { Regex: " {2,}", content: " " },
  { Regex: `${MARK}+\\z`, content: "" },
];

/** How text is prepared. */
interface Pipeline {
  readonly prefix: number;
  readonly splitSpaces: boolean;
  readonly marks: boolean;
  readonly removeExtra: boolean;
  /** What is done to text before all that. */
  readonly before: readonly TextStep[];
  /** Whether the kernels normalize anything. */
  readonly named: boolean;
  /** What the normalizer makes of a text alone, for added tokens that are matched after it. */
  readonly normalize: (text: string) => string;
}

function isReplace(step: JsonObject, rule: ReplaceRule): boolean {
  if (step.get("type") !== "Replace" || step.get("content") !== rule.content) return false;
  const kind = rule.String === undefined ? "Regex" : "String";
  return stringPattern(step, kind) === rule[kind];
}

const [LEADING, RUNS, TRAILING] = SPACES_REMOVED;
const ESCAPE: ReplaceRule = { String: " ", content: MARK };

/** What a normalizer does in the kernels, its steps in the only orders in which they mean this. */
const NORMALIZERS: readonly ((step: JsonObject) => Normalization | undefined)[] = [
  prepended,
  (step) => isReplace(step, LEADING) ? { removeExtra: true } : undefined,
  (step) => isReplace(step, RUNS) ? {} : undefined,
  (step) => isReplace(step, ESCAPE) ? { marks: true } : undefined,
  (step) => isReplace(step, TRAILING) ? {} : undefined,
  prepended,
];

/** What steps of a normalizer do. */
type Normalization = Partial<Pick<Pipeline, "prefix" | "marks" | "removeExtra">>;

function prepended(step: JsonObject): Normalization | undefined {
  const isPrepend = step.get("type") === "Prepend" && step.get("prepend") === MARK;
  return isPrepend ? { prefix: PREFIX.always } : undefined;
}

/** What the kernels do for steps, if they know all of them. */
function kernelNormalization(all: readonly JsonObject[]): Normalization | undefined {
  let done: Normalization = {};
  let next = 0;
  for (const step of all) {
    let found: Normalization | undefined;
    while (found === undefined && next < NORMALIZERS.length) found = NORMALIZERS[next++]!(step);
    if (found === undefined) return undefined;
    done = { ...done, ...found };
  }
  // Spaces are removed in all three places, and before one is put in front.
  const removals = SPACES_REMOVED.filter((rule) => all.some((step) => isReplace(step, rule)));
  const early = all[0] !== undefined && prepended(all[0]) !== undefined;
  return removals.length === 0 || (removals.length === 3 && !early) ? done : undefined;
}

/** The steps that the kernels take behind those that are taken before. */
function normalizationSteps(
  json: TokenizerJson,
): Pick<Pipeline, "before" | "named"> & { readonly done: Normalization } {
  const all = steps(json.normalizer, "normalizers");
  const before: TextStep[] = [];
  for (let from = 0;; from++) {
    const done = kernelNormalization(all.slice(from));
    if (done !== undefined) return { before, done, named: from < all.length };
    const step = textStep(json, all[from]);
    if (step === undefined) {
      const type = String(all[from]?.get("type"));
      throw unsupported(json, `its normalizer has a step ${type} that is not known here`);
    }
    before.push(step);
  }
}

function normalization(json: TokenizerJson): Pipeline {
  const { before, done, named } = normalizationSteps(json);
  const { prefix = PREFIX.none, marks = false, removeExtra = false } = done;
  const normalize = (content: string): string => {
    const text = takeSteps(content, before);
    const trimmed = removeExtra ? text.replace(/^ +/, "").replace(/ {2,}/g, " ") : text;
    const escaped = marks ? trimmed.replaceAll(" ", MARK) : trimmed;
    const rest = removeExtra ? escaped.replace(/\u2581+$/, "") : escaped;
    return prefix === PREFIX.always && rest !== "" ? MARK + rest : rest;
  };
  return { prefix, splitSpaces: false, marks, removeExtra, normalize, before, named };
}

/** How a Metaspace step puts a space in front. */
function metaspacePrefix(step: JsonObject): number {
  const scheme = step.get("prepend_scheme") ??
    (step.get("add_prefix_space") === false ? "never" : "always");
  if (scheme === "never") return PREFIX.none;
  return scheme === "first" ? PREFIX.unlessSpaceAtStart : PREFIX.unlessSpace;
}

function preparation(json: TokenizerJson, preTokenizers: readonly JsonObject[]): Pipeline {
  const before = normalization(json);
  // Where U+2581 has replaced all spaces, there are none to split at.
  const [step, ...more] = preTokenizers.filter((step) =>
    !before.marks || step.get("type") !== "Split" || stringPattern(step, "String") !== " "
  );
  if (step === undefined) {
    if (before.marks) return before;
    // Without U+2581 for spaces this is another family of models.
    throw unsupported(json, "it neither escapes spaces nor merges bytes");
  }
  const known = more.length === 0 && step.get("type") === "Metaspace" &&
    step.get("replacement") === MARK && before.prefix === PREFIX.none && !before.removeExtra;
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
type PieceRules = Omit<DecodeRules, "special"> & { byteFallback: boolean };

/** What a decoder does, its steps in the only order in which they mean this. */
const DECODERS: readonly ((step: JsonObject) => Partial<PieceRules> | undefined)[] = [
  (step) => isReplace(step, { String: MARK, content: " " }) ? { marks: true } : undefined,
  (step) => step.get("type") === "ByteFallback" ? { byteFallback: true } : undefined,
  (step) => step.get("type") === "Fuse" ? {} : undefined,
  (step) => {
    const isStrip = step.get("type") === "Strip" && step.get("content") === " ";
    return isStrip && step.get("start") === 1 && (step.get("stop") ?? 0) === 0
      ? { strip: "first" }
      : undefined;
  },
];

function decodeRules(json: TokenizerJson): PieceRules {
  let rules: PieceRules = {
    marks: false,
    byteFallback: false,
    strip: "none",
    malformed: "run",
    showControl: true,
  };
  const all = steps(json.decoder, "decoders");
  const [first] = all;
  if (
    all.length === 1 && first!.get("type") === "Metaspace" && first!.get("replacement") === MARK
  ) {
    const strip = metaspacePrefix(first!) === PREFIX.none ? "none" : "piece";
    return { ...rules, marks: true, strip };
  }
  const fused = all.some((step) => step.get("type") === "Fuse");
  let next = 0;
  for (const step of all) {
    let found: Partial<PieceRules> | undefined;
    while (found === undefined && next < DECODERS.length) found = DECODERS[next++]!(step);
    // Before all is one text, a Strip would be of every token.
    if (found === undefined || (found.strip === "first" && !fused)) {
      const type = String(step.get("type"));
      throw unsupported(json, `its decoder has a step ${type} where that is not known here`);
    }
    rules = { ...rules, ...found };
  }
  return rules;
}

/** The pieces in id order: as text matches them, as the file shows them, and as they are decoded. */
function pieceLists(
  json: TokenizerJson,
  prepared: Pipeline,
  byteFallback: boolean,
): { matched: PieceList; shown: PieceList; decoded: PieceList } {
  const { vocab, addedTokens } = json;
  const places = placesById(json);
  const added = new Map(addedTokens.map((token) => [token.id, token]));
  const matched = new PieceListBuilder();
  const shown = new PieceListBuilder();
  const decoded = new PieceListBuilder();
  for (let id = 0; id < places.length; id++) {
    const place = places[id]!;
    const token = added.get(id);
    const bytes = place < 0 ? new Uint8Array() : vocab.get(place);
    matched.add(bytes, { type: place < 0 ? 0 : PIECE_TYPE.normal });
    const text = token?.normalized === true ? prepared.normalize(token.content) : token?.content;
    const decodedBytes = text === undefined ? bytes : encoder.encode(text);
    const isByte = byteFallback && byteOfPiece(decodedBytes) >= 0;
    const type = isByte
      ? PIECE_TYPE.byte
      : token === undefined
      ? PIECE_TYPE.normal
      : PIECE_TYPE.control;
    decoded.add(decodedBytes, { type });
    if (token === undefined) shown.add(bytes, { type });
    else shown.addText(token.content, { type: PIECE_TYPE.control });
  }
  return { matched: matched.finish(), shown: shown.finish(), decoded: decoded.finish() };
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

/** Characters that have a piece, and with byte fallback bytes that have one. */
function knownCharacters(
  { vocab, model }: TokenizerJson,
): Pick<Vanishing, "known" | "bytes"> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const known = new Set<string>();
  const bytesKnown = new Set<number>();
  for (let place = 0; place < vocab.count; place++) {
    const bytes = vocab.get(place);
    const byte = model.get("byte_fallback") === true ? byteOfPiece(bytes) : -1;
    if (byte >= 0) bytesKnown.add(byte);
    if (bytes.length === 0 || bytes.length > 4) continue;
    const text = decoder.decode(bytes);
    if (text.length === (text.codePointAt(0)! > 0xffff ? 2 : 1)) known.add(text);
  }
  return { known, bytes: bytesKnown };
}

/**
 * The pipeline where characters without a piece are neither unknown pieces nor bytes: they vanish before
 * the others merge (models/bpe/model.rs, `merge_word`), behind all that is done to text.
 */
function vanishingPipeline(
  json: TokenizerJson,
  pipeline: Pipeline,
  preTokenizers: readonly JsonObject[],
): { readonly prepared: Pipeline; readonly steps: Preparation | undefined } {
  const { before } = pipeline;
  const steps = before.length === 0 ? undefined : { steps: before, prefixSpace: false };
  if (typeof json.model.get("unk_token") === "string") return { prepared: pipeline, steps };
  const characters = knownCharacters(json);
  if (characters.bytes.size === 256) return { prepared: pipeline, steps };
  const { before: all, rest } = textSteps(json);
  const [unknown] = rest;
  if (unknown !== undefined) {
    const type = String(unknown.get("type"));
    throw unsupported(json, `its normalizer has a step ${type} that is not known here`);
  }
  const hasMetaspace = preTokenizers.some((step) => step.get("type") === "Metaspace");
  const marks = hasMetaspace ? { prefix: pipeline.prefix } : undefined;
  const normalize = (content: string): string => takeSteps(content, all);
  const plain = { before: all, prefix: PREFIX.none, removeExtra: false, named: false, normalize };
  return {
    prepared: { ...pipeline, ...plain },
    steps: { steps: all, prefixSpace: false, vanishing: { ...characters, marks } },
  };
}

/** The parts of the definition of a tokenizer whose characters merge. */
export function defineSymbolParts(
  json: TokenizerJson,
  preTokenizers: readonly JsonObject[],
): FamilyParts {
  const pipeline = preparation(json, preTokenizers);
  const { prepared, steps } = vanishingPipeline(json, pipeline, preTokenizers);
  const { byteFallback, ...rules } = decodeRules(json);
  const { matched, shown, decoded } = pieceLists(json, prepared, byteFallback);
  const has = (field: string): boolean => json.model.get(field) === true;
  if (has("ignore_merges")) throw unsupported(json, "it ignores merges, and merges characters");
  return {
    description: {
      family: "symbols",
      flags: FLAG.list | FLAG.huggingFace |
        (prepared.marks ? FLAG.marks : 0) |
        (prepared.removeExtra ? FLAG.removeExtra : 0) |
        (prepared.named ? FLAG.normalNames : 0) |
        (prepared.splitSpaces ? FLAG.splitSpaces : 0) |
        (has("byte_fallback") ? FLAG.byteFallback : 0) |
        (has("fuse_unk") ? FLAG.fuseUnknown : 0),
      prefix: prepared.prefix,
      pieces: matched,
      ranks: new Uint32Array(matched.types.length).fill(NONE),
      unknown: unknownId(json, shown),
      byteIds: fallbackIds(matched),
      merges: { bytes: json.merges.bytes, ends: json.merges.ends },
      specials: addedSpecials(json, prepared.normalize),
      charsmap: new Uint8Array(),
    },
    decode: pieceDecodeTable(decoded, {
      ...rules,
      special: skippedIds(json, prepared.normalize),
    }),
    pieces: shown,
    preparation: steps,
    normalization: [
      ...(steps === undefined ? [] : [describePreparation(steps)]),
      describe(prepared, has("byte_fallback")),
    ].join("; "),
  };
}

function describe(prepared: Pipeline, byteFallback: boolean): string {
  const where = ["", "a space before every stretch", "a space before stretches without one"];
  const parts = [
    "identity",
    prepared.removeExtra ? "extra whitespace removed" : undefined,
    prepared.prefix === PREFIX.unlessSpaceAtStart
      ? "a space before the text"
      : where[prepared.prefix],
    byteFallback ? "byte fallback" : undefined,
  ];
  return parts.filter((part) => part !== undefined && part !== "").join(", ");
}
