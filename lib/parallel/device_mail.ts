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
const WAYS: readonly PipelineWay[] = ["forward", "backward"];

/** What the memory of messages depends on. */
export interface MailShape extends Pick<PipelineShape, "ranks" | "chunks"> {
  /** Most numbers in any message. */
  readonly largest: number;
}

/**
 * Messages of one way that may wait to be received at once. A rank goes on only when there is room for what
 * it has made: where stages are interleaved and the ranks do not divide the micro-batches, with less room
 * ranks would wait for each other in a ring.
 */
export function sentAtOnce({ ranks, chunks }: Pick<PipelineShape, "ranks" | "chunks">): number {
  return chunks === 1 ? 1 : Math.ceil(ranks / 2);
}

/** Bytes of the GPU that messages take on their way. */
export function deviceMailBytes({ largest, ...shape }: MailShape): number {
  return (RECEIVED + WAYS.length * sentAtOnce(shape)) * 4 * largest;
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
  /** Where messages of each way are sent from, in turns. */
  readonly sent: Readonly<Record<PipelineWay, readonly Sent[]>>;
  readonly #backend: Pick<Backend, "free">;
  readonly #first: Address;

  /** Takes the memory of {@linkcode deviceMailBytes}. @throws {BackendError} Without memory. */
  constructor(backend: Pick<Backend, "alloc" | "free">, shape: MailShape) {
    const { largest } = shape;
    this.#backend = backend;
    this.#first = backend.alloc(deviceMailBytes(shape));
    let at = this.#first;
    const next = () => (at += 4 * largest) - 4 * largest;
    for (let i = 0; i < RECEIVED; i++) this.received.push(next());
    const turns = () =>
      Array.from({ length: sentAtOnce(shape) }, () => ({ at: next(), handle: undefined }));
    this.sent = { forward: turns(), backward: turns() };
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

  /** Messages of each way so far. */
  readonly #sent: Record<PipelineWay, number> = { forward: 0, backward: 0 };

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

  /** See {@linkcode PipelineMail.send}: what is written waits, on the GPU, for what was sent from there. */
  send({ reader }: PipelineMessage, fill: (values: Handed) => void): void {
    const turns = this.#options.room.sent[reader.kind];
    const sent = turns[this.#sent[reader.kind]++ % turns.length]!;
    sent.handle?.join();
    fill(sent.at);
    sent.handle = this.#gpus.send(reader.kind, { at: sent.at, bytes: this.#bytesFor(reader) });
  }
}
