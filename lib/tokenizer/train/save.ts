/**
 * The folder of a tokenizer that was trained, there whole or not at all.
 *
 * @module
 */

import { writeFileAtomically } from "../../base/atomic_file.ts";
import { AtomicFolder } from "../../base/atomic_folder.ts";
import { trainedFiles } from "./files.ts";
import type { TrainedTokenizer } from "./train.ts";

/** What a folder that is replaced may lose. */
const NAMES: ReadonlySet<string> = new Set([
  "tokenizer.model",
  "tokenizer.json",
  "tokenizer_config.json",
]);

/**
 * An output folder, made before the training so that what cannot be written is refused then.
 *
 * @example
 * ```ts
 * import { openBackend, TRAINING_DEFAULTS, trainTokenizer } from "@llamero/llamero";
 *
 * const options = { backend: await openBackend(), training: TRAINING_DEFAULTS.llama };
 * using folder = TrainedFolder.create("tokenizer");
 * folder.write(await trainTokenizer([{ name: "corpus.txt" }], options));
 * ```
 */
export class TrainedFolder {
  readonly #folder: AtomicFolder;

  private constructor(folder: AtomicFolder) {
    this.#folder = folder;
  }

  /** Checks that the folder may be written. @throws {LlameroError} If it holds other files, or any without `force`. */
  static create(path: string, options: { readonly force?: boolean } = {}): TrainedFolder {
    const { force } = options;
    const replaceable = (name: string): boolean => NAMES.has(name);
    return new TrainedFolder(AtomicFolder.create(path, { force, replaceable }));
  }

  /** Writes the files and gives the folder its name; gives theirs. */
  write(trained: TrainedTokenizer): string[] {
    const files = trainedFiles(trained);
    for (const { name, bytes } of files) {
      writeFileAtomically(this.#folder.file(name), bytes);
    }
    this.#folder.commit();
    return files.map(({ name }) => name);
  }

  /** Removes what was not written whole, at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.#folder.discard();
  }
}
