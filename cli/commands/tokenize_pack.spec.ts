/**
 * The record of `llamero tokenize pack`.
 *
 * @module
 */

import { UsageError } from "../../lib/base/errors.ts";
import type { CommandSpec } from "../command.ts";
import { COMPUTE_OPTIONS, type ComputeOptions, TOKENIZER } from "../options.ts";

/** What `llamero tokenize pack` is told by options. */
export interface TokenizePackOptions extends ComputeOptions {
  /** Path of a tokenizer file, or of a folder that has one. */
  readonly tokenizer: string;
  /** What the outputs begin with. */
  readonly out: string;
  /** What the inputs are. */
  readonly inputFormat: "text" | "jsonl";
  /** The field of text in lines of JSON. */
  readonly field: string;
  /** What a document of plain text is. */
  readonly document: "file" | "paragraph";
  /** Whether documents begin with the begin token. */
  readonly bos: boolean;
  /** Whether documents end with the end token. */
  readonly eos: boolean;
  /** What is done with names of special tokens. */
  readonly special: "text" | "parse";
  /** What is done with bytes that are not UTF-8. */
  readonly invalid: "error" | "replace";
  /** Whether outputs that exist are replaced. */
  readonly force: boolean;
}

/** What `llamero tokenize pack` is called with. */
export interface TokenizePackArguments {
  /** The texts. */
  readonly inputs: readonly string[];
}

/** The record of `llamero tokenize pack`. */
export const spec: CommandSpec<TokenizePackOptions, TokenizePackArguments> = {
  name: "tokenize pack",
  group: "Text and tokenizers",
  summary: "turn a corpus into the dataset of tokens that training reads",
  description:
    "Writes Megatron's indexed dataset, PREFIX.bin and PREFIX.idx, and PREFIX.json with " +
    "counts and hashes. Any number of threads gives the same bytes. A packing that was interrupted " +
    "or killed goes on when the same command is run again; until then its work lies in " +
    "PREFIX.packing.",
  arguments: {
    inputs: {
      value: "FILE",
      required: true,
      rest: true,
      doc: "the texts, plain, .gz or .zst; - is stdin",
    },
  },
  options: {
    tokenizer: TOKENIZER,
    out: { value: "PREFIX", required: true, doc: "what the names of the outputs begin with" },
    inputFormat: {
      value: "FORMAT",
      choices: ["text", "jsonl"],
      default: "text",
      doc: "plain text, or lines of JSON that are a document each",
    },
    field: { value: "NAME", default: "text", doc: "the field of text in lines of JSON" },
    document: {
      value: "WHAT",
      choices: ["file", "paragraph"],
      default: "file",
      doc: "in plain text, a whole file is a document, or what stands between blank lines",
    },
    bos: { doc: "put the begin token before each document" },
    eos: { doc: "put the end token behind each document" },
    special: {
      value: "HOW",
      choices: ["text", "parse"],
      default: "text",
      doc: "names of special tokens are text, or become the tokens",
    },
    invalid: {
      value: "HOW",
      choices: ["error", "replace"],
      default: "error",
      doc: "bytes of plain text that are not UTF-8 are an error, or become U+FFFD",
    },
    force: { doc: "replace outputs that exist, and what was begun and not finished" },
    ...COMPUTE_OPTIONS,
  },
  examples: [
    {
      command: "llamero tokenize pack c4/*.json.gz --input-format jsonl --tokenizer " +
        "tokenizer.model --eos --out data/c4",
      doc: "a document for each line",
    },
    {
      command:
        "llamero tokenize pack stories.txt --document paragraph --tokenizer tokenizer.model " +
        "--bos --out data/stories",
      doc: "a document for each paragraph",
    },
  ],
  check({ inputs, inputFormat, invalid }) {
    const refuse = (what: string): UsageError => new UsageError(`Cannot pack texts: ${what}`);
    if (inputs.filter((file) => file === "-").length > 1) {
      throw refuse("stdin is named twice, and it is read once");
    }
    if (inputFormat === "jsonl" && invalid === "replace") {
      throw refuse("--invalid replace is for plain text, and lines of JSON must be UTF-8");
    }
  },
  load: () => import("./tokenize_pack.ts"),
};
