/**
 * The record of `llamero tokenize encode`.
 *
 * @module
 */

import type { CommandSpec } from "../command.ts";
import { COMPUTE_OPTIONS, type ComputeOptions, TOKENIZER } from "../options.ts";

/** What `llamero tokenize encode` is told by options. */
export interface TokenizeEncodeOptions extends ComputeOptions {
  /** Path of a tokenizer file, or of a folder that has one. */
  readonly tokenizer: string;
  /** Whether texts get the begin token. */
  readonly bos: boolean;
  /** Whether texts get the end token. */
  readonly eos: boolean;
  /** What is done with names of special tokens. */
  readonly special: "text" | "parse" | "refuse";
  /** What is done with bytes that are not UTF-8. */
  readonly invalid: "error" | "replace";
  /** Whether each line is JSON. */
  readonly jsonl: boolean;
  /** Whether the pieces are written too. */
  readonly pieces: boolean;
}

/** What `llamero tokenize encode` is called with. */
export interface TokenizeEncodeArguments {
  /** The text. */
  readonly file: string | undefined;
}

/** The record of `llamero tokenize encode`. */
export const spec: CommandSpec<TokenizeEncodeOptions, TokenizeEncodeArguments> = {
  name: "tokenize encode",
  group: "Text and tokenizers",
  summary: "turn text into token ids",
  description: "Writes one line of space-separated ids for each line of text. Every kind of " +
    "tokenizer is exact to its own reference: SentencePiece, tiktoken, Hugging Face tokenizers, " +
    "llama2.c.",
  arguments: {
    file: { value: "FILE", doc: "the text; - or nothing is stdin" },
  },
  options: {
    tokenizer: TOKENIZER,
    bos: { doc: "put the begin token before each text" },
    eos: { doc: "put the end token behind each text" },
    special: {
      value: "HOW",
      choices: ["text", "parse", "refuse"],
      default: "text",
      doc: "names of special tokens are text, become the tokens, or are refused",
    },
    invalid: {
      value: "HOW",
      choices: ["error", "replace"],
      default: "error",
      doc: "bytes that are not UTF-8 are an error, or become U+FFFD",
    },
    jsonl: {
      doc: 'each line is a JSON string, or an object with "text"; writes {"ids":[…]} lines',
    },
    pieces: { doc: 'add "pieces" to --jsonl (--json has them always)' },
    ...COMPUTE_OPTIONS,
  },
  examples: [
    {
      command: "llamero tokenize encode --tokenizer tokenizer.model text.txt",
      doc: "a line of ids for each line",
    },
    {
      command: "echo 'Hello' | llamero tokenize encode --tokenizer tokenizer.json --bos --json",
      doc: "all of stdin as one text, with the pieces",
    },
  ],
  load: () => import("./tokenize_encode.ts"),
};
