/**
 * What the operating system says about a file, as one clear line.
 *
 * @module
 */

import { asError, LlameroError } from "./errors.ts";
import { quotedPath } from "./quoted.ts";

const REASONS: ReadonlyMap<string, readonly [what: string, hint?: string]> = new Map([
  ["ENOENT", ["no such file or folder"]],
  ["EACCES", ["permission denied", "check the owner and mode of the file and its folders"]],
  ["EPERM", ["permission denied", "check the owner and mode of the file and its folders"]],
  ["EISDIR", ["it is a folder, and a file was wanted"]],
  ["ENOTDIR", ["a part of the path is a file, and a folder was wanted"]],
  ["EEXIST", ["it exists already"]],
  ["ENOSPC", ["no space left on the device", "free some space or write to another disk"]],
  ["EDQUOT", ["the disk quota is used up", "free some space or write to another disk"]],
  ["EFBIG", ["the file would be larger than the file system or a limit allows"]],
  ["EROFS", ["the file system is read-only"]],
  ["EMFILE", ["too many files are open", "raise the limit with: ulimit -n 4096"]],
  ["ENAMETOOLONG", ["the name is too long"]],
  ["ELOOP", ["its symbolic links lead in a circle"]],
  ["EBUSY", ["it is in use by another program"]],
  ["EIO", ["the device failed while reading or writing"]],
  ["EXDEV", ["it lies on another file system"]],
]);

/** The operating system's code of a failure (`"ENOENT"`, …), or `undefined` where there is none. */
export function errorCode(thrown: unknown): string | undefined {
  const code = thrown instanceof Error ? (thrown as Error & { code?: unknown }).code : undefined;
  return typeof code === "string" ? code : undefined;
}

/** What was being done to which file. */
export interface FileAction {
  /** The verb: `"read"`, `"write"`, …. */
  readonly action: string;
  /** The path as the user named it. */
  readonly path: string;
}

/** Makes `Cannot <action> "<path>": <reason>` of a failure of the file system; an error of our own passes unchanged. */
export function fileError(thrown: unknown, { action, path }: FileAction): LlameroError {
  if (thrown instanceof LlameroError) return thrown;
  const known = REASONS.get(errorCode(thrown) ?? "");
  const error = asError(thrown);
  const what = known?.[0] ?? error.message.split("\n", 1)[0] ?? error.name;
  return new LlameroError(`Cannot ${action} ${quotedPath(path)}: ${what}`, {
    cause: error,
    hint: known?.[1],
  });
}
