/**
 * The files of a tokenizer that was trained.
 *
 * @module
 */

import { parseSentencePieceModel } from "../../formats/sentencepiece_model.ts";
import type { TokenizerDefinition } from "../definition.ts";
import { type TokenizerFile, tokenizerFiles } from "../files.ts";
import { defineSentencePiece } from "../sentencepiece.ts";
import { defineTiktoken } from "../tiktoken.ts";
import type { TrainedTokenizer } from "./train.ts";

const MODEL = "tokenizer.model";

/** The tokenizer, ready to be compiled. */
function definitionOf(
  { training, pieces, meta, model }: TrainedTokenizer,
): TokenizerDefinition {
  if (training.kind === "spm") {
    return defineSentencePiece(parseSentencePieceModel(model, MODEL), MODEL);
  }
  const specials = meta.map(({ id, text }) => ({ id, name: text, flags: 0 }));
  return defineTiktoken(pieces, specials, { file: MODEL });
}

/**
 * `tokenizer.model` (SentencePiece's protobuf, or tiktoken's ranks), `tokenizer.json` and
 * `tokenizer_config.json`, which names the control symbols that ranks have no place for.
 */
export function trainedFiles(trained: TrainedTokenizer): TokenizerFile[] {
  const others = tokenizerFiles(definitionOf(trained), "hf").filter(({ name }) => name !== MODEL);
  return [{ name: MODEL, bytes: trained.model }, ...others];
}
