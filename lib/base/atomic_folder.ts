/**
 * Folders that are there whole or not at all.
 *
 * The files are written into a folder of a temporary name beside the final one, which is given by a rename; whatever
 * fails before that leaves the old folder, if there was one, as it was.
 *
 * @module
 */

import * as fs from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { type AtomicFileOptions, refuseStdout, syncFolder, temporaryName } from "./atomic_file.ts";
import { LlameroError } from "./errors.ts";
import { fileError } from "./file_error.ts";
import { quoted, quotedPath } from "./quoted.ts";
import { forget, isUnfinished, remember } from "./unfinished.ts";

/** How an output folder is made. */
export interface AtomicFolderOptions extends AtomicFileOptions {
  /** Whether a file of this name may be lost when the folder is replaced; a folder with any other is refused. */
  readonly replaceable: (name: string) => boolean;
}

/**
 * Refuses an output folder that is no folder, or that holds files (unless `force`); with `force`, one that holds what
 * is not replaceable, so that a slip of the hand does not cost a home folder. Throws {@linkcode LlameroError}.
 */
export function checkOutputFolder(path: string, options: AtomicFolderOptions): void {
  refuseStdout(path, "folder");
  const refuse = (what: string, hint?: string): LlameroError =>
    new LlameroError(`Cannot write ${quotedPath(path)}: ${what}`, { hint });
  let entries: fs.Dirent[];
  try {
    const found = fs.statSync(path, { throwIfNoEntry: false });
    if (found === undefined) {
      if (fs.lstatSync(path, { throwIfNoEntry: false }) === undefined) return;
      throw refuse("it is a symbolic link to nothing");
    }
    if (!found.isDirectory()) throw refuse("it exists and is no folder, and a folder was wanted");
    entries = fs.readdirSync(path, { withFileTypes: true });
  } catch (thrown) {
    throw fileError(thrown, { action: "write", path });
  }
  if (entries.length === 0) return;
  if (options.force !== true) {
    throw refuse("it exists already", "choose another name, or replace it with --force");
  }
  const kept = entries.find((entry) => entry.isDirectory() || !options.replaceable(entry.name));
  if (kept === undefined) return;
  const what = kept.isDirectory() ? "folder" : "file";
  throw refuse(
    `it has the ${what} ${quoted(kept.name)}, which would be lost`,
    "choose another name, or move what is not to be replaced",
  );
}

/**
 * A folder being filled under a temporary name.
 *
 * `create`, then files written below `temporary`, then `commit`; `discard` (or the end of a `using` block) removes what
 * was not committed.
 *
 * @example
 * ```ts
 * import { writeFileAtomically } from "./atomic_file.ts";
 *
 * using folder = AtomicFolder.create("model", { replaceable: () => false });
 * writeFileAtomically(folder.file("config.json"), "{}");
 * folder.commit();
 * ```
 */
export class AtomicFolder {
  /** The final path, as the user named it. */
  readonly path: string;
  /** Where the files stand until then. */
  readonly temporary: string;
  readonly #options: AtomicFolderOptions;

  private constructor(path: string, options: AtomicFolderOptions) {
    this.path = path;
    this.#options = options;
    // Through a link to what it names, and past a slash at the end.
    this.temporary = temporaryName(finalPath(path));
    try {
      fs.mkdirSync(this.temporary);
    } catch (thrown) {
      throw fileError(thrown, { action: "write", path });
    }
    remember(this);
  }

  /** Checks that the path may be written and makes the temporary folder beside it. */
  static create(path: string, options: AtomicFolderOptions): AtomicFolder {
    checkOutputFolder(path, options);
    return new AtomicFolder(path, options);
  }

  /** The path, until the commit, of a file in the folder. */
  file(name: string): string {
    return join(this.temporary, name);
  }

  /** Gives the folder its final name; the files in it must be synced and closed. */
  commit(): void {
    if (!isUnfinished(this)) throw new TypeError(`${this.path} is committed or discarded`);
    const path = finalPath(this.path);
    const old = `${this.temporary}.old`;
    try {
      // The work may have taken hours: what appeared meanwhile is refused too.
      checkOutputFolder(this.path, this.#options);
      syncFolder(this.temporary);
      const replaces = fs.existsSync(path);
      if (replaces) fs.renameSync(path, old);
      try {
        fs.renameSync(this.temporary, path);
      } catch (thrown) {
        if (replaces) fs.renameSync(old, path);
        throw thrown;
      }
    } catch (thrown) {
      this.discard();
      throw fileError(thrown, { action: "write", path: this.path });
    }
    forget(this);
    syncFolder(dirname(path));
    fs.rmSync(old, { recursive: true, force: true });
  }

  /** Removes the temporary folder and what is in it; does nothing after `commit`. */
  discard(): void {
    if (forget(this)) fs.rmSync(this.temporary, { recursive: true, force: true });
  }

  /** {@linkcode AtomicFolder.discard}, for `using`. */
  [Symbol.dispose](): void {
    this.discard();
  }
}

/** The absolute path that a rename takes: of what a link names, where it is one. */
function finalPath(path: string): string {
  const absolute = resolve(path);
  if (basename(absolute) === "") return absolute;
  return fs.existsSync(absolute) ? fs.realpathSync(absolute) : absolute;
}
