/** What a rank of a pipeline should send: its messages, from the schedule. */

import {
  pipelineActions,
  type PipelinePass,
  type PipelineShape,
} from "../../lib/parallel/pipeline_schedule.ts";

/** Bytes of hidden states and gradients that a rank sends for its passes. */
export function pipelineBytes(
  passes: readonly PipelinePass[],
  options: PipelineShape & {
    /** Bytes of a message of a micro-batch: 4 T D, T its rows and D the hidden size. */
    readonly messageBytes: (microBatch: number) => number;
  },
): number {
  let bytes = 0;
  for (const action of pipelineActions(passes, options)) {
    if (action.kind === "send") bytes += options.messageBytes(action.reader.microBatch);
  }
  return bytes;
}
