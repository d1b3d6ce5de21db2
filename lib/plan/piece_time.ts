/**
 * How long the pieces of a stage take on a device: a block, the embedding, the head, in either pass.
 *
 * @module
 */

import type { PassKind } from "../parallel/pipeline_schedule.ts";
import { addBlockTasks, type BlockLane } from "./block_tasks.ts";
import { type Device, memorySeconds, productSeconds } from "./kernel_time.ts";
import { collectiveSeconds, groupOf } from "./links.ts";
import type { StepShape } from "./step_shape.ts";
import { Timeline } from "./timeline.ts";

/** What a stage is made of. */
export type PieceKind = "embedding" | "block" | "head";

/** Seconds of a piece in one pass. */
export interface PieceTime {
  /** From begin to end. */
  readonly seconds: number;
  /** Of them those in which it computes; in the rest it waits for tensor-parallel ranks. */
  readonly computing: number;
  /** Seconds of tensor-parallel communication, hidden or not. */
  readonly exchanging: number;
}

/** Seconds of every piece in every pass. */
export type PieceTimes = Readonly<Record<PieceKind, Readonly<Record<PassKind, PieceTime>>>>;

/** Bytes of a value that is computed with: bf16. */
const VALUE_BYTES = 2;

/** Seconds in which tensor-parallel ranks gather the rows of a micro-batch, or sum and scatter them. */
function exchangeSeconds({ model, microBatch, seqLen, mesh }: StepShape, device: Device): number {
  const bytes = VALUE_BYTES * microBatch * seqLen * model.hiddenSize;
  const { hardware: { fabric }, efficiency } = device;
  const group = groupOf("tensor", { mesh, fabric });
  return collectiveSeconds("allGather", bytes, { group, fabric, efficiency });
}

function blockTime(pass: PassKind, shape: StepShape, device: Device): PieceTime {
  const timeline = new Timeline<BlockLane>();
  const { model, seqLen, recompute, mesh: { tensor } } = shape;
  const rows = shape.microBatch * seqLen;
  const exchange = exchangeSeconds(shape, device);
  const block = { model, rows, seqLen, tensor, recompute, exchange };
  const seconds = addBlockTasks(timeline, pass, { shape: block, device });
  return { seconds, computing: timeline.busy("compute"), exchanging: timeline.busy("tensor") };
}

/** Looks rows up, or adds to them; the ranks that share the vocabulary scatter their sums. */
function embeddingTime(shape: StepShape, device: Device): PieceTime {
  const { model: { hiddenSize: D }, microBatch, seqLen } = shape;
  const computing = memorySeconds(3 * VALUE_BYTES * microBatch * seqLen * D, device);
  const exchanging = exchangeSeconds(shape, device);
  return { seconds: computing + exchanging, computing, exchanging };
}

/** Logits and losses of all rows, or both gradients; logits pass through memory three times. */
function headTime(pass: PassKind, shape: StepShape, device: Device): PieceTime {
  const { model, microBatch, seqLen, mesh } = shape;
  const rows = microBatch * seqLen;
  const [columns, inner] = [model.vocabSize / mesh.tensor, model.hiddenSize];
  const logits = memorySeconds(3 * VALUE_BYTES * rows * columns, device);
  const products = pass === "forward"
    ? productSeconds({ rows, columns, inner }, device)
    : productSeconds({ rows, columns: inner, inner: columns }, device) +
      productSeconds({ rows: inner, columns, inner: rows, resultBytes: 8 }, device);
  const exchanging = exchangeSeconds(shape, device);
  const computing = products + logits;
  return { seconds: computing + exchanging, computing, exchanging };
}

/** Seconds that embedding, block and head take for a micro-batch, forward and backward. */
export function pieceTimes(shape: StepShape, device: Device): PieceTimes {
  const embedding = embeddingTime(shape, device);
  const both = (time: (pass: PassKind) => PieceTime) => ({
    forward: time("forward"),
    backward: time("backward"),
  });
  return {
    embedding: { forward: embedding, backward: embedding },
    block: both((pass) => blockTime(pass, shape, device)),
    head: both((pass) => headTime(pass, shape, device)),
  };
}
