/**
 * The record of `llamero tokenize train`.
 *
 * @module
 */

import { UsageError } from "../../lib/base/errors.ts";
import type { PieceTraining, TrainingDefaults } from "../../lib/tokenizer/train/options.ts";
import type { CommandSpec, OptionSpecs } from "../command.ts";
import { COMPUTE_OPTIONS, type ComputeOptions } from "../options.ts";
import { PIECE_OPTIONS } from "../piece_options.ts";

/** The options of `spm_train`; which are given, only the sources tell of switches. */
export type PieceFlags = {
  readonly [K in Exclude<keyof PieceTraining, "kind">]: PieceTraining[K] | undefined;
};

/** What `llamero tokenize train` is told by options. */
export interface TokenizeTrainOptions extends PieceFlags, ComputeOptions {
  /** The folder to write. */
  readonly out: string;
  /** SentencePiece BPE, or merges of bytes. */
  readonly kind: "spm" | "bytes";
  /** Where options that are not given come from. */
  readonly defaults: TrainingDefaults;
  /** What the files are. */
  readonly inputFormat: "text" | "jsonl";
  /** The field of text in lines of JSON. */
  readonly field: string;
  /** Files whose lines are user-defined symbols. */
  readonly userDefinedSymbolsFile: readonly string[];
  /** Files whose lines are control symbols. */
  readonly controlSymbolsFile: readonly string[];
  /** Files whose characters are required. */
  readonly requiredCharsFile: readonly string[];
  /** Whether an output that exists is replaced. */
  readonly force: boolean;
}

/** What `llamero tokenize train` is called with. */
export interface TokenizeTrainArguments {
  /** The texts. */
  readonly files: readonly string[];
}

const OWN_OPTIONS: OptionSpecs<
  Pick<TokenizeTrainOptions, "out" | "kind" | "defaults" | "inputFormat" | "field" | "force">
> = {
  out: { value: "DIR", required: true, doc: "the folder to write" },
  kind: {
    value: "KIND",
    choices: ["spm", "bytes"],
    default: "spm",
    doc: "SentencePiece BPE, or byte-level BPE with Llama 3's split pattern",
  },
  defaults: {
    value: "NAME",
    choices: ["llama", "palm", "sentencepiece"],
    default: "llama",
    doc: "what the options below are where they are not given: Llama 2's, PaLM's lossless ones, " +
      "or spm_train's own",
  },
  inputFormat: {
    value: "FORMAT",
    choices: ["text", "jsonl"],
    default: "text",
    doc: "lines of text, or lines of JSON with a field of text; .gz and .zst are read as they are",
  },
  field: { value: "NAME", default: "text", doc: "the field of text in lines of JSON" },
  force: { doc: "replace an output that exists" },
};

/** The record of `llamero tokenize train`. */
export const spec: CommandSpec<TokenizeTrainOptions, TokenizeTrainArguments> = {
  name: "tokenize train",
  group: "Text and tokenizers",
  summary: "learn a tokenizer from text",
  description:
    "Writes tokenizer.model, tokenizer.json and tokenizer_config.json. With --kind spm " +
    "the pieces, their order and their scores are spm_train's with the same options; a warning " +
    "says where spm_train itself does not determine them. With --kind bytes tokenizer.model has " +
    "tiktoken's ranks. Any number of threads gives the same files.",
  arguments: {
    files: { value: "FILE", required: true, rest: true, doc: "the texts; - is stdin" },
  },
  options: { ...OWN_OPTIONS, ...PIECE_OPTIONS, ...COMPUTE_OPTIONS },
  examples: [
    {
      command: "llamero tokenize train corpus.txt --out tokenizer --vocab-size 4096",
      doc: "as Llama 2's, but small",
    },
    {
      command: "llamero tokenize train c4/*.json.gz --input-format jsonl --defaults palm " +
        "--input-sentence-size 10000000 --out tokenizer",
      doc: "256,000 pieces, lossless, from ten million lines drawn of all",
    },
    {
      command: "llamero tokenize train corpus.txt --kind bytes --vocab-size 128000 --out tokenizer",
      doc: "as Llama 3's",
    },
  ],
  check({ files, kind, defaults }) {
    if (files.filter((file) => file === "-").length > 1) {
      throw new UsageError("Cannot train a tokenizer: stdin is named twice, and it is read once");
    }
    if (kind === "bytes" && defaults !== "llama") {
      throw new UsageError(
        `Cannot train a tokenizer: --defaults ${defaults} are those of --kind spm, and the kind is bytes`,
      );
    }
  },
  load: () => import("./tokenize_train.ts"),
};
