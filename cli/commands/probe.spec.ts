/**
 * The record of `llamero probe`.
 *
 * @module
 */

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
  summary: "logits and losses on given token ids, to compare with another implementation",
  description: 'The batch is {"input_ids": [[...]], "targets": [[...]]}, targets of -100 not ' +
    'counted; "position_ids" and "document_ids" may be added. The file gets "logits" [B, T, V] ' +
    "in f32; the losses (loss = ce + z) are printed.",
  arguments: {},
  options: {
    model: { value: "PATH", required: true, doc: "a model in any format" },
    batch: { value: "FILE", required: true, doc: "the batch as JSON, or - for stdin" },
    out: { value: "FILE", required: true, doc: "the safetensors file to write" },
    documentMask: {
      doc: 'keep attention inside a document of "document_ids" and restart positions',
    },
    zLoss: {
      value: "C",
      parse: real({ min: 0 }),
      defaultDoc: "the model's",
      doc: "weight of log^2 Z in the loss",
    },
    force: { doc: "replace the file if it exists" },
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
  ],
  load: () => import("./probe.ts"),
};
