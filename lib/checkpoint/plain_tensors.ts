/**
 * Safetensors files that are no model: gradients, outputs, optimizer states.
 *
 * @module
 */

import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { readSafetensors } from "../formats/safetensors.ts";
import { WEIGHT_ROWS } from "../model/weights.ts";
import { kindOf } from "./detect.ts";

const PATTERNS: readonly RegExp[] = WEIGHT_ROWS.flatMap(({ names }) =>
  [names.huggingFace, names.meta].map((name) =>
    new RegExp(`^${name.replaceAll(".", "\\.").replace("{i}", "\\d+")}$`)
  )
);

/**
 * Whether a path is a safetensors file with tensors and no model: no config lies beside it, or none
 * of its tensors is named like a weight.
 */
export async function isPlainTensorFile(path: string): Promise<boolean> {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return false;
  if (kindOf(path) !== "safetensors") return false;
  const beside = (name: string) => existsSync(join(dirname(path), name));
  if (!beside("config.json") && !beside("params.json")) return true;
  const { records } = await readSafetensors(path);
  return ![...records.keys()].some((name) => PATTERNS.some((pattern) => pattern.test(name)));
}
