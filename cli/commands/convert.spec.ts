/**
 * The record of `llamero convert`.
 *
 * @module
 */

import { UsageError } from "../../lib/base/errors.ts";
import type { CommandSpec } from "../command.ts";
import { byteSize, integer } from "../option_values.ts";
import { REPORT_OPTIONS, type ReportOptions, WRITTEN_TOKENIZER } from "../options.ts";

/** What `llamero convert` is told by options. */
export interface ConvertOptions extends ReportOptions {
  /** The format of the output. */
  readonly to: "hf" | "gguf" | "meta" | "llama2c";
  /** Element type of all weights. */
  readonly dtype?: "f32" | "f16" | "bf16";
  /** Hugging Face: most bytes in one file. */
  readonly shardSize?: number;
  /** Meta: files that the weights are cut over. */
  readonly modelParallel?: number;
  /** A tokenizer to take instead of the model's own. */
  readonly tokenizer?: string;
  /** Whether the tokenizer stays behind. */
  readonly weightsOnly: boolean;
  /** Whether an output that exists is replaced. */
  readonly force: boolean;
}

/** What `llamero convert` is called with. */
export interface ConvertArguments {
  /** A model in any format. */
  readonly source: string;
  /** The file or folder to write. */
  readonly target: string;
}

function check({ to, shardSize, modelParallel, tokenizer, weightsOnly }: ConvertOptions): void {
  const refuse = (flag: string, what: string): UsageError =>
    new UsageError(`Cannot use ${flag}: ${what}`);
  if (shardSize !== undefined && to !== "hf") {
    throw refuse("--shard-size", `the target is ${to}, and only hf has shards`);
  }
  if (modelParallel !== undefined && to !== "meta") {
    throw refuse("--model-parallel", `the target is ${to}, and only meta is cut so`);
  }
  if (tokenizer !== undefined && weightsOnly) {
    throw refuse("--tokenizer", "--weights-only leaves the tokenizer behind");
  }
}

/** The record of `llamero convert`. */
export const spec: CommandSpec<ConvertOptions, ConvertArguments> = {
  name: "convert",
  group: "Models",
  summary: "write a model in another format or element type",
  description: "The tokenizer and the chat template travel along. Without --dtype every weight " +
    "keeps its type, and converting there and back gives the same bytes; blocks of a quantized " +
    "model become f32 where the format has none. A model that the format cannot hold is " +
    "refused before anything is written.",
  arguments: {
    source: {
      value: "SRC",
      required: true,
      doc: "a Hugging Face or Meta folder, a .gguf, .safetensors or llama2.c .bin file",
    },
    target: {
      value: "DST",
      required: true,
      doc: "the folder (hf, meta) or file (gguf, llama2c) to write",
    },
  },
  options: {
    to: {
      value: "FORMAT",
      required: true,
      choices: ["hf", "gguf", "meta", "llama2c"],
      doc: "what to write",
    },
    dtype: {
      value: "TYPE",
      choices: ["f32", "f16", "bf16"],
      defaultDoc: "the source's",
      doc: "element type of the weights (norms stay f32 in GGUF, everything in llama2.c)",
    },
    shardSize: {
      value: "SIZE",
      parse: byteSize(),
      defaultDoc: "5GB",
      doc: "hf: most bytes of weights in one file",
    },
    modelParallel: {
      value: "N",
      parse: integer({ min: 1, max: 100 }),
      defaultDoc: "1",
      doc: "meta: number of files that each matrix is cut over",
    },
    tokenizer: WRITTEN_TOKENIZER,
    weightsOnly: { doc: "leave the tokenizer and the chat template behind" },
    force: { doc: "replace an output that exists" },
    ...REPORT_OPTIONS,
  },
  examples: [
    {
      command: "llamero convert models/tinyllama tinyllama.gguf --to gguf --dtype f16",
      doc: "for llama.cpp",
    },
    {
      command: "llamero convert model.gguf models/copy --to hf --dtype bf16 --shard-size 2GB",
      doc: "for transformers, quantized weights dequantized",
    },
    {
      command: "llamero convert models/llama2-13b llama-2-13b --to meta --model-parallel 2",
      doc: "as Meta publishes it, for two processes",
    },
    {
      command: "llamero convert stories15M.bin stories --to hf --tokenizer tokenizer.bin",
      doc: "a llama2.c model with its tokenizer",
    },
  ],
  check,
  load: () => import("./convert.ts"),
};
