/**
 * From the options of `tokenize train` to a training: what was given stands before the defaults.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { FormatError, UsageError } from "../lib/base/errors.ts";
import { fileError } from "../lib/base/file_error.ts";
import { quotedPath } from "../lib/base/quoted.ts";
import {
  BYTE_DEFAULTS,
  type ByteTraining,
  type PieceTraining,
  type Training,
  TRAINING_DEFAULTS,
} from "../lib/tokenizer/train/options.ts";
import { flagOf, type Sources } from "./command.ts";
import type { PieceFlags, TokenizeTrainOptions } from "./commands/tokenize_train.spec.ts";

/** A training without its kind, which is chosen first. */
type PieceShape = Omit<PieceTraining, "kind">;

/** Values that come with a comma between, or from a file with one on each line. */
const LISTS = ["userDefinedSymbols", "controlSymbols"] as const;

/**
 * Cuts a list at its commas. An entry in double quotes may have commas, and quotes written twice
 * (google/sentencepiece, util.cc, `StrSplitAsCSV`).
 */
export function splitList(list: string): string[] {
  const entries = [...list.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"?[^,]*|([^,]*))/g)];
  if (list === "") return [];
  return entries.map(([, inQuotes, bare]) => inQuotes?.replaceAll('""', '"') ?? bare!);
}

function fileLines(path: string): string[] {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (thrown) {
    throw fileError(thrown, { action: "read", path });
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return text.replace(/\n$/, "").split("\n").map((line) => line.replace(/\r$/, ""));
  } catch (cause) {
    throw new FormatError(`Cannot read ${quotedPath(path)}: it is not UTF-8`, {
      file: path,
      cause,
    });
  }
}

/** The keys of the options that the command line gave. */
function givenKeys(
  values: TokenizeTrainOptions,
  sources: Sources<TokenizeTrainOptions>,
): (keyof PieceFlags)[] {
  const keys = Object.keys(TRAINING_DEFAULTS.llama) as (keyof PieceTraining)[];
  return keys.filter((key): key is keyof PieceFlags => key !== "kind")
    .filter((key) => sources[key] !== "default" && values[key] !== undefined);
}

/** What the lists and their files give, where one of them was given. */
function listed(values: TokenizeTrainOptions): Partial<PieceShape> {
  const found: { -readonly [K in keyof PieceShape]?: PieceShape[K] } = {};
  for (const key of LISTS) {
    const files = values[`${key}File`];
    const given = values[key] ?? [];
    if (given.length + files.length === 0) continue;
    found[key] = [...given.flatMap(splitList), ...files.flatMap(fileLines)];
  }
  if (values.requiredCharsFile.length > 0) {
    const more = values.requiredCharsFile.flatMap(fileLines).join("");
    found.requiredChars = (values.requiredChars ?? "") + more;
  }
  return found;
}

function byteTraining(
  given: Partial<PieceShape>,
  lists: Partial<PieceShape>,
): ByteTraining {
  const all = { ...given, ...lists };
  const foreign = Object.keys(all).find((key) => !Object.hasOwn(BYTE_DEFAULTS, key));
  if (foreign !== undefined) {
    throw new UsageError(
      `Cannot train a tokenizer: ${flagOf(foreign)} shapes --kind spm, and the kind is bytes`,
    );
  }
  return { ...BYTE_DEFAULTS, ...all };
}

/**
 * The training that the options describe.
 *
 * @throws {UsageError} If an option does not belong to the kind.
 * @throws {FormatError} If a file of symbols is not UTF-8.
 */
export function trainingOf(
  values: TokenizeTrainOptions,
  sources: Sources<TokenizeTrainOptions>,
): Training {
  const given = Object.fromEntries(givenKeys(values, sources).map((key) => [key, values[key]]));
  const lists = listed(values);
  if (values.kind === "bytes") return byteTraining(given, lists);
  return { ...TRAINING_DEFAULTS[values.defaults], ...given, ...lists };
}
