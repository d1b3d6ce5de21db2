/**
 * A temporary folder for one test, and helpers to put hostile bytes into it.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { FormatError } from "../../lib/base/errors.ts";
import { joined } from "../../lib/base/joined.ts";

/** Runs `body` with a new folder that is removed afterwards. */
export async function withFolder(body: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "llamero-test-" });
  try {
    await body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** A new folder that `using` removes. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = Deno.makeTempDirSync({ prefix: "llamero-test-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

/** Joins byte arrays and UTF-8 strings. */
export function bytesOf(
  ...parts: readonly (Uint8Array | string | readonly number[])[]
): Uint8Array {
  const encoder = new TextEncoder();
  const arrays = parts.map((part) =>
    typeof part === "string" ? encoder.encode(part) : Uint8Array.from(part)
  );
  return joined(Uint8Array, arrays);
}

/** A 64-bit little-endian number; negative ones wrap around. */
export function u64(value: number | bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
  return bytes;
}

/** A 32-bit little-endian number; negative ones wrap around. */
export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value >>> 0, true);
  return bytes;
}

/** The bytes of float32 numbers. */
export function f32(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

/** Expects a {@linkcode FormatError} of one line that names the file and matches `pattern`. */
export async function refused(
  file: string,
  pattern: RegExp,
  read: () => unknown,
): Promise<void> {
  await assert.rejects(
    async () => await read(),
    (error: unknown) => {
      assert.ok(error instanceof FormatError, `not a FormatError: ${error}`);
      assert.match(error.message, pattern);
      assert.ok(error.message.startsWith("Cannot read "), error.message);
      assert.ok(!error.message.includes("\n"), "the message has more than one line");
      assert.ok(error.message.includes(file.replaceAll("\\", "\\\\")), error.message);
      assert.ok(error.file?.includes(file), "the error names no file");
      return true;
    },
  );
}

/** Writes bytes into a file of the folder and returns its path. */
export function put(folder: string, name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  Deno.writeFileSync(path, bytes);
  return path;
}
