/**
 * TensorBoard's event files: scalars by step, so that TensorBoard shows a run beside others.
 *
 * A file is a row of TFRecords: u64 length, u32 masked CRC-32C of these eight bytes, the data, u32
 * masked CRC-32C of the data; the mask is `rotate right by 15, plus 0xa282ead8`. The data are
 * `tensorflow.Event` protobufs, the first of which names the version `brain.Event:2`.
 *
 * Source: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto.
 *
 * @module
 */

import * as fs from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { fileError } from "../base/file_error.ts";

const POLYNOMIAL = 0x82f63b78;

const TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
  return value;
});

/** CRC-32C (Castagnoli) of bytes. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** The sum as records store it: rotated and shifted, so that sums over sums stay good. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** One record: length, its sum, data, their sum. */
export function tfRecord(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(data.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return record;
}

/** Scalars of one step. */
export interface ScalarEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  /** Which step it is of. */
  readonly step: number;
  /** Values by tag, such as `train/loss`. */
  readonly scalars: Readonly<Record<string, number>>;
}

/** Fields of protobuf messages, one after the other. */
class Message {
  readonly #bytes: number[] = [];

  #varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes.push((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes.push(rest);
  }

  varint(field: number, value: number): this {
    this.#varint(field << 3);
    this.#varint(value);
    return this;
  }

  double(field: number, value: number): this {
    this.#varint((field << 3) | 1);
    this.#bytes.push(...new Uint8Array(Float64Array.of(value).buffer));
    return this;
  }

  float(field: number, value: number): this {
    this.#varint((field << 3) | 5);
    this.#bytes.push(...new Uint8Array(Float32Array.of(value).buffer));
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#varint((field << 3) | 2);
    this.#varint(value.length);
    for (const byte of value) this.#bytes.push(byte);
    return this;
  }

  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  end(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

/** Event: wall_time 1, step 2, summary 5; Summary: value 1; Value: tag 1, simple_value 2. */
function encodeScalars({ wallTime, step, scalars }: ScalarEvent): Uint8Array {
  const summary = new Message();
  for (const [tag, value] of Object.entries(scalars)) {
    summary.bytes(1, new Message().text(1, tag).float(2, value).end());
  }
  return new Message().double(1, wallTime).varint(2, step).bytes(5, summary.end()).end();
}

/** SessionLog START (1): what was written of this and later steps before is void. */
function encodeStart(wallTime: number, step: number): Uint8Array {
  const log = new Message().varint(1, 1).end();
  return new Message().double(1, wallTime).varint(2, step).bytes(7, log).end();
}

/** Writes one event file, a session's. */
export class EventFile {
  /** Where the file lies: TensorBoard finds it by its name. */
  readonly path: string;
  readonly #descriptor: number;
  #held: Uint8Array[] = [];

  /** Opens a file for the steps after `step`. @throws {LlameroError} Where it cannot be written. */
  constructor(folder: string, step: number) {
    const now = Date.now();
    const name = `events.out.tfevents.${Math.floor(now / 1000)}.${hostname()}.${Deno.pid}.${step}`;
    this.path = join(folder, name);
    try {
      fs.mkdirSync(folder, { recursive: true });
      this.#descriptor = fs.openSync(this.path, "a");
    } catch (thrown) {
      throw fileError(thrown, { action: "write", path: this.path });
    }
    const version = new Message().double(1, now / 1000).text(3, "brain.Event:2").end();
    this.#held.push(tfRecord(version));
    this.restart(step);
  }

  /** Says that what was written of the steps after `step` is void. */
  restart(step: number): void {
    this.#held.push(tfRecord(encodeStart(Date.now() / 1000, step + 1)));
    this.flush();
  }

  /** Adds scalars; they are written with the next flush. */
  add(event: ScalarEvent): void {
    this.#held.push(tfRecord(encodeScalars(event)));
  }

  /** Writes what was added. @throws {LlameroError} Where it cannot be written. */
  flush(): void {
    try {
      for (const record of this.#held.splice(0)) fs.writeSync(this.#descriptor, record);
    } catch (thrown) {
      throw fileError(thrown, { action: "write", path: this.path });
    }
  }

  /** Writes what was added and closes the file. */
  close(): void {
    this.flush();
    fs.closeSync(this.#descriptor);
  }
}
