/**
 * The kernels of training on tensors: one checked function per kernel, arguments by name.
 *
 * A tensor that receives a gradient is called by the name of what it is the gradient of, with a d
 * before it; those that a function adds to say so. Formulas and sources stand in
 * `kernels/table/training.ts`.
 *
 * @module
 */

import { DTYPE_CODES } from "../../kernels/abi.ts";
import { call } from "./call.ts";
import { elementsOf } from "./shape.ts";
import { reshape, type Tensor } from "./tensor.ts";

/** What the backward passes of RMSNorm and LayerNorm go over. */
export interface NormBackwardArguments {
  /** Gradient of the input [rows, dim]; added to. */
  readonly dx: Tensor;
  /** Gradient of the scale [dim]; added to. */
  readonly dweight: Tensor;
  /** Gradient of the result [rows, dim]. */
  readonly dy: Tensor;
  /** Input of the forward [rows, dim]. */
  readonly x: Tensor;
  /** Scale [dim]. */
  readonly weight: Tensor;
  /** Added to the mean square or the variance, inside the root. */
  readonly eps: number;
}

/** Backward of `rmsNorm`: dx += r (weight dy - n mean(weight dy n)), dweight += sum dy n, n = x r. */
export function rmsNormBackward({ eps, ...tensors }: NormBackwardArguments): void {
  call("rms_norm_backward", { tensors, scalars: { eps } });
}

/** Backward of `layerNorm`; `dbias` [dim] is added to where it is given. */
export function layerNormBackward(
  { eps, ...tensors }: NormBackwardArguments & { readonly dbias?: Tensor },
): void {
  call("layer_norm_backward", { tensors, scalars: { eps } });
}

/** Arguments of the backward of SwiGLU's gate; gate, up and their gradients may be columns. */
export interface SwigluBackwardArguments {
  /** Gradient of the gate [rows, dim]; may be `gate`. */
  readonly dgate: Tensor;
  /** Gradient of what it multiplies [rows, dim]; may be `up`. */
  readonly dup: Tensor;
  /** Gets the forward's result again, to the bit, where it is given [rows, dim]. */
  readonly out?: Tensor;
  /** Gradient of the result [rows, dim]. */
  readonly dy: Tensor;
  /** Gate [rows, dim]. */
  readonly gate: Tensor;
  /** What it multiplies [rows, dim]. */
  readonly up: Tensor;
}

/** Backward of `swiglu`: dgate = dy up s (1 + gate (1 - s)), dup = dy gate s, s = sigmoid(gate). */
export function swigluBackward(tensors: SwigluBackwardArguments): void {
  call("swiglu_backward", { tensors: { ...tensors } });
}

/** What attention of whole documents reads. */
export interface DocumentAttention {
  /** Queries [rows, heads, head_dim]. */
  readonly q: Tensor;
  /** Keys [rows, kv_heads, head_dim]. */
  readonly k: Tensor;
  /** Values, like the keys. */
  readonly v: Tensor;
  /** First row (i32) of each row's document [rows]: the row itself, or what the row before has. */
  readonly starts: Tensor;
  /** Result of the forward [rows, heads, head_dim]. */
  readonly out: Tensor;
  /** Log of the softmax's sum [rows, heads], of the forward too. */
  readonly logZ: Tensor;
  /** Factor of the scores. @default {1 / sqrt(head_dim)} */
  readonly scale?: number;
  /** What factors of products are rounded to. @default {"f32"} */
  readonly precision?: "f32" | "bf16";
}

const attentionScalars = ({ q, scale, precision = "f32" }: DocumentAttention) => ({
  scale: scale ?? 1 / Math.sqrt(q.shape.at(-1) ?? 1),
  precision: DTYPE_CODES[precision],
});

/** The tensors of attention by the kernels' names. */
function attentionTensors<A extends DocumentAttention>(args: A) {
  const { logZ, scale: _scale, precision: _precision, ...tensors } = args;
  return { ...tensors, log_z: logZ };
}

/** Causal attention of packed documents: writes `out` and `logZ`. */
export function attentionForward(args: DocumentAttention): void {
  call("attention_forward", {
    tensors: attentionTensors(args),
    scalars: attentionScalars(args),
  });
}

/** Arguments of the backward of attention: those of the forward, and gradients. */
export interface AttentionBackwardArguments extends DocumentAttention {
  /** Gradient of the queries [rows, heads, head_dim]. */
  readonly dq: Tensor;
  /** Gradient of the keys [rows, kv_heads, head_dim]. */
  readonly dk: Tensor;
  /** Gradient of the values, like that of the keys. */
  readonly dv: Tensor;
  /** Gradient of the result [rows, heads, head_dim]. */
  readonly dout: Tensor;
}

/** Backward of {@linkcode attentionForward}: writes `dq`, `dk` and `dv`. */
export function attentionBackward(args: AttentionBackwardArguments): void {
  call("attention_backward", {
    tensors: attentionTensors(args),
    scalars: attentionScalars(args),
  });
}

/** Arguments of the loss. */
export interface CrossEntropyArguments {
  /** Logits [rows, vocab]; replaced by their gradient. */
  readonly logits: Tensor;
  /** Gets log p(target), 0 where there is none [rows]. */
  readonly logProb: Tensor;
  /** Gets log sum exp logits [rows]. */
  readonly logZ: Tensor;
  /** Targets (i32) [rows]; a negative one is none. */
  readonly targets: Tensor;
  /** Weight of each row's loss [rows]. */
  readonly weights: Tensor;
  /** Weight of log^2 Z. @default {0} */
  readonly zLoss?: number;
}

/** Gradient of sum_r weights[r] (zLoss logZ^2 - logProb) in place of the logits. */
export function crossEntropy(
  { logProb, logZ, zLoss = 0, ...tensors }: CrossEntropyArguments,
): void {
  call("cross_entropy", {
    tensors: { ...tensors, log_prob: logProb, log_z: logZ },
    scalars: { z_loss: zLoss },
  });
}

/** dtable[ids[r],:] += dy[r,:]: table [vocab, dim], dy [rows, dim], ids (i32) [rows]. */
export function embeddingBackward(
  tensors: { readonly dtable: Tensor; readonly dy: Tensor; readonly ids: Tensor },
): void {
  call("embedding_backward", { tensors });
}

/** Arguments of dropout: element i draws word (offset + i) of a stream of random numbers. */
export interface DropoutArguments {
  /** Elements, changed in place. */
  readonly x: Tensor;
  /** Share that is dropped, from 0 to below 1. */
  readonly probability: number;
  /** Seed of the random numbers, below 2^53. */
  readonly seed: number;
  /** Which of the seed's streams, below 2^53. */
  readonly stream: number;
  /** Where in the stream the first element stands. @default {0} */
  readonly offset?: number;
}

/** Zeroes elements and multiplies the others by 1 / (1 - probability), replayably. */
export function dropout({ x, offset = 0, ...scalars }: DropoutArguments): void {
  const flat = reshape(x, [elementsOf(x.shape)]);
  call("dropout", { tensors: { x: flat }, scalars: { ...scalars, offset } });
}
