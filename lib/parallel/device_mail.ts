/**
 * Hidden states and their gradients from GPU to GPU, over NCCL: nobody waits on the processor. Kernels
 * that read a message begin when it has come, and a send begins when its numbers have been made.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import type { DevicePipeline, PipelineWay } from "../comm/device/pipeline.ts";
import type { DeviceHandle } from "../comm/device/ranks.ts";
import type { Handed, PipelineMail } from "./pipeline_mail.ts";
import {
  messageTag,
  type PipelineMessage,
  type PipelinePass,
  type PipelineShape,
} from "./pipeline_schedule.ts";

/** Messages that are received at once: what a pass reads, and what the next one will. */
const RECEIVED = 2;
/** Messages that are sent at once, one of each way: the receiver has come for it before, or soon will. */
const WAYS: readonly PipelineWay[] = ["forward", "backward"];

/** Bytes of the GPU that messages take on their way, each of at most so many numbers. */
export function deviceMailBytes(largest: number): number {
  return (RECEIVED + WAYS.length) * 4 * largest;
}

/** Memory that messages of one way are sent from. */
export interface Sent {
  /** Where it is. */
  readonly at: Address;
  /** The last message that went from there. */
  handle: DeviceHandle | undefined;
}

/** Memory of messages, kept from step to step. */
export class DeviceMailroom {
  /** Where the next messages are received, the one that has been free the longest first. */
  readonly received: Address[] = [];
  /** Where messages are sent from. */
  readonly sent: Readonly<Record<PipelineWay, Sent>>;
  readonly #backend: Pick<Backend, "free">;
  readonly #first: Address;

  /** Takes the memory of {@linkcode deviceMailBytes}. @throws {BackendError} Without memory. */
  constructor(backend: Pick<Backend, "alloc" | "free">, largest: number) {
    this.#backend = backend;
    this.#first = backend.alloc(deviceMailBytes(largest));
    let at = this.#first;
    const next = () => (at += 4 * largest) - 4 * largest;
    for (let i = 0; i < RECEIVED; i++) this.received.push(next());
    this.sent = {
      forward: { at: next(), handle: undefined },
      backward: { at: next(), handle: undefined },
    };
  }

  /** Gives the memory back. */
  close(): void {
    this.#backend.free(this.#first);
  }
}

/** What the messages of a step are like. */
export interface DeviceMailOptions {
  /** How the pipeline is cut and fed. */
  readonly shape: PipelineShape;
  /** Numbers in a message of a micro-batch. */
  readonly elements: (microBatch: number) => number;
  /** Where they are on their way. */
  readonly room: DeviceMailroom;
}

/** Messages from GPU to GPU. */
export class DeviceMail implements PipelineMail {
  /** What is waited for, is on the GPU, which is not measured. */
  readonly waitedMs = 0;
  readonly #gpus: DevicePipeline;
  readonly #options: DeviceMailOptions;
  readonly #expected: Map<number, { readonly at: Address; readonly handle: DeviceHandle }> =
    new Map();

  /** Begins nothing yet. */
  constructor(gpus: DevicePipeline, options: DeviceMailOptions) {
    this.#gpus = gpus;
    this.#options = options;
  }

  #bytesFor({ microBatch }: PipelinePass): number {
    return 4 * this.#options.elements(microBatch);
  }

  /** See {@linkcode PipelineMail.receive}: it begins after the kernels that have read what was there. */
  receive({ reader }: PipelineMessage): void {
    const { room, shape } = this.#options;
    const at = room.received.shift();
    if (at === undefined) throw new RangeError(`more than ${RECEIVED} messages are expected`);
    const handle = this.#gpus.receive(reader.kind, { at, bytes: this.#bytesFor(reader) });
    this.#expected.set(messageTag(reader, shape), { at, handle });
  }

  /** See {@linkcode PipelineMail.read}. */
  read(reader: PipelinePass, use: (values?: Handed) => void): void {
    const { room, shape } = this.#options;
    const tag = messageTag(reader, shape);
    const expected = this.#expected.get(tag);
    if (expected === undefined) return use();
    expected.handle.join();
    this.#expected.delete(tag);
    use(expected.at);
    room.received.push(expected.at);
  }

  /** See {@linkcode PipelineMail.send}: what is written waits, on the GPU, for the message before it. */
  send({ reader }: PipelineMessage, fill: (values: Handed) => void): void {
    const sent = this.#options.room.sent[reader.kind];
    sent.handle?.join();
    fill(sent.at);
    sent.handle = this.#gpus.send(reader.kind, { at: sent.at, bytes: this.#bytesFor(reader) });
  }
}
