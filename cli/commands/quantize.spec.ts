/**
 * The record of `llamero quantize`.
 *
 * @module
 */

import type { MixtureName } from "../../lib/quant/mixture.ts";
import type { CommandSpec } from "../command.ts";
import { COMPUTE_OPTIONS, type ComputeOptions, WRITTEN_TOKENIZER } from "../options.ts";

/** A mixture, or the short name of one. */
export type MixtureType = MixtureName | "q3_k" | "q4_k" | "q5_k";

/** What `llamero quantize` is told by options. */
export interface QuantizeCommandOptions extends ComputeOptions {
  /** What the matrices become. */
  readonly type: MixtureType;
  /** A file that says how much each column matters. */
  readonly importance: string | undefined;
  /** Whether the error of every tensor is measured. */
  readonly report: boolean;
  /** A tokenizer to take instead of the model's own. */
  readonly tokenizer: string | undefined;
  /** Whether an output that exists is replaced. */
  readonly force: boolean;
}

/** What `llamero quantize` is called with. */
export interface QuantizeArguments {
  /** A model in any format. */
  readonly source: string;
  /** The file to write. */
  readonly target: string;
}

/** What `--type` takes, those of fewest bits first; the names without an ending are short ones. */
const TYPES: readonly MixtureType[] = [
  "q2_k",
  "q3_k",
  "q3_k_s",
  "q3_k_m",
  "q3_k_l",
  "q4_0",
  "q4_1",
  "q4_k",
  "q4_k_s",
  "q4_k_m",
  "q5_0",
  "q5_1",
  "q5_k",
  "q5_k_s",
  "q5_k_m",
  "q6_k",
  "q8_0",
];

/** The record of `llamero quantize`. */
export const spec: CommandSpec<QuantizeCommandOptions, QuantizeArguments> = {
  name: "quantize",
  group: "Models",
  summary: "write a model as GGUF with fewer bits per weight",
  description: "The mixtures are llama.cpp's: in q4_k_m and its kin the tensors that matter most " +
    "get more bits, q4_k is short for q4_k_m, and rows that a block does not divide get " +
    "smaller blocks or f16. Norms stay f32. The tokenizer and the chat template travel along.",
  arguments: {
    source: {
      value: "SRC",
      required: true,
      doc: "a Hugging Face or Meta folder, a .gguf, .safetensors or llama2.c .bin file",
    },
    target: { value: "DST", required: true, doc: "the .gguf file to write" },
  },
  options: {
    type: { value: "TYPE", required: true, choices: TYPES, doc: "what the matrices become" },
    importance: {
      value: "FILE",
      doc: "how much each column matters: an importance matrix of llama.cpp, .gguf or .dat",
    },
    report: { doc: "measure what each tensor loses" },
    tokenizer: WRITTEN_TOKENIZER,
    force: { doc: "replace an output that exists" },
    ...COMPUTE_OPTIONS,
  },
  examples: [
    {
      command: "llamero quantize models/tinyllama tinyllama-q4_k_m.gguf --type q4_k_m",
      doc: "from a Hugging Face folder in one step",
    },
    {
      command: "llamero quantize model.gguf small.gguf --type q3_k_m --importance imatrix.gguf",
      doc: "errors weigh more where the importance is large",
    },
    {
      command: "llamero quantize model.gguf q8.gguf --type q8_0 --report",
      doc: "with the error of every tensor",
    },
  ],
  load: () => import("./quantize.ts"),
};
