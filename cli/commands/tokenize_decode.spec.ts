/**
 * The record of `llamero tokenize decode`.
 *
 * @module
 */

import type { CommandSpec } from "../command.ts";
import { COMPUTE_OPTIONS, type ComputeOptions, TOKENIZER } from "../options.ts";

/** What `llamero tokenize decode` is told by options. */
export interface TokenizeDecodeOptions extends ComputeOptions {
  /** Path of a tokenizer file, or of a folder that has one. */
  readonly tokenizer: string;
  /** Whether each line is JSON. */
  readonly jsonl: boolean;
  /** Whether special tokens are left out. */
  readonly skipSpecial: boolean;
}

/** What `llamero tokenize decode` is called with. */
export interface TokenizeDecodeArguments {
  /** The ids. */
  readonly file: string | undefined;
}

/** The record of `llamero tokenize decode`. */
export const spec: CommandSpec<TokenizeDecodeOptions, TokenizeDecodeArguments> = {
  name: "tokenize decode",
  group: "Text and tokenizers",
  summary: "turn token ids into text",
  arguments: {
    file: { value: "FILE", doc: "lines of space-separated ids; - or nothing is stdin" },
  },
  options: {
    tokenizer: TOKENIZER,
    jsonl: { doc: 'each line is a JSON array or {"ids":[…]}; writes JSON strings' },
    skipSpecial: { doc: "leave special tokens out of the text" },
    ...COMPUTE_OPTIONS,
  },
  examples: [
    {
      command: "echo 15043 3186 | llamero tokenize decode --tokenizer tokenizer.model",
      doc: "the text of two tokens",
    },
  ],
  load: () => import("./tokenize_decode.ts"),
};
