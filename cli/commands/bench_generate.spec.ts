/**
 * The record of `llamero bench generate`.
 *
 * @module
 */

import type { CommandSpec } from "../command.ts";
import { integer } from "../option_values.ts";
import { COMPUTE_OPTIONS, type ComputeOptions } from "../options.ts";
import { MODEL_OPTIONS, type ModelFlags } from "./model_options.spec.ts";

/** What `llamero bench generate` is called with. */
export interface BenchGenerateOptions extends ComputeOptions, Omit<ModelFlags, "context"> {
  /** A model in any format. */
  readonly model: string;
  /** How many tokens of prompt are read before decoding begins. */
  readonly promptTokens: number;
  /** Tokens after it. */
  readonly maxTokens: number;
  /** Runs that count. */
  readonly repeat: number;
}

const { kvType, activations, repack } = MODEL_OPTIONS;

/** The record of `llamero bench generate`. */
export const spec: CommandSpec<BenchGenerateOptions> = {
  name: "bench generate",
  group: "Measurement",
  summary: "tokens per second of a model, as a share of what the machine can do",
  description:
    "Feeds random tokens: a prompt in large batches, then one token at a time, without " +
    "sampling. The limits, arithmetic in registers and reading of memory, are measured in the " +
    "same run; a model that fits in the processor's caches can exceed the second.",
  arguments: {},
  options: {
    model: { value: "PATH", required: true, doc: "a model in any format" },
    promptTokens: {
      value: "N",
      parse: integer({ min: 1 }),
      default: 512,
      doc: "tokens of the prompt",
    },
    maxTokens: {
      value: "N",
      parse: integer({ min: 1 }),
      default: 128,
      doc: "tokens after the prompt",
    },
    repeat: {
      value: "N",
      parse: integer({ min: 1, max: 1000 }),
      default: 5,
      doc: "runs that count, after one that does not",
    },
    kvType,
    activations,
    repack,
    ...COMPUTE_OPTIONS,
  },
  examples: [
    { command: "llamero bench generate --model model/", doc: "prompt and text, five times" },
    {
      command: "llamero bench generate --model model.gguf --threads 1 --json",
      doc: "on one thread, for programs",
    },
  ],
  load: () => import("./bench_generate.ts"),
};
