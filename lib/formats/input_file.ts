/**
 * Reading from a regular file by position, never beyond its real end.
 *
 * @module
 */

import * as fs from "node:fs";
import { fileError } from "../base/file_error.ts";
import { refusal } from "./tensor_file.ts";

/** One read call asks for at most this: systems give no more than 2 GiB at once. */
const LARGEST_READ = 1 << 30;

/** A file open for reading, with the size that it had when it was opened. */
export class InputFile {
  /** The path as the user named it. */
  readonly path: string;
  /** The file's size in bytes. */
  readonly size: number;
  readonly #descriptor: number;
  #open = true;

  private constructor(path: string, size: number, descriptor: number) {
    this.path = path;
    this.size = size;
    this.#descriptor = descriptor;
  }

  /** Opens a regular file; folders, pipes and devices are refused, so that nothing waits for ever. */
  static open(path: string): InputFile {
    let descriptor: number | undefined;
    try {
      const before = fs.statSync(path);
      if (!before.isFile()) throw notRegular(path, before);
      descriptor = fs.openSync(path, "r");
      return new InputFile(path, fs.fstatSync(descriptor).size, descriptor);
    } catch (thrown) {
      if (descriptor !== undefined) fs.closeSync(descriptor);
      throw fileError(thrown, { action: "read", path });
    }
  }

  /** Fills `target` from `position`; a file that ends before is refused. */
  readInto(target: Uint8Array, position: number): void {
    let done = 0;
    try {
      while (done < target.length) {
        const count = Math.min(target.length - done, LARGEST_READ);
        const got = fs.readSync(this.#descriptor, target, done, count, position + done);
        if (got === 0) break;
        done += got;
      }
    } catch (thrown) {
      throw fileError(thrown, { action: "read", path: this.path });
    }
    if (done < target.length) {
      const what = `it ends after ${position + done} bytes, wanted ${target.length} at ${position}`;
      throw refusal(this.path, what, { offset: position + done });
    }
  }

  /** Reads `length` bytes at `position` after checking that the file has them; nothing is allocated before. */
  read(position: number, length: number): Uint8Array {
    this.check(position, length);
    const bytes = new Uint8Array(length);
    this.readInto(bytes, position);
    return bytes;
  }

  /** Refuses a span that the file does not have. */
  check(position: number, length: number): void {
    const sane = Number.isSafeInteger(position) && Number.isSafeInteger(length) &&
      position >= 0 && length >= 0;
    if (sane && position <= this.size && length <= this.size - position) return;
    const what = `it has ${this.size} bytes, wanted ${length} at ${position}`;
    throw refusal(this.path, what, { offset: Math.min(position, this.size) });
  }

  /** Closes the file; does nothing the second time. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    fs.closeSync(this.#descriptor);
  }

  /** {@linkcode InputFile.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function notRegular(path: string, found: fs.Stats): Error {
  if (found.isDirectory()) return refusal(path, "it is a folder, and a file was wanted");
  return refusal(path, "it is a pipe or device, and a regular file was wanted");
}
