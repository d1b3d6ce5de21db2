/**
 * What a tokenizer file comes down to, whatever its format: how to encode, how to decode, and which
 * tokens mean something.
 *
 * @module
 */

import type { PieceList } from "../formats/piece_list.ts";
import type { SentencePieceModel } from "../formats/sentencepiece_model.ts";
import type { Description } from "./description.ts";
import type { DecodeTable } from "./detokenizer.ts";
import type { Preparation } from "./prepared.ts";
import type { TokenizerKind } from "./tokenizer.ts";

/** A tokenizer before it is compiled. */
export interface TokenizerDefinition {
  /** Whose rules it follows. */
  readonly kind: TokenizerKind;
  /** The file it was read from. */
  readonly file: string;
  /** Number of ids, special tokens included. */
  readonly vocabSize: number;
  /** How to encode. */
  readonly description: Description;
  /** What is done to text before that, stretch by stretch between its added tokens. */
  readonly preparation?: Preparation | undefined;
  /** How to decode. */
  readonly decode: DecodeTable;
  /** Pieces as the file has them, by id. */
  readonly pieces: PieceList;
  /** The model file it was read from, if it was one, so that it can be written as it was. */
  readonly model?: SentencePieceModel;
  /** Likewise the `tokenizer.json` of one whose characters merge, in UTF-8. */
  readonly json?: Uint8Array;
  /** Whether each malformed byte becomes its own U+FFFD (SentencePiece), or each sequence (WHATWG). */
  readonly replaceBytes: boolean;
  /** What is done to text before encoding, for people. */
  readonly normalization: string;
  /** The token that begins a text. */
  readonly bosId: number | undefined;
  /** The token that ends a text. */
  readonly eosId: number | undefined;
  /** The token for what has no piece. */
  readonly unkId: number | undefined;
  /** The token that fills up batches. */
  readonly padId: number | undefined;
  /** All tokens that end a generated text. */
  readonly endIds: readonly number[];
  /** Whether prompts begin with the begin token. */
  readonly addBos: boolean;
  /** Whether texts end with the end token. */
  readonly addEos: boolean;
}

/** Names of tokens that end a text or a turn in the models' own conventions. */
const END_NAMES: ReadonlySet<string> = new Set([
  "</s>",
  "<|end_of_text|>",
  "<|eot_id|>",
  "<|eom_id|>",
  "<|endoftext|>",
  "<|im_end|>",
]);

/** The ids that end a generated text: the end token and those named like one. */
export function endIds(
  eosId: number | undefined,
  specials: readonly { readonly name: string; readonly id: number }[],
): number[] {
  const named = specials.filter(({ name }) => END_NAMES.has(name)).map(({ id }) => id);
  return [...new Set(eosId === undefined ? named : [eosId, ...named])];
}
