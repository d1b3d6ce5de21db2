/**
 * The record of `llamero inspect`.
 *
 * @module
 */

import type { CommandSpec } from "../command.ts";
import { REPORT_OPTIONS, type ReportOptions } from "../options.ts";

/** What `llamero inspect` is told by options. */
export interface InspectOptions extends ReportOptions {
  /** Whether each tensor is listed. */
  readonly tensors: boolean;
  /** Whether the numbers of each tensor are described. */
  readonly stats: boolean;
}

/** What `llamero inspect` is called with. */
export interface InspectArguments {
  /** A model in any format, or a safetensors file. */
  readonly path: string;
}

/** The record of `llamero inspect`. */
export const spec: CommandSpec<InspectOptions, InspectArguments> = {
  name: "inspect",
  group: "Models",
  summary: "what a model file is, and whether its parts fit together",
  description:
    "Finds out the format, reads the config, and checks that every tensor is there, has " +
    "the config's shape and a type of weights. No weights are read without --stats.",
  arguments: {
    path: {
      value: "PATH",
      required: true,
      doc: "a Hugging Face or Meta folder, a .gguf, .safetensors or llama2.c .bin file",
    },
  },
  options: {
    tensors: { doc: "list every tensor" },
    stats: { doc: "read every tensor and describe its numbers (implies --tensors)" },
    ...REPORT_OPTIONS,
  },
  examples: [
    { command: "llamero inspect models/tinyllama", doc: "format, config, size, tokenizer" },
    { command: "llamero inspect model.gguf --tensors", doc: "every tensor with type and shape" },
    { command: "llamero inspect model.safetensors --stats --json", doc: "find a NaN in a script" },
  ],
  load: () => import("./inspect.ts"),
};
