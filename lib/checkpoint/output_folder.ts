/**
 * Giving a finished folder its name.
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import type { AtomicFolder } from "../base/atomic_folder.ts";

/** Commits a folder and returns the paths of the files in it. */
export function committed(folder: AtomicFolder): string[] {
  const names = fs.readdirSync(folder.temporary).sort();
  folder.commit();
  return names.map((name) => join(folder.path, name));
}
