/**
 * What every tokenizer does, whatever file it was read from.
 *
 * @module
 */

/** Whose rules a tokenizer follows: each kind of file is exact to its own reference. */
export type TokenizerKind =
  /** SentencePiece `.model`, also inside GGUF (reference: google/sentencepiece). */
  | "sentencepiece"
  /** Byte-level ranks (reference: openai/tiktoken). */
  | "tiktoken"
  /** `tokenizer.json` (reference: huggingface/tokenizers). */
  | "huggingface"
  /** llama2.c's `tokenizer.bin` (reference: karpathy/llama2.c, run.c). */
  | "llama2c";

/** How the names of special tokens in a text are taken: as text, as the tokens, or not at all. */
export type SpecialTokens = "text" | "parse" | "refuse";

/** What bytes that are not UTF-8 do: throw with their offset, or become U+FFFD. */
export type InvalidText = "error" | "replace";

/** How to encode. */
export interface EncodeOptions {
  /** Puts the begin token first; default false. */
  readonly bos?: boolean | undefined;
  /** Puts the end token last; default false. */
  readonly eos?: boolean | undefined;
  /** Names of special tokens in the text; default `"text"`. */
  readonly special?: SpecialTokens | undefined;
  /** Bytes that are not UTF-8; default `"error"`. */
  readonly invalid?: InvalidText | undefined;
}

/** How to decode. */
export interface DecodeOptions {
  /** Leaves special tokens out; default false: they appear as their reference shows them. */
  readonly skipSpecial?: boolean | undefined;
}

/** Turns ids into text one at a time; the pieces of text together are what `decode` gives at once. */
export interface StreamDecoder {
  /** The text that this id makes certain: whole characters only, often none. */
  push(id: number): string;
  /** The text that was held back; afterwards the decoder is as new. */
  end(): string;
}

/** Text to ids and back. */
export interface Tokenizer {
  /** Whose rules it follows. */
  readonly kind: TokenizerKind;
  /** Number of ids: all are below it. */
  readonly vocabSize: number;
  /** The token that begins a text. */
  readonly bosId: number | undefined;
  /** The token that ends a text. */
  readonly eosId: number | undefined;
  /** The token that fills up batches. */
  readonly padId: number | undefined;
  /** All tokens that end a generated text: of the sequence, of a message, of a turn. */
  readonly endIds: readonly number[];
  /** Whether prompts of its models begin with the begin token. */
  readonly addBos: boolean;
  /** Encodes a text. @throws {FormatError} For bytes that are not UTF-8, unless replaced. */
  encode(text: string | Uint8Array, options?: EncodeOptions): Uint32Array;
  /** Decodes ids. @throws {RangeError} For an id outside the vocabulary. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** A decoder for ids that come one at a time. */
  decoder(options?: DecodeOptions): StreamDecoder;
  /** The piece of an id as its file has it; bytes that are not UTF-8 show as U+FFFD. */
  piece(id: number): string;
  /** The bytes that an id writes in the middle of a text; none where it writes nothing. */
  surface(id: number): Uint8Array;
}
