/**
 * How much each column of a model's matrices matters on a text: sums of the squares of what is
 * multiplied by it.
 *
 * Source: llama.cpp, tools/imatrix/imatrix.cpp; the head is left out as there: a few tokens decide what
 * would matter to it.
 *
 * @module
 */

import { EventLoop } from "../base/event_loop.ts";
import type { LanguageModel } from "../infer/language_model.ts";
import type { ProductObserver, Weight } from "../model/linear.ts";
import { weightSpecs } from "../model/weights.ts";
import type { CollectedImportance, ImportanceSums } from "../quant/importance_write.ts";
import { forwardWindow } from "./window_logits.ts";
import { cutWindows, type WindowOptions } from "./windows.ts";

/** How importance is collected. */
export interface CollectOptions extends WindowOptions {
  /** What is run through the model: like what the model is for. */
  readonly text: string;
  /** Stops between layers. */
  readonly signal?: AbortSignal | undefined;
  /** Called after every window with the windows that are done. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

/** Parts of a block's weights, in the order of their rows. */
const PARTS: Readonly<Record<"qkv" | "attentionOutput" | "gateUp" | "down", readonly string[]>> = {
  qkv: ["attention.q", "attention.k", "attention.v"],
  attentionOutput: ["attention.output"],
  gateUp: ["feed_forward.gate", "feed_forward.up"],
  down: ["feed_forward.down"],
};

/**
 * Runs a text through a model and adds up the squares of all inputs of its blocks' matrices.
 *
 * @throws {ConfigError} When the text is too short.
 * @throws {BackendError} When there is too little memory.
 */
export async function collectImportance(
  model: LanguageModel,
  options: CollectOptions,
): Promise<CollectedImportance> {
  const windows = cutWindows(model, options.text, options);
  const context = windows[0]!.tokens.length;
  const sums = new InputSums(model);
  const session = model.decoder.session({
    rows: context,
    positions: context,
    observe: sums.observe,
  });
  try {
    const run = { session, eventLoop: new EventLoop(options.signal) };
    for (const [done, window] of windows.entries()) {
      await forwardWindow(run, window);
      options.progress?.(done + 1, windows.length);
    }
  } finally {
    session.close();
  }
  return { entries: sums.entries(), chunks: windows.length, chunkTokens: context };
}

/** Sums of squares by weight. */
class InputSums {
  readonly #model: LanguageModel;
  readonly #sums = new Map<Weight, { readonly squares: Float64Array; rows: number }>();
  #host = new Float32Array();

  constructor(model: LanguageModel) {
    this.#model = model;
    for (const { qkv, attentionOutput, gateUp, down } of model.decoder.weights.blocks) {
      for (const weight of [qkv, attentionOutput, gateUp, down]) {
        this.#sums.set(weight, { squares: new Float64Array(weight.inDim), rows: 0 });
      }
    }
  }

  readonly observe: ProductObserver = (weight, { x, rows }) => {
    const sum = this.#sums.get(weight);
    if (sum === undefined) return;
    const { inDim } = weight;
    if (this.#host.length < rows * inDim) this.#host = new Float32Array(rows * inDim);
    const values = this.#host.subarray(0, rows * inDim);
    this.#model.decoder.backend.download(values, x);
    const { squares } = sum;
    for (let row = 0; row < rows; row++) {
      const at = row * inDim;
      for (let i = 0; i < inDim; i++) squares[i]! += values[at + i]! ** 2;
    }
    sum.rows += rows;
  };

  /** Every matrix with the sums of its inputs; matrices side by side have the same. */
  entries(): ImportanceSums[] {
    const { decoder } = this.#model;
    const gguf = new Map(
      weightSpecs(decoder.config).map(({ names }) => [
        names.canonical,
        names.gguf,
      ]),
    );
    return decoder.weights.blocks.flatMap((block, layer) =>
      Object.entries(PARTS).flatMap(([key, parts]) => {
        const { squares, rows } = this.#sums.get(block[key as keyof typeof PARTS])!;
        return parts.map((part) => ({
          name: gguf.get(`layers.${layer}.${part}`)!,
          squares,
          rows,
        }));
      })
    );
  }
}
