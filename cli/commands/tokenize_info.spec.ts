/**
 * The record of `llamero tokenize info`.
 *
 * @module
 */

import type { CommandSpec } from "../command.ts";
import { REPORT_OPTIONS, type ReportOptions, TOKENIZER } from "../options.ts";

/** What `llamero tokenize info` is told by options. */
export interface TokenizeInfoOptions extends ReportOptions {
  /** Path of a tokenizer file, or of a folder that has one. */
  readonly tokenizer: string;
  /** Whether all pieces are listed. */
  readonly pieces: boolean;
}

/** The record of `llamero tokenize info`. */
export const spec: CommandSpec<TokenizeInfoOptions> = {
  name: "tokenize info",
  group: "Text and tokenizers",
  summary: "what a tokenizer is: kind, vocabulary, special tokens",
  arguments: {},
  options: {
    tokenizer: TOKENIZER,
    pieces: { doc: "list all pieces in id order" },
    ...REPORT_OPTIONS,
  },
  examples: [
    { command: "llamero tokenize info --tokenizer tokenizer.model", doc: "a summary" },
    {
      command: "llamero tokenize info --tokenizer model.gguf --pieces --json",
      doc: "the vocabulary for a script",
    },
  ],
  load: () => import("./tokenize_info.ts"),
};
