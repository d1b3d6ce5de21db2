/**
 * The record of `llamero bench kernels`.
 *
 * @module
 */

import type { CommandSpec } from "../command.ts";
import { integer } from "../option_values.ts";
import { COMPUTE_OPTIONS, type ComputeOptions } from "../options.ts";

/** What `llamero bench kernels` can measure. */
const BENCHED: readonly string[] = [
  ...["matmul", "matvec", "rms_norm", "softmax", "swiglu"],
  ...["gemm", "adamw", "attention_forward", "attention_backward", "cross_entropy"],
  ...["rms_norm_backward", "swiglu_backward"],
];

/** What `llamero bench kernels` is called with. */
export interface BenchKernelsOptions extends ComputeOptions {
  /** Runs that count. */
  readonly repeat: number;
  /** Compares with one thread as well. */
  readonly scaling?: boolean;
}

/** The arguments of `llamero bench kernels`. */
export interface BenchKernelsArguments {
  /** Kernels to measure; all where none is named. */
  readonly names: readonly string[];
}

/** The record of `llamero bench kernels`. */
export const spec: CommandSpec<BenchKernelsOptions, BenchKernelsArguments> = {
  name: "bench kernels",
  group: "Measurement",
  summary: "speed of single kernels, as a share of what the machine can do",
  description: "Times kernels on shapes of real models: matmul is a product of matrices, matvec " +
    "one of a matrix larger than the caches with a vector. The limits, arithmetic in registers and " +
    "reading of memory, are measured in the same run; what fits in the caches can exceed the second.",
  arguments: {
    names: { doc: "kernels; all without", value: "NAME", rest: true, choices: BENCHED },
  },
  options: {
    repeat: {
      value: "N",
      parse: integer({ min: 1, max: 1000 }),
      default: 7,
      doc: "runs that count, after one that does not",
    },
    scaling: {
      doc: "compare with one thread as well, and with what the limits gain by the threads",
    },
    ...COMPUTE_OPTIONS,
  },
  examples: [
    { command: "llamero bench kernels", doc: "all of them" },
    { command: "llamero bench kernels matmul --threads 1 --json", doc: "one, for programs" },
    { command: "llamero bench kernels matmul --scaling", doc: "what all threads gain over one" },
  ],
  load: () => import("./bench_kernels.ts"),
};
