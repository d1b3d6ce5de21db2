/**
 * Hidden states and their gradients on their way between the stages of a pipeline: by way of the processor's
 * memory, or from GPU to GPU (`device_mail.ts`).
 *
 * Receives are begun before the pass that precedes their reader, so that a message travels while this
 * rank computes; what a rank then still waits for is measured. A message of T rows has 4 T D bytes.
 *
 * @module
 */

import type { Address } from "../backend/backend.ts";
import type { Communicator, Handle } from "../comm/communicator.ts";
import {
  messageTag,
  type PipelineMessage,
  type PipelinePass,
  type PipelineShape,
} from "./pipeline_schedule.ts";

/** What another stage gives, outside the backend; or where it is in the backend's memory. */
export type Handed = Float32Array<ArrayBuffer> | Address;

/** The messages of one step. */
export interface PipelineMail {
  /** Milliseconds that passes have waited for what they read, where the processor sees it. */
  readonly waitedMs: number;
  /** Begins to receive. */
  receive(message: PipelineMessage): void;
  /**
   * What a pass reads, once it has come; nothing where it reads no message. It is there while `use` runs.
   *
   * @throws {CommunicationError} See `Communicator`.
   */
  read(reader: PipelinePass, use: (values?: Handed) => void): void;
  /** Sends what `fill` writes; the memory is free again at once. */
  send(message: PipelineMessage, fill: (values: Handed) => void): void;
}

interface Expected {
  readonly values: Float32Array<ArrayBuffer>;
  readonly buffer: Float32Array<ArrayBuffer>;
  readonly handle: Handle<void>;
}

/** What the messages of a step are like. */
export interface PipelineMailOptions {
  /** How the pipeline is cut and fed. */
  readonly shape: PipelineShape;
  /** Numbers in a message of a micro-batch. */
  readonly elements: (microBatch: number) => number;
  /** Most numbers in any message. */
  readonly largest: number;
  /** Memory for so many numbers each, kept from step to step; the mail makes more where it needs them. */
  readonly buffers: Float32Array<ArrayBuffer>[];
}

/** Messages by way of the processor's memory. */
export class HostMail implements PipelineMail {
  /** See {@linkcode PipelineMail.waitedMs}. */
  waitedMs = 0;
  readonly #ranks: Communicator;
  readonly #shape: PipelineShape;
  readonly #elements: (microBatch: number) => number;
  readonly #expected: Map<number, Expected> = new Map();
  readonly #free: Float32Array<ArrayBuffer>[];
  readonly #largest: number;

  /** Begins nothing yet. */
  constructor(ranks: Communicator, options: PipelineMailOptions) {
    this.#ranks = ranks;
    this.#shape = options.shape;
    this.#elements = options.elements;
    this.#free = options.buffers;
    this.#largest = options.largest;
  }

  /** See {@linkcode PipelineMail.receive}. */
  receive({ peer, reader }: PipelineMessage): void {
    const buffer = this.#free.pop() ?? new Float32Array(this.#largest);
    const values = buffer.subarray(0, this.#elements(reader.microBatch));
    const tag = messageTag(reader, this.#shape);
    const handle = this.#ranks.startRecv(values, peer, { tag });
    this.#expected.set(tag, { values, buffer, handle });
  }

  /** See {@linkcode PipelineMail.read}. */
  read(reader: PipelinePass, use: (values?: Handed) => void): void {
    const tag = messageTag(reader, this.#shape);
    const expected = this.#expected.get(tag);
    if (expected === undefined) return use();
    const began = performance.now();
    expected.handle.wait();
    this.waitedMs += performance.now() - began;
    this.#expected.delete(tag);
    use(expected.values);
    this.#free.push(expected.buffer);
  }

  /** See {@linkcode PipelineMail.send}. */
  send({ peer, reader }: PipelineMessage, fill: (values: Handed) => void): void {
    const buffer = this.#free.pop() ?? new Float32Array(this.#largest);
    const values = buffer.subarray(0, this.#elements(reader.microBatch));
    fill(values);
    this.#ranks.startSend(values, peer, { tag: messageTag(reader, this.#shape) });
    this.#free.push(buffer);
  }
}
