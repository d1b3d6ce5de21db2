/**
 * The record of `llamero eval perplexity`.
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
import { MODEL_OPTIONS, type ModelFlags } from "./model_options.spec.ts";

/** What `llamero eval perplexity` is called with. */
export interface EvalPerplexityOptions extends ComputeOptions, Omit<ModelFlags, "repack"> {
  /** A model in any format. */
  readonly model: string;
  /** A model to compare with. */
  readonly reference: string | undefined;
  /** A tokenizer besides the models' own. */
  readonly tokenizer: string | undefined;
  /** A file with the text. */
  readonly text: string;
}

const { kvType, activations } = MODEL_OPTIONS;

/** The record of `llamero eval perplexity`. */
export const spec: CommandSpec<EvalPerplexityOptions> = {
  name: "eval perplexity",
  group: "Measurement",
  summary: "how well a model predicts a text, alone or against another model",
  description: "Cuts the text into windows that do not overlap and judges the tokens of each " +
    "window's second half, as llama.cpp's llama-perplexity does. With --reference both models see " +
    "the same tokens: the difference of their losses, the Kullback-Leibler divergence from the " +
    "reference, and how often both find the same token likeliest.",
  arguments: {},
  options: {
    model: { value: "PATH", required: true, doc: "a model in any format" },
    text: { value: "FILE", required: true, doc: "the text, or - for stdin" },
    reference: { value: "PATH", doc: "a model to compare with, such as the unquantized one" },
    tokenizer: MODEL_TOKENIZER,
    context: WINDOW_CONTEXT,
    kvType,
    activations,
    ...COMPUTE_OPTIONS,
  },
  examples: [
    {
      command: "llamero eval perplexity --model model/ --text wikitext.txt",
      doc: "perplexity with its standard error",
    },
    {
      command: "llamero eval perplexity --model q4.gguf --reference model/ --text wikitext.txt",
      doc: "what quantization has cost",
    },
  ],
  load: () => import("./eval_perplexity.ts"),
};
