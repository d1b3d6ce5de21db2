/**
 * What a device does for one block, forward and backward, task by task: on the one hand it computes, on
 * the other tensor-parallel ranks exchange rows (Megatron's sequence parallelism, Korthikanti et al. 2022,
 * figures 4 to 6). A task waits for those before it that it names.
 *
 * Widths: D hidden size, H query heads, K key and value heads, E head size, F feed-forward width; of H, K
 * and F a rank has its share, and of rows between products.
 *
 * @module
 */

import type { ModelConfig } from "../model/config.ts";
import type { Recompute } from "../model/training/trainable.ts";
import { attentionSeconds, type Device, memorySeconds, productSeconds } from "./kernel_time.ts";
import type { Timeline } from "./timeline.ts";

/** A block, and the part of it that a rank has. */
export interface BlockShape {
  /** Config of the model that the block belongs to. */
  readonly model: ModelConfig;
  /** Tokens of a micro-batch. */
  readonly rows: number;
  /** Tokens of a sequence. */
  readonly seqLen: number;
  /** Tensor-parallel ranks. */
  readonly tensor: number;
  /** What the backward pass computes again. */
  readonly recompute: Recompute;
  /** Seconds in which the rows of [rows, D] are gathered, or summed and scattered. */
  readonly exchange: number;
}

/** Lanes of a block's tasks. */
export type BlockLane = "compute" | "tensor";

/** Columns of a product by a weight, and its inner dimension, on one rank. */
interface Weight {
  readonly columns: number;
  readonly inner: number;
}

/** Seconds of everything in a block, named as in the model. */
class BlockTimes {
  readonly #shape: BlockShape;
  readonly #device: Device;
  readonly first: Weight;
  readonly attentionOutput: Weight;
  readonly gateUp: Weight;
  readonly down: Weight;
  readonly attentionWidth: number;
  readonly ropeWidth: number;
  readonly feedForward: number;

  constructor(shape: BlockShape, device: Device) {
    this.#shape = shape;
    this.#device = device;
    const { model, tensor } = shape;
    const { hiddenSize: D, headDim: E } = model;
    const kvHeads = Math.max(1, model.numKeyValueHeads / tensor);
    this.attentionWidth = model.numAttentionHeads * E / tensor;
    this.ropeWidth = this.attentionWidth + kvHeads * E;
    this.feedForward = model.intermediateSize / tensor;
    const qkv = this.attentionWidth + 2 * kvHeads * E;
    const gateUp = 2 * this.feedForward;
    this.first = { columns: model.parallelBlock ? qkv + gateUp : qkv, inner: D };
    this.attentionOutput = { columns: D, inner: this.attentionWidth };
    this.gateUp = { columns: gateUp, inner: D };
    this.down = { columns: D, inner: this.feedForward };
  }

  /** x W. */
  product({ columns, inner }: Weight): number {
    return productSeconds({ rows: this.#shape.rows, columns, inner }, this.#device);
  }

  /** dy W^T. */
  inputGradient({ columns, inner }: Weight): number {
    const { rows } = this.#shape;
    return productSeconds({ rows, columns: inner, inner: columns }, this.#device);
  }

  /** x^T dy, added to the gradient in f32. */
  weightGradient({ columns, inner }: Weight): number {
    const { rows } = this.#shape;
    return productSeconds({ rows: inner, columns, inner: rows, resultBytes: 8 }, this.#device);
  }

  /** Reads and writes of so many bf16 values of every token. */
  values(count: number): number {
    return memorySeconds(2 * this.#shape.rows * count, this.#device);
  }

  /** The same of rows that tensor-parallel ranks share. */
  sharedRows(count: number): number {
    return this.values(count / this.#shape.tensor);
  }

  attention(pass: "forward" | "backward"): number {
    const { rows, seqLen } = this.#shape;
    return attentionSeconds(pass, { rows, seqLen, width: this.attentionWidth }, this.#device);
  }
}

/** Tasks of one block in one pass, added to a timeline. */
class BlockTasks {
  readonly #timeline: Timeline<BlockLane>;
  readonly #times: BlockTimes;
  readonly #shape: BlockShape;

  constructor(timeline: Timeline<BlockLane>, shape: BlockShape, device: Device) {
    this.#timeline = timeline;
    this.#shape = shape;
    this.#times = new BlockTimes(shape, device);
  }

  #compute(seconds: number, ...after: number[]): number {
    return this.#timeline.add("compute", { seconds, after: Math.max(0, ...after) });
  }

  /** Rows gathered before a product, or summed and scattered after one. */
  #exchange(...after: number[]): number {
    const { exchange } = this.#shape;
    return this.#timeline.add("tensor", { seconds: exchange, after: Math.max(0, ...after) });
  }

  /** Norm, its product, rope, attention. */
  #attend(): number {
    const { model: { hiddenSize: D } } = this.#shape;
    const times = this.#times;
    const normed = this.#compute(times.sharedRows(2 * D));
    const gathered = this.#exchange(normed);
    this.#compute(times.product(times.first), gathered);
    this.#compute(times.values(2 * times.ropeWidth));
    return this.#compute(times.attention("forward"));
  }

  #activate(): number {
    return this.#compute(this.#times.values(3 * this.#times.feedForward));
  }

  /** Attention's output product and sum, norm, first product of the feed-forward layer: a serial block's. */
  #project(): void {
    const { model: { hiddenSize: D } } = this.#shape;
    const times = this.#times;
    const scattered = this.#exchange(this.#compute(times.product(times.attentionOutput)));
    const normed = this.#compute(times.sharedRows(5 * D), scattered);
    this.#compute(times.product(times.gateUp), this.#exchange(normed));
  }

  forward(): number {
    const { model: { hiddenSize: D, parallelBlock } } = this.#shape;
    const times = this.#times;
    this.#attend();
    if (!parallelBlock) {
      this.#project();
      this.#activate();
    } else {
      this.#activate();
      this.#compute(times.product(times.attentionOutput));
    }
    const scattered = this.#exchange(this.#compute(times.product(times.down)));
    return this.#compute(times.sharedRows(3 * D), scattered);
  }

  /** What was not kept, computed again. */
  #restore(): void {
    const { model: { hiddenSize: D, parallelBlock }, recompute } = this.#shape;
    const times = this.#times;
    if (recompute === "none") return;
    if (recompute === "selective") {
      this.#compute(times.sharedRows((parallelBlock ? 2 : 4) * D));
      this.#activate();
      return;
    }
    this.#attend();
    if (!parallelBlock) this.#project();
    this.#activate();
  }

  /** Both gradients of a product whose rows were scattered: dy is gathered first. */
  #scattered(weight: Weight): number {
    const gathered = this.#exchange(this.#timeline.end("compute"));
    this.#compute(this.#times.inputGradient(weight), gathered);
    return this.#compute(this.#times.weightGradient(weight));
  }

  /**
   * Both gradients of a product whose rows were gathered: x is gathered once more while dx is computed
   * (unless computing it again has just done so), and dx is summed and scattered while dW is
   * (Korthikanti et al. 2022, section 4.2.2).
   */
  #gathered(weight: Weight): number {
    const isThere = this.#shape.recompute === "full";
    const again = isThere ? 0 : this.#exchange(this.#timeline.end("compute"));
    const dx = this.#compute(this.#times.inputGradient(weight));
    const scattered = this.#exchange(dx);
    this.#compute(this.#times.weightGradient(weight), again);
    return scattered;
  }

  backward(): number {
    const { model: { hiddenSize: D, parallelBlock } } = this.#shape;
    const times = this.#times;
    this.#restore();
    this.#scattered(times.down);
    this.#compute(times.values(5 * times.feedForward));
    if (!parallelBlock) {
      const scattered = this.#gathered(times.gateUp);
      this.#compute(times.sharedRows(4 * D), scattered);
      this.#scattered(times.attentionOutput);
    } else {
      this.#compute(times.inputGradient(times.attentionOutput));
      this.#compute(times.weightGradient(times.attentionOutput));
    }
    this.#compute(times.attention("backward"));
    this.#compute(times.values(2 * times.ropeWidth));
    return this.#compute(times.sharedRows(4 * D), this.#gathered(times.first));
  }
}

/** Adds a block's tasks of one pass to a timeline; returns when they end. */
export function addBlockTasks(
  timeline: Timeline<BlockLane>,
  pass: "forward" | "backward",
  { shape, device }: { readonly shape: BlockShape; readonly device: Device },
): number {
  const tasks = new BlockTasks(timeline, shape, device);
  return pass === "forward" ? tasks.forward() : tasks.backward();
}
