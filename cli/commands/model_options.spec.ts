/**
 * The options of every command that runs a model's forward pass.
 *
 * @module
 */

import type { OptionSpecs } from "../command.ts";
import { integer } from "../option_values.ts";

/** How a model computes: its context, its cache, and the form in which weights are multiplied. */
export interface ModelFlags {
  /** Positions of prompt and text together. */
  readonly context: number | undefined;
  /** Element type of cached keys and values. */
  readonly kvType: "f32" | "f16" | "q8_0";
  /** How quantized weights are multiplied. */
  readonly activations: "auto" | "f32";
  /** Which quantized weights are repacked. */
  readonly repack: "auto" | "on" | "off";
}

/** Specs of {@linkcode ModelFlags}. */
export const MODEL_OPTIONS: OptionSpecs<ModelFlags> = {
  context: {
    group: "Computation",
    value: "N",
    parse: integer({ min: 1 }),
    defaultDoc: "the model's",
    doc: "most tokens of prompt and text together",
  },
  kvType: {
    group: "Computation",
    value: "TYPE",
    choices: ["f32", "f16", "q8_0"],
    default: "f32",
    doc: "element type of cached keys and values",
  },
  activations: {
    group: "Computation",
    value: "TYPE",
    choices: ["auto", "f32"],
    default: "auto",
    doc:
      "what weights are multiplied by: inputs rounded as llama.cpp does, to int8 blocks or bf16 " +
      "by the weights' type, or exactly f32",
  },
  repack: {
    group: "Computation",
    value: "WHEN",
    choices: ["auto", "on", "off"],
    default: "auto",
    doc:
      "lay weights out for faster decoding: where it pays and memory allows, always where it is " +
      "known how, or never, which maps the file without a copy",
  },
};
