/**
 * The description that the kernels train from: a header of words, then arrays, all little-endian u32,
 * each array at a multiple of four bytes (kernels/cpu/src/text/train/options.rs).
 *
 * @module
 */

import { atWords, packTexts } from "../description.ts";
import type { Training } from "./options.ts";

/** First word of a description, "TRB1". */
const MAGIC = 0x31425254;

/** What a training needs beyond its options. */
export interface TrainingTables {
  /** Texts at which training text is cut. */
  readonly metaPieces: readonly string[];
  /** Compiled normalization rules. */
  readonly charsmap: Uint8Array;
}

/** The bits of options.rs, lowest first. */
function flagsOf(training: Training): number {
  const pieces = training.kind === "spm" ? training : undefined;
  const flags = [
    pieces?.splitByWhitespace,
    pieces?.splitByUnicodeScript,
    pieces?.splitByNumber,
    pieces?.splitDigits,
    pieces?.treatWhitespaceAsSuffix,
    pieces?.allowWhitespaceOnlyPieces,
    pieces?.addDummyPrefix,
    pieces?.removeExtraWhitespaces,
    training.shuffleInputSentence,
  ];
  return flags.reduce((bits, flag, i) => bits | (flag === true ? 1 << i : 0), 0);
}

/** Writes a description as the kernels read it. */
export function describeTraining(training: Training, tables: TrainingTables): Uint8Array {
  const pieces = training.kind === "spm" ? training : undefined;
  const required = new TextEncoder().encode(pieces?.requiredChars ?? "");
  const meta = packTexts(tables.metaPieces);
  const coverage = new Uint32Array(Float32Array.of(pieces?.characterCoverage ?? 1).buffer)[0]!;
  const header = Uint32Array.of(
    MAGIC,
    pieces === undefined ? 1 : 0,
    flagsOf(training),
    pieces?.maxSentencepieceLength ?? 0,
    pieces?.maxSentenceLength ?? 0,
    coverage,
    training.inputSentenceSize % 2 ** 32,
    Math.floor(training.inputSentenceSize / 2 ** 32),
    required.length,
    tables.metaPieces.length,
    tables.charsmap.length,
  );
  const view = (words: Uint32Array): Uint8Array => new Uint8Array(words.buffer);
  const parts = [view(header), required, view(meta.ends), meta.bytes, tables.charsmap];
  return atWords(parts);
}
