/**
 * Files that are there whole or not at all.
 *
 * The bytes go to a temporary name in the same folder, are synced, and the name is given by a rename; whatever fails
 * before that leaves the old file, if there was one, as it was.
 *
 * @module
 */

import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { LlameroError, UsageError } from "./errors.ts";
import { fileError } from "./file_error.ts";
import { quotedPath } from "./quoted.ts";
import { forget, isUnfinished, remember } from "./unfinished.ts";

/** How an output file is made. */
export interface AtomicFileOptions {
  /** Replaces a file that exists; without it, one that exists is refused. */
  readonly force?: boolean | undefined;
}

/** One write call is cut to this length: some systems refuse or shorten more than 2 GiB. */
const LARGEST_WRITE = 1 << 30;

/** Writes shorter than this are gathered, so that many small ones do not cost a system call each. */
const BUFFER_BYTES = 1 << 16;

/** Refuses `-` where what is written is no stream. */
export function refuseStdout(path: string, wanted: "file" | "folder"): void {
  if (path !== "-") return;
  throw new UsageError(
    `Cannot write to stdout: this output is made in place, a ${wanted} was wanted`,
    { hint: `write ./- for a ${wanted} whose name is "-"` },
  );
}

/** Refuses an output path that exists (unless `force`) or that is no regular file; throws {@linkcode LlameroError}. */
export function checkOutputPath(path: string, options: AtomicFileOptions = {}): void {
  refuseStdout(path, "file");
  let found: fs.Stats | undefined;
  try {
    found = fs.lstatSync(path, { throwIfNoEntry: false });
  } catch (thrown) {
    throw fileError(thrown, { action: "write", path });
  }
  if (found === undefined) return;
  // A device or pipe would be replaced by the rename, which nobody means.
  if (!found.isFile() && !found.isSymbolicLink()) {
    const what = found.isDirectory() ? "a folder" : "no regular file";
    throw new LlameroError(
      `Cannot write ${quotedPath(path)}: it is ${what}, and a file was wanted`,
    );
  }
  if (options.force !== true) {
    throw new LlameroError(`Cannot write ${quotedPath(path)}: it exists already`, {
      hint: "choose another name, or replace it with --force",
    });
  }
}

/** As {@linkcode checkOutputPath}, before long work: a folder that is missing or that nobody may write in is refused too. */
export function tryOutputPath(path: string, options: AtomicFileOptions = {}): void {
  // Modes do not tell (groups, lists of rights, read-only mounts): only making a file does.
  AtomicFile.create(path, options).discard();
}

/** A name that nobody has, hidden and in the same folder, for what will be renamed to `path`. */
export function temporaryName(path: string): string {
  const random = crypto.getRandomValues(new Uint32Array(2));
  const tail = [...random].map((word) => word.toString(36)).join("");
  // The name is cut so that it fits where the final name fits.
  return join(dirname(path), `.${basename(path).slice(0, 100)}.${tail}.tmp`);
}

/**
 * A file being written under a temporary name.
 *
 * `create`, then `write` and `writeAt`, then `commit`; `discard` (or the end of a `using` block) removes what was not
 * committed. Every failure of the file system is a {@linkcode LlameroError} that names the final path.
 *
 * @example
 * ```ts
 * using file = AtomicFile.create("numbers.bin", { force: true });
 * file.write(new Uint8Array([1, 2, 3]));
 * file.commit();
 * ```
 */
export class AtomicFile {
  /** The final path. */
  readonly path: string;
  readonly #temporary: string;
  readonly #options: AtomicFileOptions;
  #descriptor: number | undefined;
  #length = 0;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #buffered = 0;

  private constructor(path: string, options: AtomicFileOptions) {
    this.path = path;
    this.#options = options;
    this.#temporary = temporaryName(path);
    try {
      this.#descriptor = fs.openSync(this.#temporary, "wx");
    } catch (thrown) {
      throw fileError(thrown, { action: "write", path });
    }
    remember(this);
  }

  /** Checks that the path may be written and opens the temporary file beside it. */
  static create(path: string, options: AtomicFileOptions = {}): AtomicFile {
    checkOutputPath(path, options);
    return new AtomicFile(path, options);
  }

  /** Bytes appended so far. */
  get length(): number {
    return this.#length;
  }

  /** Appends bytes. */
  write(bytes: Uint8Array): void {
    if (this.#descriptor === undefined) throw new TypeError(`${this.path} is finished`);
    if (this.#buffered + bytes.length > BUFFER_BYTES) this.#flush();
    if (bytes.length > BUFFER_BYTES) this.#put(bytes, this.#length);
    else {
      this.#buffer.set(bytes, this.#buffered);
      this.#buffered += bytes.length;
    }
    this.#length += bytes.length;
  }

  #flush(): void {
    const count = this.#buffered;
    this.#buffered = 0;
    this.#put(this.#buffer.subarray(0, count), this.#length - count);
  }

  /** Overwrites bytes that were written before, at `position` from the file's start. */
  writeAt(bytes: Uint8Array, position: number): void {
    if (position < 0 || position + bytes.length > this.#length) {
      throw new RangeError(`writeAt(${position}) reaches beyond the ${this.#length} bytes written`);
    }
    this.#flush();
    this.#put(bytes, position);
  }

  #put(bytes: Uint8Array, position: number): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) throw new TypeError(`${this.path} is finished`);
    try {
      let done = 0;
      while (done < bytes.length) {
        const count = Math.min(bytes.length - done, LARGEST_WRITE);
        done += fs.writeSync(descriptor, bytes, done, count, position + done);
      }
    } catch (thrown) {
      this.discard();
      throw fileError(thrown, { action: "write", path: this.path });
    }
  }

  /** Syncs and closes the temporary file without naming it yet; for several files that appear together. */
  finish(): void {
    if (this.#descriptor === undefined) return;
    this.#flush();
    const descriptor = this.#descriptor;
    try {
      fs.fsyncSync(descriptor);
      this.#descriptor = undefined;
      fs.closeSync(descriptor);
    } catch (thrown) {
      this.discard();
      throw fileError(thrown, { action: "write", path: this.path });
    }
  }

  /** Syncs the bytes and gives the file its final name. */
  commit(): void {
    if (!isUnfinished(this)) throw new TypeError(`${this.path} is committed or discarded`);
    this.finish();
    try {
      // The work may have taken hours: what appeared meanwhile is refused too.
      checkOutputPath(this.path, this.#options);
      fs.renameSync(this.#temporary, this.path);
    } catch (thrown) {
      this.discard();
      throw fileError(thrown, { action: "write", path: this.path });
    }
    forget(this);
    syncFolder(dirname(this.path));
  }

  /** Removes the temporary file; does nothing after `commit`. */
  discard(): void {
    if (!forget(this)) return;
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    try {
      if (descriptor !== undefined) fs.closeSync(descriptor);
    } catch {
      // A descriptor that cannot be closed is gone all the same.
    }
    fs.rmSync(this.#temporary, { force: true });
  }

  /** {@linkcode AtomicFile.discard}, for `using`. */
  [Symbol.dispose](): void {
    this.discard();
  }
}

/** Makes renames in a folder survive a power cut, on systems where a folder can be synced. */
export function syncFolder(path: string): void {
  try {
    const descriptor = fs.openSync(path, "r");
    try {
      fs.fsyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
  } catch {
    // Windows and some network file systems cannot; the file is complete nevertheless.
  }
}

/** Writes a whole small file atomically: a string as UTF-8, or bytes. */
export function writeFileAtomically(
  path: string,
  content: string | Uint8Array,
  options: AtomicFileOptions = {},
): void {
  using file = AtomicFile.create(path, options);
  file.write(typeof content === "string" ? new TextEncoder().encode(content) : content);
  file.commit();
}
