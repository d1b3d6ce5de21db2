/**
 * Tokenizers whose text is brought into another form before the kernels take it: Unicode's normal
 * forms, spaces at the ends, a space in front (`NFC`, `Strip`, `add_prefix_space` of
 * `tokenizer.json`). Added tokens are found before, so each stretch between them is prepared alone.
 *
 * @module
 */

import { LlameroError } from "../base/errors.ts";
import { joined } from "../base/joined.ts";
import { quoted } from "../base/quoted.ts";
import { AddedNames, type TextPart } from "./added_names.ts";
import {
  type CompiledTokenizer,
  DefinedTokenizer,
  type StreamEncoder,
  type TextBatch,
} from "./compiled_tokenizer.ts";
import type { TokenizerDefinition } from "./definition.ts";
import { PREFIX, SPECIAL_FLAG } from "./description.ts";
import { encodeEach, textOf } from "./encode_texts.ts";
import { NORMAL_FORMS } from "./normal_form.ts";
import type { EncodedBatch } from "./text_engine.ts";
import { describeStep, losesStart, takeSteps, type TextStep } from "./text_steps.ts";
import type { EncodeOptions } from "./tokenizer.ts";

/** What is done to each stretch of text first. */
export interface Preparation {
  /** Steps in their order. */
  readonly steps: readonly TextStep[];
  /** Whether a stretch of bytes that merge gets a space in front, unless it begins with one. */
  readonly prefixSpace: boolean;
  /** What is done behind that, where characters without a piece vanish before others merge. */
  readonly vanishing?: Vanishing;
}

/** Characters without a piece that leave nothing, neither an id nor a place that parts their neighbours. */
export interface Vanishing {
  /** The characters that have a piece. */
  readonly known: ReadonlySet<string>;
  /** The bytes that have one: characters of these alone become bytes. */
  readonly bytes: ReadonlySet<number>;
  /** Whether U+2581 is put for spaces first, and when in front (one of {@linkcode PREFIX}). */
  readonly marks: { readonly prefix: number } | undefined;
}

const MARK = "\u2581";
const encoder = new TextEncoder();

/** What is left of a stretch; `inside` says whether something of the text stands before it. */
function withoutVanishing(
  text: string,
  { known, bytes, marks }: Vanishing,
  inside: boolean,
): string {
  let marked = text;
  if (marks !== undefined && text !== "") {
    marked = text.replaceAll(" ", MARK);
    const wanted = marks.prefix === PREFIX.unlessSpace ||
      (marks.prefix === PREFIX.unlessSpaceAtStart && !inside);
    if (wanted && !marked.startsWith(MARK)) marked = MARK + marked;
  }
  let left = "";
  for (const character of marked) {
    const stays = known.has(character) ||
      (bytes.size > 0 && encoder.encode(character).every((byte) => bytes.has(byte)));
    if (stays) left += character;
  }
  return left;
}

/** The definition as the kernels get it: without the tokens that are found before them. */
export function withoutPreparation(definition: TokenizerDefinition): TokenizerDefinition {
  const { preparation, ...rest } = definition;
  const { description } = definition;
  const late = description.family === "bytes" || preparation?.vanishing !== undefined
    ? []
    : description.specials.filter(({ flags }) => (flags & SPECIAL_FLAG.late) !== 0);
  return { ...rest, description: { ...description, specials: late } };
}

type FoundToken = Exclude<TextPart, string>;

/** Text between tokens. */
interface Stretch {
  readonly stretch: string;
  /** Whether something of the text stands before it. */
  readonly inside: boolean;
}

/** A place behind some of a text, before any of a stretch (kernels/cpu/src/text/normalize.rs). */
const TEXT_BEGUN = 1;

const NOTHING = new Uint32Array();

/** A tokenizer around the one of the kernels. */
export class PreparedTokenizer extends DefinedTokenizer {
  readonly #inner: CompiledTokenizer;
  readonly #preparation: Preparation;
  readonly #early: AddedNames;
  readonly #late: AddedNames;
  /** Whether a space is put in front of the text, but of no stretch behind its start. */
  readonly #prefixesStart: boolean;

  /** Prepares text for `inner`, which is compiled from {@linkcode withoutPreparation}. */
  constructor(
    definition: TokenizerDefinition & { readonly preparation: Preparation },
    inner: CompiledTokenizer,
  ) {
    super(definition);
    this.#inner = inner;
    this.#preparation = definition.preparation;
    const { specials, family, prefix } = definition.description;
    const { vanishing } = definition.preparation;
    this.#prefixesStart = (vanishing?.marks?.prefix ?? prefix) === PREFIX.unlessSpaceAtStart;
    const isLate = (flags: number): boolean => (flags & SPECIAL_FLAG.late) !== 0;
    this.#early = new AddedNames(specials.filter(({ flags }) => !isLate(flags)), { normal: false });
    // Where characters merge, the kernels normalize further before they look for these.
    const found = family === "bytes" || vanishing !== undefined;
    const late = found ? specials.filter(({ flags }) => isLate(flags)) : [];
    this.#late = new AddedNames(late, { normal: true });
  }

  /** Encodes a text, prepared between its added tokens. @throws {FormatError} For bytes that are not UTF-8, unless replaced. */
  encode(text: string | Uint8Array, options: EncodeOptions = {}): Uint32Array {
    const whole = typeof text === "string" ? text.toWellFormed() : textOf(text, options);
    const ends = { bos: options.bos === true, eos: options.eos === true };
    return this.#encode(whole, { ...options, ...ends });
  }

  #encode(text: string, options: EncodeOptions): Uint32Array {
    const ids: number[] = [];
    if (options.bos === true && this.bosId !== undefined) ids.push(this.bosId);
    const plain = { special: options.special };
    for (const part of this.#parts(text, options)) {
      if ("token" in part) ids.push(part.token.id);
      else for (const id of this.#encodeStretch(part, plain)) ids.push(id);
    }
    if (options.eos === true && this.eosId !== undefined) ids.push(this.eosId);
    return Uint32Array.from(ids);
  }

  #encodeStretch({ stretch, inside }: Stretch, options: EncodeOptions): Uint32Array {
    if (!inside || !this.#prefixesStart) return this.#inner.encode(stretch, options);
    const stream = this.#inner.encoder({ ...options, from: { byte: 0, state: TEXT_BEGUN } });
    return joined(Uint32Array, [stream.push(stretch), stream.end()]);
  }

  /** Tokens, and the stretches between them as the kernels take them. */
  *#parts(text: string, options: EncodeOptions): Generator<FoundToken | Stretch> {
    const all = options.special === "parse" || options.special === "refuse";
    const { steps, prefixSpace, vanishing } = this.#preparation;
    let inside = false;
    for (const part of this.#early.split(text, all)) {
      if (typeof part !== "string") {
        yield accepted(part, text, options);
      } else {
        const prepared = takeSteps(part, steps);
        inside ||= this.#prefixesStart && losesStart(part, steps);
        for (const rest of this.#late.split(prepared, all)) {
          if (typeof rest !== "string") yield accepted(rest, prepared, options);
          else if (vanishing !== undefined) {
            yield { stretch: withoutVanishing(rest, vanishing, inside), inside: false };
          } else {yield {
              stretch: prefixSpace && !rest.startsWith(" ") ? ` ${rest}` : rest,
              inside,
            };}
          inside = true;
        }
      }
      inside = true;
    }
  }

  /** Encodes many texts, one after another. */
  encodeBatch(texts: TextBatch, options: EncodeOptions = {}): EncodedBatch {
    return encodeEach(this, { ...texts, ...options });
  }

  /** An encoder for text that comes in parts: where lines can be told apart it gives ids line by line, else at the end. */
  encoder(options: EncodeOptions = {}): StreamEncoder {
    // Where bytes merge, no token and no normal form reaches from a line into a letter behind it.
    const divisible = this.definition.description.family === "bytes" && this.#early.divisible &&
      this.#late.divisible && !this.#preparation.prefixSpace &&
      this.#preparation.steps.every(({ type }) => NORMAL_FORMS.some((form) => form === type));
    const encode = (text: string, ends: EncodeOptions) =>
      this.#encode(text, { ...options, ...ends });
    return new LineEncoder(encode, { ...options, divisible });
  }

  /** Frees the tables of the tokenizer inside. */
  close(): void {
    this.#inner.close();
  }
}

/** Encodes what is certain of a text that comes in parts: up to a letter behind a line break. */
class LineEncoder implements StreamEncoder {
  readonly place = undefined;
  readonly #encode: (text: string, ends: EncodeOptions) => Uint32Array;
  readonly #options: EncodeOptions & { readonly divisible: boolean };
  #bytes: Uint8Array[] = [];
  #offset = 0;
  #begun = false;

  constructor(
    encode: (text: string, ends: EncodeOptions) => Uint32Array,
    options: EncodeOptions & { readonly divisible: boolean },
  ) {
    this.#encode = encode;
    this.#options = options;
  }

  push(part: string | Uint8Array): Uint32Array {
    this.#bytes.push(typeof part === "string" ? encoder.encode(part) : part.slice());
    if (!this.#options.divisible || !this.#bytes.at(-1)!.includes(LINE_BREAK)) return NOTHING;
    const all = joined(Uint8Array, this.#bytes);
    const cut = lineEnd(all);
    this.#bytes = [all.subarray(cut)];
    return cut === 0 ? NOTHING : this.#take(all.subarray(0, cut), false);
  }

  end(): Uint32Array {
    const ids = this.#take(joined(Uint8Array, this.#bytes), true);
    this.#bytes = [];
    this.#offset = 0;
    this.#begun = false;
    return ids;
  }

  #take(bytes: Uint8Array, last: boolean): Uint32Array {
    const text = textOf(bytes, { ...this.#options, offset: this.#offset });
    const bos = !this.#begun && this.#options.bos === true;
    const ids = this.#encode(text, { bos, eos: last && this.#options.eos === true });
    this.#begun = true;
    this.#offset += bytes.length;
    return ids;
  }
}

const LINE_BREAK = 0x0a;

/** Where the last line begins that begins with an ASCII letter, or 0. */
function lineEnd(bytes: Uint8Array): number {
  for (let at = bytes.length - 1; at > 0; at--) {
    const letter = bytes[at]! | 0x20;
    if (bytes[at - 1] === LINE_BREAK && letter >= 0x61 && letter <= 0x7a) return at;
  }
  return 0;
}

function accepted(
  part: FoundToken,
  text: string,
  { special }: EncodeOptions,
): FoundToken {
  if (special !== "refuse") return part;
  const at = encoder.encode(text.slice(0, part.at)).length;
  throw new LlameroError(
    `Cannot encode the text: it has the special token ${
      quoted(part.token.name)
    } at byte ${at}, and none was wanted`,
    { hint: "take it as text with --special text, or as the token with --special parse" },
  );
}

/** The steps for people, such as `NFC, spaces stripped`. */
export function describePreparation(
  { steps, prefixSpace, vanishing }: Preparation,
): string {
  const names = steps.map(describeStep);
  if (prefixSpace) names.push("a space in front");
  if (vanishing !== undefined) names.push("characters without a piece left out");
  return names.join(", ");
}
