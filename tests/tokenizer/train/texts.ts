/**
 * Training on texts that stand in a test.
 *
 * @module
 */

import type { Backend } from "../../../lib/backend/backend.ts";
import type { TextInput } from "../../../lib/formats/text_chunks.ts";
import { type PieceTraining, TRAINING_DEFAULTS } from "../../../lib/tokenizer/train/options.ts";
import { type TrainedTokenizer, trainTokenizer } from "../../../lib/tokenizer/train/train.ts";
import { pieceText } from "../../../lib/formats/piece_list.ts";

/** A text as a stream of these parts. */
export function streamed(...parts: (string | Uint8Array)[]): TextInput {
  const encoder = new TextEncoder();
  async function* bytes(): AsyncGenerator<Uint8Array> {
    for (const part of parts) {
      yield await Promise.resolve(typeof part === "string" ? encoder.encode(part) : part);
    }
  }
  return { name: "some text", stream: bytes() };
}

/** Defaults of small tests: no bytes, no prefix, nothing normalized, all characters. */
export const PLAIN: PieceTraining = {
  ...TRAINING_DEFAULTS.sentencepiece,
  characterCoverage: 1,
  normalizationRuleName: "identity",
  addDummyPrefix: false,
  removeExtraWhitespaces: false,
  hardVocabLimit: false,
};

/** Trains on one text with plain defaults. */
export function trainOn(
  backend: Backend,
  text: TextInput | string,
  options: Partial<PieceTraining> = {},
): Promise<TrainedTokenizer> {
  const input = typeof text === "string" ? streamed(text) : text;
  return trainTokenizer([input], { backend, training: { ...PLAIN, ...options } });
}

/** The texts of all pieces. */
export function pieceTexts({ pieces }: TrainedTokenizer): string[] {
  return Array.from(pieces.types, (_, id) => pieceText(pieces, id));
}
