/**
 * What a user should know of a training that worked.
 *
 * @module
 */

import { formatInteger } from "../../base/format.ts";
import { quoted } from "../../base/quoted.ts";
import { pieceText } from "../../formats/piece_list.ts";
import type { TrainedTokenizer } from "./train.ts";

/** The id of the piece that was learned as the `n`-th, counted from 0. */
function idOfLearned({ meta }: TrainedTokenizer, n: number): number {
  let id = n;
  for (const piece of meta) if (piece.id <= id) id++;
  return id;
}

/**
 * What a user should know of a training that went well: lines left out, choices that depend on a hash
 * table; one sentence each.
 */
export function trainingWarnings(trained: TrainedTokenizer): string[] {
  const { training, text, learning, pieces } = trained;
  const warnings: string[] = [];
  if (text.tooLong > 0 && training.kind === "spm") {
    const all = text.lines + text.tooLong + text.reserved;
    warnings.push(
      `${formatInteger(text.tooLong)} of ${formatInteger(all)} lines are longer than ` +
        `${formatInteger(training.maxSentenceLength)} bytes and were left out; ` +
        "--max-sentence-length takes longer ones",
    );
  }
  if (text.reserved > 0) {
    warnings.push(
      `${formatInteger(text.reserved)} lines have U+2585, which stands for unknown characters, ` +
        "and were left out",
    );
  }
  if (learning.ambiguousFrom !== undefined && training.kind === "spm") {
    const id = idOfLearned(trained, learning.ambiguousFrom);
    warnings.push(
      `spm_train itself does not determine the pieces from id ${formatInteger(id)} ` +
        `(${quoted(pieceText(pieces, id))}) on: there it depends on a hash table, and takes here ` +
        "the pair that comes most often",
    );
  }
  const size = pieces.types.length;
  if (size < training.vocabSize) {
    warnings.push(
      `the text allows ${formatInteger(size)} pieces, and ${formatInteger(training.vocabSize)} ` +
        "were wanted",
    );
  }
  return warnings;
}
