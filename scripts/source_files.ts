/**
 * The source files of the repository.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { join } from "node:path";

/** Folder of the repository. */
export const ROOT: string = fileURLToPath(new URL("../", import.meta.url));

/** Folders that hold no source of ours. */
const OUTSIDE = new Set(["node_modules", "target", "golden", "coverage"]);

/** One source file. */
export interface SourceFile {
  /** Path inside the repository, with slashes. */
  readonly path: string;
  /** Its text. */
  readonly text: string;
}

/** Reads every file under a folder of the repository whose name ends in one of the extensions. */
export async function* sourceFiles(
  extensions: readonly string[],
  folder = "",
): AsyncGenerator<SourceFile> {
  for await (const entry of Deno.readDir(join(ROOT, folder))) {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory && !entry.name.startsWith(".") && !OUTSIDE.has(entry.name)) {
      yield* sourceFiles(extensions, path);
    } else if (entry.isFile && extensions.some((extension) => path.endsWith(extension))) {
      yield { path, text: await Deno.readTextFile(join(ROOT, path)) };
    }
  }
}
