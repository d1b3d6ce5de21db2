/**
 * The record of `llamero importance`.
 *
 * @module
 */

import type { CommandSpec } from "../command.ts";
import {
  COMPUTE_OPTIONS,
  type ComputeOptions,
  MODEL_TOKENIZER,
  WINDOW_CONTEXT,
} from "../options.ts";

/** What `llamero importance` is called with. */
export interface ImportanceOptions extends ComputeOptions {
  /** A model in any format. */
  readonly model: string;
  /** A tokenizer besides the model's own. */
  readonly tokenizer: string | undefined;
  /** A file with the text. */
  readonly text: string;
  /** The file to write. */
  readonly out: string;
  /** Tokens of a window. */
  readonly context: number | undefined;
  /** Whether an output that exists is replaced. */
  readonly force: boolean;
}

/** The record of `llamero importance`. */
export const spec: CommandSpec<ImportanceOptions> = {
  name: "importance",
  group: "Models",
  summary: "measure which columns of a model matter, for quantize",
  description:
    "Runs a text through the model and adds up the squares of what each column of each " +
    "matrix is multiplied by. The file is llama.cpp's importance matrix (GGUF), so that its tools " +
    "take it too, and `quantize --importance` takes theirs.",
  arguments: {},
  options: {
    model: { value: "PATH", required: true, doc: "a model in any format, best unquantized" },
    text: {
      value: "FILE",
      required: true,
      doc: "a text like what the model is for, or - for stdin",
    },
    out: { value: "FILE", required: true, doc: "the importance file to write" },
    tokenizer: MODEL_TOKENIZER,
    context: WINDOW_CONTEXT,
    force: { doc: "replace an output that exists" },
    ...COMPUTE_OPTIONS,
  },
  examples: [
    {
      command: "llamero importance --model model/ --text sample.txt --out importance.gguf",
      doc: "then: llamero quantize model/ small.gguf --type q3_k_m --importance importance.gguf",
    },
  ],
  load: () => import("./importance.ts"),
};
