/**
 * The record of `llamero probe`.
 *
 * @module
 */

import type { Recompute } from "../../lib/model/training/trainable.ts";
import type { CommandSpec } from "../command.ts";
import { real } from "../option_values.ts";
import { COMPUTE_OPTIONS, type ComputeOptions } from "../options.ts";

/** What `llamero probe` is called with. */
export interface ProbeCommandOptions extends ComputeOptions {
  /** A model in any format. */
  readonly model: string;
  /** The batch as JSON. */
  readonly batch: string;
  /** The safetensors file to write. */
  readonly out: string;
  /** The safetensors file that gets gradients. */
  readonly gradients: string | undefined;
  /** What the backward pass computes again. */
  readonly recompute: Recompute;
  /** Whether attention stays inside a document. */
  readonly documentMask: boolean;
  /** Weight of log^2 Z in the loss. */
  readonly zLoss: number | undefined;
  /** Whether a file that exists is replaced. */
  readonly force: boolean;
}

/** The record of `llamero probe`. */
export const spec: CommandSpec<ProbeCommandOptions> = {
  name: "probe",
  group: "Measurement",
  summary: "logits, losses and gradients on given ids, to compare with other programs",
  description: 'The batch is {"input_ids": [[...]], "targets": [[...]]}, targets of -100 not ' +
    'counted; "position_ids" and "document_ids" may be added. The file gets "logits" [B, T, V] ' +
    "in f32; the losses (loss = ce + z) are printed.",
  arguments: {},
  options: {
    model: { value: "PATH", required: true, doc: "a model in any format" },
    batch: { value: "FILE", required: true, doc: "the batch as JSON, or - for stdin" },
    out: { value: "FILE", required: true, doc: "the safetensors file to write" },
    gradients: {
      value: "FILE",
      doc: "write the gradient of the loss for every weight too, by Hugging Face names",
    },
    recompute: {
      value: "WHAT",
      choices: ["none", "selective", "full"],
      default: "none",
      doc: "what the backward pass computes again instead of keeping it; changes no bit",
    },
    documentMask: {
      doc: 'keep attention inside a document of "document_ids" and restart positions',
    },
    zLoss: {
      value: "C",
      parse: real({ min: 0 }),
      defaultDoc: "the model's",
      doc: "weight of log^2 Z in the loss",
    },
    force: { doc: "replace files that exist" },
    ...COMPUTE_OPTIONS,
  },
  examples: [
    {
      command: "llamero probe --model model/ --batch batch.json --out logits.safetensors",
      doc: "logits of every token, and the loss",
    },
    {
      command: "llamero probe --model model/ --batch batch.json --out logits.safetensors --json",
      doc: "the losses for programs",
    },
    {
      command: "llamero probe --model model/ --batch batch.json --out logits.safetensors " +
        "--gradients grads.safetensors",
      doc: "with the gradient of every weight",
    },
  ],
  load: () => import("./probe.ts"),
};
