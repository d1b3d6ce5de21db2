/**
 * Who is told what a run does, and what a run needs of its tokenizer.
 *
 * @module
 */

import type { TokenizerFile } from "../tokenizer/files.ts";
import type { RunEvent } from "./events.ts";
import type { MetricsRow } from "./metrics.ts";
import type { WholeWeights } from "./whole_weights.ts";

/** Is told while a run goes on; nothing that it does changes the weights. */
export interface RunObserver {
  /** A step was kept. */
  step(row: MetricsRow): void;
  /** Something else happened. */
  event(event: RunEvent): void;
  /** The run went back to after this step; later rows are void. */
  rewound(step: number): void;
  /** A sample of the model's text is due, with the weights that lie there. */
  sample?(step: number, placed: WholeWeights["placed"]): Promise<void>;
  /** Operations per token of a step, forward and backward. */
  flopsPerToken(step: number): number;
}

/** What a run needs of its tokenizer. */
export interface RunTokenizer {
  /** Its files, for checkpoints. */
  readonly files: readonly TokenizerFile[];
  /** Bytes of text of each id. */
  readonly tokenBytes: Uint16Array;
}
