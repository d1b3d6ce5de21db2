/**
 * The command lines of `spm_train` that made the reference models, as our options.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { TrainingRecord } from "../../../lib/tokenizer/train/model_file.ts";
import { type PieceTraining, TRAINING_DEFAULTS } from "../../../lib/tokenizer/train/options.ts";
import { FIXTURES } from "../../fixtures.ts";

/** A training run of the reference. */
export interface SpmCommand {
  /** Files below `fixtures/text`. */
  readonly input: readonly string[];
  /** Our options. */
  readonly training: PieceTraining;
  /** What else the model says of itself. */
  readonly record: TrainingRecord;
}

/** Folder of the reference models. */
export const SPM_TRAINED: string = join(FIXTURES, "tokenizer/spm-trained");
/** Folder of the texts they were trained on. */
export const TEXTS: string = join(FIXTURES, "text");

function camelCase(name: string): string {
  return name.replace(/_[a-z]/g, (match) => match[1]!.toUpperCase());
}

/** Reads `NAME.cmd`. */
export function readSpmCommand(name: string): SpmCommand {
  const command = readFileSync(join(SPM_TRAINED, `${name}.cmd`), "utf8").trim();
  // Arguments are split at spaces that no backslash stands before.
  const words = command.match(/(?:\\.|[^ \\])+/gu)!.slice(1)
    .map((word) => word.replace(/\\(.)/gu, "$1"));
  const given = new Map(words.map((word) => {
    const at = word.indexOf("=");
    return [word.slice(2, at), word.slice(at + 1)] as const;
  }));
  const training: Record<string, unknown> = { ...TRAINING_DEFAULTS.sentencepiece };
  for (const [name, value] of given) {
    const key = camelCase(name);
    const usual = training[key];
    if (usual === undefined) continue;
    training[key] = typeof usual === "number"
      ? Number(value)
      : typeof usual === "boolean"
      ? value === "true"
      : Array.isArray(usual)
      ? value.split(",")
      : value;
  }
  const input = given.get("input")!.split(",");
  return {
    input,
    training: training as unknown as PieceTraining,
    record: {
      input,
      inputFormat: given.get("input_format") ?? "",
      modelPrefix: given.get("model_prefix")!,
      numThreads: Number(given.get("num_threads")),
    },
  };
}
