/**
 * Whether two paths lead to the same file or folder.
 *
 * @module
 */

import * as fs from "node:fs";

/** What tells one file or folder from another, whatever the path to it; `undefined` where there is none. */
function fileIdentity(path: string): string | undefined {
  try {
    const { dev, ino } = fs.statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    // Whether the path can be read or written is asked elsewhere, with a better answer.
    return undefined;
  }
}

/** Whether a path leads to one of the inputs: links count, and what is not there leads nowhere. */
export function isOneOf(path: string, inputs: readonly string[]): boolean {
  const identity = fileIdentity(path);
  return identity !== undefined && inputs.some((input) => fileIdentity(input) === identity);
}
