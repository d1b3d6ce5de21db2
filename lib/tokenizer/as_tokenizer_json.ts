/**
 * A tokenizer as Hugging Face's `tokenizer.json` and `tokenizer_config.json`, as `transformers` writes
 * them for Llama 2 and Llama 3.
 *
 * @module
 */

import { PIECE_TYPE, pieceCount, pieceText } from "../formats/piece_list.ts";
import { refuseBeyondMerges, sentencePieces } from "./as_sentencepiece.ts";
import { characterPieces } from "./byte_level.ts";
import type { TokenizerDefinition } from "./definition.ts";
import { FLAG, PREFIX, SPECIAL_FLAG } from "./description.ts";
import { SPACES_REMOVED } from "./huggingface_symbols.ts";
import { JsonBytes } from "./json_bytes.ts";
import { byteLevelMerges, type MergeList, mergesOfScores, type Texts } from "./merge_list.ts";
import { patternOfFlags } from "./split_patterns.ts";

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const MARK = "\u2581";

/** An entry of `added_tokens`; `flags` are the bits of {@linkcode SPECIAL_FLAG}. */
function addedToken(id: number, content: string, flags = 0): Record<string, Json> {
  return {
    id,
    content,
    single_word: (flags & SPECIAL_FLAG.singleWord) !== 0,
    lstrip: (flags & SPECIAL_FLAG.stripLeft) !== 0,
    rstrip: (flags & SPECIAL_FLAG.stripRight) !== 0,
    normalized: (flags & SPECIAL_FLAG.late) !== 0,
    special: (flags & SPECIAL_FLAG.always) === 0,
  };
}

/** The template that puts the begin and end tokens around one text or two. */
function template(definition: TokenizerDefinition): Json {
  const { pieces, bosId, eosId, addBos, addEos } = definition;
  const names = new Map<string, number>();
  const special = (id: number | undefined, type: number): Json[] => {
    if (id === undefined) return [];
    names.set(pieceText(pieces, id), id);
    return [{ SpecialToken: { id: pieceText(pieces, id), type_id: type } }];
  };
  const around = (sequence: string, type: number): Json[] => [
    ...special(addBos ? bosId : undefined, type),
    { Sequence: { id: sequence, type_id: type } },
    ...special(addEos ? eosId : undefined, type),
  ];
  const single = around("A", 0);
  const pair = [...around("A", 0), ...around("B", 1)];
  const tokens = [...names].map(([name, id]) => [name, { id: name, ids: [id], tokens: [name] }]);
  return {
    type: "TemplateProcessing",
    single,
    pair,
    special_tokens: Object.fromEntries(tokens) as Json,
  };
}

/** `{"model": …}` with the vocabulary in id order, too long for one object of JavaScript. */
function withModel(
  head: Record<string, Json>,
  { fields, vocab, merges }: Model,
): Uint8Array {
  const out = new JsonBytes();
  out.raw(`${JSON.stringify(head).slice(0, -1)},"model":{${JSON.stringify(fields).slice(1, -1)}`);
  out.raw(',"vocab":{');
  writeVocabulary(out, vocab);
  out.raw('},"merges":[');
  writeMerges(out, merges);
  out.raw("]}}");
  return out.finish();
}

/** What is written of a model. */
interface Model {
  readonly fields: {
    readonly type: "BPE";
    readonly dropout: null;
    readonly unk_token: string | null;
    readonly continuing_subword_prefix: null;
    readonly end_of_word_suffix: null;
    readonly fuse_unk: boolean;
    readonly byte_fallback: boolean;
    readonly ignore_merges: boolean;
  };
  /** The vocabulary in id order. */
  readonly vocab: Texts;
  /** The list of merges. */
  readonly merges: MergeList;
}

const MODEL = {
  type: "BPE",
  dropout: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
} as const;

function head(added: readonly Json[], parts: Record<string, Json>): Record<string, Json> {
  return { version: "1.0", truncation: null, padding: null, added_tokens: added, ...parts };
}

/** The steps of a normalizer that come before all others. */
function preparationSteps({ preparation }: TokenizerDefinition): Json[] {
  return (preparation?.steps ?? []).map((step) => {
    const { type } = step;
    switch (type) {
      case "Strip":
        return { type, strip_left: step.left, strip_right: step.right };
      case "Precompiled":
        return { type, precompiled_charsmap: step.rules.blob.toBase64() };
      case "Prepend":
        return { type, prepend: step.prepend };
      case "Replace":
        return { type, pattern: { [step.kind]: step.source }, content: step.content };
      default:
        return { type };
    }
  });
}

function sequence(steps: readonly Json[]): Json {
  return steps.length === 0 ? null : { type: "Sequence", normalizers: steps };
}

/** `tokenizer.json` of a tokenizer whose characters merge, "legacy" as Llama 2 is shipped. */
function symbolsJson(definition: TokenizerDefinition): Uint8Array {
  const pieces = sentencePieces(definition);
  const { flags, prefix, charsmap } = definition.description;
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const replace: Json = { type: "Replace", pattern: { String: " " }, content: MARK };
  const steps = preparationSteps(definition);
  if (charsmap.length > 0) {
    steps.push({ type: "Precompiled", precompiled_charsmap: charsmap.toBase64() });
  }
  const prepend: Json[] = prefix === PREFIX.none ? [] : [{ type: "Prepend", prepend: MARK }];
  if (!has(FLAG.removeExtra)) steps.push(...prepend, replace);
  else {
    const [leading, runs, trailing] = SPACES_REMOVED.map(({ Regex, content }): Json => (
      { type: "Replace", pattern: { Regex: Regex! }, content }
    ));
    steps.push(leading!, runs!, replace, trailing!, ...prepend);
  }
  const decoders: Json[] = [
    { type: "Replace", pattern: { String: MARK }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
  ];
  if (prefix !== PREFIX.none) decoders.push({ type: "Strip", content: " ", start: 1, stop: 0 });
  const all = Array.from({ length: pieceCount(pieces) }, (_, id) => id);
  const taken = (id: number): boolean =>
    pieces.types[id] === PIECE_TYPE.control || pieces.types[id] === PIECE_TYPE.unknown ||
    pieces.types[id] === PIECE_TYPE.userDefined;
  const flagsById = new Map(definition.description.specials.map(({ id, flags }) => [id, flags]));
  // A user-defined symbol is text: it stays where special tokens are left out.
  const flagsOf = (id: number): number =>
    flagsById.get(id) ?? (pieces.types[id] === PIECE_TYPE.userDefined ? SPECIAL_FLAG.always : 0);
  const added = all.filter(taken)
    .map((id) => addedToken(id, pieceText(pieces, id), flagsOf(id)));
  return withModel(
    head(added, {
      normalizer: { type: "Sequence", normalizers: steps },
      pre_tokenizer: null,
      post_processor: template(definition),
      decoder: { type: "Sequence", decoders },
    }),
    {
      fields: {
        ...MODEL,
        unk_token: definition.unkId === undefined ? null : pieceText(pieces, definition.unkId),
        fuse_unk: true,
        byte_fallback: has(FLAG.byteFallback),
        ignore_merges: false,
      },
      vocab: pieces,
      merges: mergesOfScores(pieces),
    },
  );
}

/** Writes the texts with their numbers; empty ones are places without a piece. */
function writeVocabulary(out: JsonBytes, { bytes, offsets }: Texts): void {
  let between = "";
  for (let id = 0; id + 1 < offsets.length; id++) {
    if (offsets[id] === offsets[id + 1]) continue;
    out.raw(between);
    out.text(bytes, offsets[id]!, offsets[id + 1]!);
    out.raw(`:${id}`);
    between = ",";
  }
}

function writeMerges(out: JsonBytes, { texts: { bytes, offsets }, merges }: MergeList): void {
  let before = '"';
  for (const [left, right] of merges) {
    out.raw(before);
    out.content(bytes, offsets[left]!, offsets[left + 1]!);
    out.raw(" ");
    out.content(bytes, offsets[right]!, offsets[right + 1]!);
    out.raw('"');
    before = ',"';
  }
}

/** `tokenizer.json` of a tokenizer whose bytes merge, written as Llama 3's is. */
function bytesJson(definition: TokenizerDefinition): Uint8Array {
  const { specials, pieces } = definition.description;
  const level = { type: "ByteLevel", trim_offsets: true };
  const prefixed = definition.preparation?.prefixSpace === true;
  const prefix = { add_prefix_space: true };
  const steps = patternOfFlags(definition.description.flags).steps;
  const added = [...specials].sort((a, b) => a.id - b.id).map(({ id, name, flags }) =>
    addedToken(id, name, flags)
  );
  return withModel(
    head(added, {
      normalizer: sequence(preparationSteps(definition)),
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: steps.map((step) =>
          step.type === "ByteLevel" ? { ...level, ...step, ...(prefixed ? prefix : {}) } : step
        ),
      },
      post_processor: {
        type: "Sequence",
        processors: [
          { ...level, add_prefix_space: true, trim_offsets: false, use_regex: true },
          template(definition),
        ],
      },
      decoder: { ...level, add_prefix_space: true, use_regex: true },
    }),
    {
      fields: {
        ...MODEL,
        unk_token: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: (definition.description.flags & FLAG.wholeFirst) !== 0,
      },
      vocab: characterPieces(pieces),
      merges: byteLevelMerges(definition.description),
    },
  );
}

/** A `tokenizer.json`, in UTF-8; one that was read and merges characters is given back as it was. @throws {FormatError} If merges alone do not say what it does. */
export function asTokenizerJson(definition: TokenizerDefinition): Uint8Array {
  if (definition.json !== undefined) return definition.json;
  refuseBeyondMerges(definition, "tokenizer.json");
  return definition.description.family === "symbols"
    ? symbolsJson(definition)
    : bytesJson(definition);
}

/**
 * The text of the `tokenizer_config.json` that goes with the `tokenizer.json`: begin, end and unknown
 * tokens by name.
 */
export function asTokenizerConfig(definition: TokenizerDefinition): string {
  const { pieces, bosId, eosId, unkId, padId, addBos, addEos, description } = definition;
  const symbols = description.family === "symbols";
  const name = (id: number | undefined): string | null =>
    id === undefined ? null : symbols ? nameOf(definition, id) : pieceText(pieces, id);
  const unknown = symbols && unkId !== undefined &&
      !description.specials.some(({ id }) => id === unkId)
    ? [{ id: unkId, name: name(unkId)!, flags: 0 }]
    : [];
  const added = [...unknown, ...description.specials].sort((a, b) => a.id - b.id)
    .map(({ id, name, flags }) => {
      const { id: _, ...token } = addedToken(id, name, flags);
      return [String(id), token];
    });
  const config = {
    add_bos_token: addBos,
    add_eos_token: addEos,
    added_tokens_decoder: Object.fromEntries(added),
    bos_token: name(bosId),
    clean_up_tokenization_spaces: false,
    eos_token: name(eosId),
    ...(symbols ? { legacy: true, sp_model_kwargs: {} } : {}),
    pad_token: name(padId),
    // Not LlamaTokenizer: transformers 5 makes it without the pipeline of tokenizer.json, and it drops leading spaces.
    tokenizer_class: "PreTrainedTokenizerFast",
    ...(symbols ? { unk_token: name(unkId) } : {}),
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}

function nameOf(definition: TokenizerDefinition, id: number): string {
  const special = definition.description.specials.find((token) => token.id === id);
  return special?.name ?? pieceText(definition.pieces, id);
}
