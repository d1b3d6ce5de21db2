/**
 * The options that several commands share, so that they are named and documented once.
 *
 * @module
 */

import type { OptionSpec, OptionSpecs, ValueOption } from "./command.ts";
import { integer, wordOr } from "./option_values.ts";

/** Options of every command that reports. */
export interface ReportOptions {
  /** One JSON object on stdout instead of text. */
  readonly json: boolean;
  /** No progress and no notes. */
  readonly quiet: boolean;
  /** More notes, and the stack of an error. */
  readonly verbose: boolean;
}

/** Options of every command that computes. */
export interface ComputeOptions extends ReportOptions {
  /** Which kernels to use. */
  readonly backend: "auto" | "wasm" | "native" | "cuda";
  /** Size of the thread pool. */
  readonly threads: number | "auto";
  /** Seed of everything random. */
  readonly seed: number;
}

/** Heading of the last options in every command's help, `--help` among them. */
export const LAST_GROUP = "Output and help";

/** Specs of {@linkcode ReportOptions}. */
export const REPORT_OPTIONS: OptionSpecs<ReportOptions> = {
  json: { group: LAST_GROUP, doc: "print exactly one JSON object on stdout" },
  quiet: { group: LAST_GROUP, doc: "no progress and no notes, only results and errors" },
  verbose: { group: LAST_GROUP, doc: "more notes, and the stack of an error" },
};

/** Specs of {@linkcode ComputeOptions}. */
export const COMPUTE_OPTIONS: OptionSpecs<ComputeOptions> = {
  backend: {
    group: "Computation",
    value: "NAME",
    choices: ["auto", "wasm", "native", "cuda"],
    default: "auto",
    env: "LLAMERO_BACKEND",
    doc: "kernels to use; auto takes the fastest that is there",
  },
  threads: {
    group: "Computation",
    value: "N",
    parse: wordOr("auto", integer({ min: 1, max: 1024 })),
    default: "auto",
    env: "LLAMERO_THREADS",
    doc: "size of the thread pool; auto takes what the machine has free",
  },
  seed: {
    group: "Computation",
    value: "N",
    parse: integer({ min: 0 }),
    default: 0,
    doc: "seed of everything random",
  },
  ...REPORT_OPTIONS,
};

/** A model's tokenizer, for commands that use what comes with the model unless told otherwise. */
export const MODEL_TOKENIZER: OptionSpec<string> = {
  value: "PATH",
  defaultDoc: "the model's own",
  doc: "a tokenizer file, or a folder that has one",
};

/** A model's tokenizer, for commands that write the model with it. */
export const WRITTEN_TOKENIZER: OptionSpec<string> = {
  value: "PATH",
  doc: "a tokenizer to take instead of the model's own; llama2.c files have none",
};

/** The tokenizer of commands that need nothing else. */
export const TOKENIZER: ValueOption<string, string> & { readonly required: true } = {
  value: "PATH",
  required: true,
  doc: "a .model, rank file, tokenizer.json, .gguf, tokenizer.bin, or a folder with one",
};

/** Tokens of the windows that a text is cut into (`lib/eval/windows.ts`). */
export const WINDOW_CONTEXT: OptionSpec<number> = {
  group: "Computation",
  value: "N",
  parse: integer({ min: 2 }),
  defaultDoc: "512, or the model's",
  doc: "tokens of a window",
};
