/**
 * `tokenizer.json` files as tokenizers (reference: huggingface/tokenizers): Llama 2, as shipped and
 * not "legacy", and Llama 3, and what is built like them.
 *
 * @module
 */

import { FormatError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import type { PieceList } from "../formats/piece_list.ts";
import type { JsonObject, TokenizerJson } from "../formats/tokenizer_json.ts";
import { withReferenceIds } from "./added_ids.ts";
import { type NamedTokens, tokensOfTemplate } from "./config_files.ts";
import { endIds, type TokenizerDefinition } from "./definition.ts";
import { NONE, SPECIAL_FLAG, type SpecialToken } from "./description.ts";
import { defineByteLevelParts } from "./huggingface_bytes.ts";
import { defineSymbolParts } from "./huggingface_symbols.ts";
import { NORMAL_FORMS } from "./normal_form.ts";
import { PrecompiledRules } from "./precompiled.ts";
import { replaceStep } from "./replace_step.ts";
import type { TextStep } from "./text_steps.ts";

/** What the two families of `tokenizer.json` define differently. */
export type FamilyParts = Pick<
  TokenizerDefinition,
  "description" | "decode" | "pieces" | "normalization" | "preparation"
>;

/** Makes the error for a file that asks for something unknown. */
export function unsupported(json: TokenizerJson, what: string): FormatError {
  return new FormatError(`Cannot use the tokenizer ${quoted(json.file)}: ${what}`, {
    file: json.file,
    hint: "use the model's tokenizer.model, if it has one",
  });
}

/** The steps of a component, which may be one or a `Sequence` of several. */
export function steps(component: JsonObject | undefined, list: string): JsonObject[] {
  if (component === undefined) return [];
  if (component.get("type") !== "Sequence") return [component];
  const members = component.get(list);
  return Array.isArray(members) ? members.filter((step) => step instanceof Map) : [];
}

/** What a normalizer does before anything that the kernels know, and what it does behind that. */
export function textSteps(
  json: TokenizerJson,
): { readonly before: readonly TextStep[]; readonly rest: readonly JsonObject[] } {
  const rest = steps(json.normalizer, "normalizers");
  const before: TextStep[] = [];
  for (let step = textStep(json, rest[0]); step !== undefined; step = textStep(json, rest[0])) {
    before.push(step);
    rest.shift();
  }
  return { before, rest };
}

/** A step of a normalizer that is taken before the kernels, if it is one that can be. */
export function textStep(json: TokenizerJson, step: JsonObject | undefined): TextStep | undefined {
  const type = step?.get("type");
  switch (type) {
    case "Strip": {
      // What a step does not say is true (normalizers/strip.rs).
      const side = (name: string): boolean => step!.get(name) !== false;
      return { type, left: side("strip_left"), right: side("strip_right") };
    }
    case "Precompiled":
      return { type, rules: precompiledRules(json, step!.get("precompiled_charsmap")) };
    case "Prepend": {
      const prepend = step!.get("prepend");
      return typeof prepend === "string" ? { type, prepend } : undefined;
    }
    case "Replace":
      return replaceStep(step);
    default: {
      const form = NORMAL_FORMS.find((name) => name === type);
      return form === undefined ? undefined : { type: form };
    }
  }
}

function precompiledRules(json: TokenizerJson, base64: unknown): PrecompiledRules {
  let blob: Uint8Array;
  try {
    blob = Uint8Array.fromBase64(String(base64));
  } catch {
    throw unsupported(json, "its precompiled_charsmap is not in base64");
  }
  try {
    return new PrecompiledRules(blob);
  } catch {
    throw unsupported(json, "its precompiled_charsmap has a trie of a wrong size");
  }
}

/** The `String` of a pattern like `{"String": " "}`. */
export function stringPattern(step: JsonObject, kind: "String" | "Regex"): string | undefined {
  const pattern = step.get("pattern");
  const text = pattern instanceof Map ? pattern.get(kind) : undefined;
  return typeof text === "string" ? text : undefined;
}

/** The added tokens as the kernels find them; `normalize` is what becomes of a text alone. */
export function addedSpecials(
  json: TokenizerJson,
  normalize: (text: string) => string = (text) => text,
): SpecialToken[] {
  return json.addedTokens.map((token) => ({
    name: token.content,
    ...(token.normalized ? { normalName: normalize(token.content) } : {}),
    id: token.id,
    flags: (token.special ? 0 : SPECIAL_FLAG.always) |
      (token.lstrip ? SPECIAL_FLAG.stripLeft : 0) |
      (token.rstrip ? SPECIAL_FLAG.stripRight : 0) |
      (token.singleWord ? SPECIAL_FLAG.singleWord : 0) |
      (token.normalized ? SPECIAL_FLAG.late : 0),
  }));
}

/**
 * Ids that decoding can leave out: the reference compares what a token decodes to, its normal form if
 * it has one, with the contents of the special ones.
 */
export function skippedIds(
  { addedTokens }: TokenizerJson,
  normalize: (text: string) => string,
): Set<number> {
  const contents = new Set(addedTokens.filter(({ special }) => special).map((t) => t.content));
  const skipped = addedTokens.filter(({ content, normalized }) =>
    contents.has(normalized ? normalize(content) : content)
  );
  return new Set(skipped.map(({ id }) => id));
}

/** Number of ids: one more than the highest. */
function idCount(json: TokenizerJson): number {
  const highest = json.vocabIds.reduce((most, id) => Math.max(most, id), -1);
  const count = json.addedTokens.reduce((most, { id }) => Math.max(most, id), highest) + 1;
  const tokens = json.vocab.count + json.addedTokens.length;
  // Every id has an entry of its own in arrays; far more ids than tokens are a mistake or an attack.
  if (count > tokens * 4 + 65536) {
    throw unsupported(json, `its highest id is ${count - 1}, and it has ${tokens} tokens`);
  }
  return count;
}

/** The place in the vocabulary of the text of each id, -1 where it has none. */
export function placesById(json: TokenizerJson): Int32Array {
  const places = new Int32Array(idCount(json)).fill(-1);
  const { vocab, vocabIds } = json;
  for (let place = 0; place < vocabIds.length; place++) {
    const id = vocabIds[place]!;
    if (places[id] !== -1) {
      const [one, other] = [places[id]!, place].map((i) =>
        quoted(new TextDecoder().decode(vocab.get(i)))
      );
      throw unsupported(json, `${one} and ${other} both have the id ${id}`);
    }
    places[id] = place;
  }
  return places;
}

/** The id of the token for what has no piece, or {@linkcode NONE}. */
export function unknownId(json: TokenizerJson, pieces: PieceList): number {
  const name = json.model.get("unk_token");
  const text = new TextEncoder().encode(typeof name === "string" ? name : "");
  return text.length === 0 ? NONE : findPiece(pieces, text);
}

function findPiece(pieces: PieceList, text: Uint8Array): number {
  for (let id = 0; id < pieces.types.length; id++) {
    const start = pieces.offsets[id]!;
    if (pieces.offsets[id + 1]! - start !== text.length) continue;
    if (text.every((byte, i) => pieces.bytes[start + i] === byte)) return id;
  }
  return NONE;
}

/** The definition of a `tokenizer.json`; `named` is what the files beside it say. */
export function defineHuggingFace(file: TokenizerJson, named: NamedTokens): TokenizerDefinition {
  const json = withReferenceIds(file);
  const type = json.model.get("type") ?? "BPE";
  if (type !== "BPE") {
    throw unsupported(json, `its model is of the type ${quoted(String(type))}, wanted "BPE"`);
  }
  for (const field of ["continuing_subword_prefix", "end_of_word_suffix"]) {
    const value = json.model.get(field) ?? "";
    if (value !== "") throw unsupported(json, `it has a ${field}, which is not known here`);
  }
  const dropout = json.model.get("dropout") ?? 0;
  if (dropout !== 0) throw unsupported(json, "it drops merges at random, which is for training");
  const preTokenizers = steps(json.preTokenizer, "pretokenizers");
  const isByteLevel = preTokenizers.some((step) => step.get("type") === "ByteLevel");
  const parts = isByteLevel
    ? defineByteLevelParts(json, preTokenizers)
    : { ...defineSymbolParts(json, preTokenizers), ...asItWas(json) };
  return { ...parts, ...meanings(json, named), kind: "huggingface", file: json.file };
}

/** The file, to write it again as it was. */
function asItWas({ source }: TokenizerJson): Pick<TokenizerDefinition, "json"> {
  return source === undefined ? {} : { json: source };
}

function meanings(
  json: TokenizerJson,
  named: NamedTokens,
): Omit<TokenizerDefinition, keyof FamilyParts | "kind" | "file"> {
  const { addedTokens } = json;
  const id = (name: string | undefined): number | undefined =>
    name === undefined ? undefined : addedTokens.find(({ content }) => content === name)?.id;
  const first = (...names: (string | undefined)[]): number | undefined =>
    names.map(id).find((found) => found !== undefined);
  const template = tokensOfTemplate(json.postProcessor);
  const bosId = first(named.bos, template.first, "<|begin_of_text|>", "<s>");
  const eosId = first(named.eos, template.last, "<|end_of_text|>", "</s>", "<|endoftext|>");
  const unk = json.model.get("unk_token");
  return {
    vocabSize: idCount(json),
    replaceBytes: false,
    bosId,
    eosId,
    unkId: typeof unk === "string" ? first(unk) : undefined,
    padId: first(named.pad, "<|finetune_right_pad_id|>", "<pad>"),
    endIds: endIds(eosId, addedTokens.map(({ content, id }) => ({ name: content, id }))),
    addBos: named.addBos ?? (bosId !== undefined && id(template.first) === bosId),
    addEos: named.addEos ?? (eosId !== undefined && id(template.last) === eosId),
  };
}
