/**
 * Files that lines are appended to while others read them.
 *
 * @module
 */

import * as fs from "node:fs";

/**
 * Appends a line to a text file, which is made where it is not there. Where the last line was torn off,
 * by a process that was killed or a disk that was full, this one begins anew and is not lost with it.
 *
 * @throws {Error} Where the file system refuses.
 */
export function appendLine(path: string, line: string): void {
  // Not appendFileSync: under Deno 2.9 it makes files that everybody may write.
  const file = fs.openSync(path, "a+");
  try {
    const { size } = fs.fstatSync(file);
    const last = new Uint8Array(1);
    const isTorn = size > 0 && fs.readSync(file, last, 0, 1, size - 1) === 1 && last[0] !== 0x0a;
    fs.writeFileSync(file, `${isTorn ? "\n" : ""}${line}\n`);
  } finally {
    fs.closeSync(file);
  }
}
