/**
 * Where tests find reference data, and how a test that lacks it is listed.
 *
 * Golden numbers stand in `tests/golden`. Larger fixtures and models live outside the repository:
 * `LLAMERO_FIXTURES` and `LLAMERO_MODELS` name them (default `../shared/fixtures`, `../shared/models`).
 * Where they are absent, a test that needs them is ignored and its name carries the reason.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { isAbsolute, join, resolve } from "node:path";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

function folder(variable: string, fallback: string): string {
  const named = Deno.env.get(variable);
  if (named === undefined || named === "") return join(ROOT, fallback);
  return isAbsolute(named) ? named : resolve(ROOT, named);
}

/** Folder of the repository. */
export const REPOSITORY: string = ROOT;
/** Folder of the large fixtures: text and tokenizers. */
export const FIXTURES: string = folder("LLAMERO_FIXTURES", "../shared/fixtures");
/** Folder of the real models. */
export const MODELS: string = folder("LLAMERO_MODELS", "../shared/models");

/** Path of a golden file or folder inside the repository. */
export function golden(path: string): string {
  return join(ROOT, "tests/golden", path);
}

/** Registers a test that needs the given paths; where one is absent it is ignored with the reason. */
export function testWith(
  needed: readonly string[],
  name: string,
  body: (t: Deno.TestContext) => void | Promise<void>,
): void {
  const missing = needed.find((path) => !existsSync(path));
  if (missing === undefined) Deno.test(name, body);
  else Deno.test({ name: `${name} (ignored: no ${missing})`, ignore: true, fn: () => {} });
}
