/**
 * What a config is read from in a GGUF file, and how its keys are refused.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import type { GgufFile } from "../formats/gguf.ts";

/** The part of a GGUF file that a config is made of. */
export type GgufDescription = Pick<GgufFile, "path" | "metadata" | "records">;

/** Throws the error that says what stands at `key` and what was wanted. */
export function refuseKey(
  file: GgufDescription,
  { key, is, wanted }: { readonly key: string; readonly is: unknown; readonly wanted: string },
): never {
  const list = (items: readonly unknown[]) => `[${items.slice(0, 4).join(", ")}, …]`;
  const shown = typeof is === "string" ? quoted(is) : Array.isArray(is) ? list(is) : `${is}`;
  throw new ConfigError(
    `Cannot read ${quotedPath(file.path)}: the key "${key}" is ${
      is === undefined ? "missing" : shown
    }, ${wanted} was wanted`,
  );
}

/** The shortest decimal that a float32 stands for: 1e-5 for 9.99999974e-6. */
export function decimal(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}
