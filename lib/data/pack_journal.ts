/**
 * What a packing that was stopped left: a folder beside its outputs, with a journal of what in it is
 * safely on the disk.
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import { writeFileAtomically } from "../base/atomic_file.ts";
import { LlameroError } from "../base/errors.ts";
import { fileError } from "../base/file_error.ts";
import { quotedPath } from "../base/quoted.ts";
import type { DatasetPlace } from "../formats/indexed_dataset_write.ts";
import type { ReadingPlace } from "../formats/text_blocks.ts";
import type { StreamPlace } from "../tokenizer/compiled_tokenizer.ts";

/** How far a packing has come. */
export interface PackPlace {
  /** Number of the input that is being read. */
  readonly input: number;
  /** Where in it. */
  readonly at: ReadingPlace;
  /** How far its document is encoded, where that is a long one. */
  readonly stream: StreamPlace | null;
  /** Bytes of text that were taken. */
  readonly text: number;
  /** What was written of it. */
  readonly dataset: DatasetPlace;
  /** Whether all of it is written, and only the names are to be given. */
  readonly finished: boolean;
}

const JOURNAL = "journal.json";

/** The folder of a packing, and its journal. */
export class PackFolder {
  /** Path of the folder, `PREFIX.packing`. */
  readonly path: string;
  readonly #prefix: string;
  readonly #key: string | undefined;
  /** What an earlier packing of the same texts left, if one did. */
  readonly found: PackPlace | undefined;

  /**
   * Looks into `PREFIX.packing`. `key` says what is packed and how; without one nothing is kept.
   *
   * @throws {LlameroError} If something else was begun there, unless `force`.
   */
  constructor(prefix: string, { key, force }: { key: string | undefined; force: boolean }) {
    this.path = `${prefix}.packing`;
    this.#prefix = prefix;
    this.#key = key;
    this.found = this.#read(force);
  }

  /** Makes the folder, or leaves it as it is where an earlier packing goes on. */
  begin(): void {
    if (this.found !== undefined) return;
    this.remove();
    try {
      fs.mkdirSync(this.path);
    } catch (thrown) {
      throw fileError(thrown, { action: "write", path: this.#prefix });
    }
  }

  #read(force: boolean): PackPlace | undefined {
    const path = join(this.path, JOURNAL);
    if (!fs.existsSync(path)) return this.#refuseForeign();
    let journal: { key?: unknown; place?: PackPlace };
    try {
      journal = JSON.parse(fs.readFileSync(path, "utf8"));
    } catch (thrown) {
      throw fileError(thrown, { action: "read", path });
    }
    if (this.#key !== undefined && journal.key === this.#key) return journal.place;
    if (force) return undefined;
    throw new LlameroError(
      `Cannot pack ${quotedPath(this.#prefix)}: other texts, options or another tokenizer were ` +
        "begun there and not finished",
      { hint: "begin again with --force, or run the command that was begun" },
    );
  }

  /** A folder of this name that is not ours is not removed. */
  #refuseForeign(): undefined {
    if (!fs.existsSync(this.path)) return;
    const ours = new Set(["tokens", "lengths", "borders", "index", "manifest"]);
    const found = fs.statSync(this.path);
    const foreign = found.isDirectory()
      ? fs.readdirSync(this.path).find((name) => !ours.has(name) && !name.startsWith("."))
      : this.path;
    if (foreign === undefined) return;
    throw new LlameroError(`Cannot write ${quotedPath(this.path)}: it exists already`, {
      hint: "choose another prefix, or remove it",
    });
  }

  /** Whether what is written can be gone on with. */
  get kept(): boolean {
    return fs.existsSync(join(this.path, JOURNAL));
  }

  /** Keeps a place; what it says must be on the disk before. */
  keep(place: PackPlace): void {
    if (this.#key === undefined) return;
    const journal = JSON.stringify({ key: this.#key, place });
    writeFileAtomically(join(this.path, JOURNAL), journal, { force: true });
  }

  /** Removes it. */
  remove(): void {
    fs.rmSync(this.path, { recursive: true, force: true });
  }
}
