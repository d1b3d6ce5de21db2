/**
 * A whole model of 125 thousand random weights, with a vocabulary learned from a text: for
 * people to try the command line with, until they have trained or fetched one.
 *
 * @module
 */

import { join } from "node:path";
import { writeFileAtomically } from "../lib/base/atomic_file.ts";
import { RandomStream } from "../lib/base/random.ts";
import { PIECE_TYPE, PieceListBuilder } from "../lib/formats/piece_list.ts";
import { writeSafetensors } from "../lib/formats/safetensors_write.ts";
import {
  formatSentencePieceModel,
  MODEL_TYPE,
  TRAINER_FIELD,
} from "../lib/formats/sentencepiece_model.ts";
import type { TensorSource } from "../lib/formats/tensor_file.ts";
import { toHuggingFaceConfig } from "../lib/model/config_huggingface.ts";
import { presetOf } from "../lib/model/presets.ts";
import { weightSpecs } from "../lib/model/weights.ts";

/** SentencePiece's letter for a space. */
const SPACE = "▁";
/** Standard deviation of the weights, as Llama's initializer has it. */
const DEVIATION = 0.02;

/** A word of the text as the pieces that it is made of so far, and how often it occurs. */
interface Word {
  parts: string[];
  readonly count: number;
}

function wordsOf(text: string): Word[] {
  const counts = new Map<string, number>();
  for (const [word] of text.matchAll(/[\x21-\x7e]+/g)) {
    counts.set(SPACE + word, (counts.get(SPACE + word) ?? 0) + 1);
  }
  return [...counts].map(([word, count]) => ({ parts: [...word], count }));
}

/** The pair of neighbours that occurs most often; of equals the first in the alphabet. */
function commonestPair(words: readonly Word[]): [left: string, right: string] | undefined {
  const counts = new Map<string, { pair: [string, string]; count: number }>();
  for (const { parts, count } of words) {
    for (let i = 1; i < parts.length; i++) {
      const pair: [string, string] = [parts[i - 1]!, parts[i]!];
      const key = pair.join(" ");
      counts.set(key, { pair, count: (counts.get(key)?.count ?? 0) + count });
    }
  }
  const ranked = [...counts].sort(([a, x], [b, y]) => y.count - x.count || (a < b ? -1 : 1));
  return ranked[0]?.[1].pair;
}

function merge(parts: readonly string[], [left, right]: readonly [string, string]): string[] {
  const merged: string[] = [];
  for (let i = 0; i < parts.length; i++) {
    const together = parts[i] === left && parts[i + 1] === right;
    merged.push(together ? left + right : parts[i]!);
    if (together) i++;
  }
  return merged;
}

/** Learns pieces by byte pair encoding: merges in order, then the letters (Sennrich et al. 2016). */
export function learnPieces(text: string, count: number): string[] {
  const words = wordsOf(text);
  const printable = Array.from({ length: 94 }, (_, i) => String.fromCharCode(0x21 + i));
  const letters = [SPACE, ...printable];
  const merges: string[] = [];
  while (merges.length + letters.length < count) {
    const pair = commonestPair(words);
    if (pair === undefined) break;
    const piece = pair.join("");
    if (!merges.includes(piece)) merges.push(piece);
    for (const word of words) word.parts = merge(word.parts, pair);
  }
  return [...merges, ...letters];
}

function tokenizerModel(pieces: readonly string[]): Uint8Array {
  const list = new PieceListBuilder();
  const encoder = new TextEncoder();
  list.add(encoder.encode("<unk>"), { type: PIECE_TYPE.unknown });
  list.add(encoder.encode("<s>"), { type: PIECE_TYPE.control });
  list.add(encoder.encode("</s>"), { type: PIECE_TYPE.control });
  for (const [rank, piece] of pieces.entries()) list.add(encoder.encode(piece), { score: -rank });
  return formatSentencePieceModel({
    pieces: list.finish(),
    trainer: [{ number: TRAINER_FIELD.modelType, wire: "varint", value: BigInt(MODEL_TYPE.bpe) }],
    normalizer: [],
    denormalizer: [],
    rest: [],
  });
}

/** Random bytes of one weight; norms are one, as before training. */
function randomWeight(index: number, { shape, ones }: { shape: readonly number[]; ones: boolean }) {
  const values = new Float32Array(shape.reduce((product, extent) => product * extent, 1));
  const stream = new RandomStream(0, index);
  for (let i = 0; i < values.length; i++) values[i] = ones ? 1 : DEVIATION * stream.normal(i);
  return new Uint8Array(values.buffer);
}

/** Writes a Hugging Face model folder; its vocabulary of 512 tokens is learned from the text. */
export async function writeRandomModel(folder: string, text: string): Promise<void> {
  const pieces = learnPieces(text, 509);
  const vocabSize = 3 + pieces.length;
  const { config } = presetOf("debug", { vocabSize, bosTokenId: 1, eosTokenIds: [2] });
  const tensors = weightSpecs(config).map((spec, index): TensorSource => ({
    name: spec.names.huggingFace,
    dtype: "f32",
    shape: spec.shape,
    data: randomWeight(index, { shape: spec.shape, ones: !spec.decayed }),
  }));
  await Deno.mkdir(folder);
  await writeSafetensors(join(folder, "model.safetensors"), tensors, {
    metadata: { format: "pt" },
  });
  writeFileAtomically(join(folder, "tokenizer.model"), tokenizerModel(pieces));
  const json = JSON.stringify(toHuggingFaceConfig(config, { dtype: "f32" }), null, 2);
  writeFileAtomically(join(folder, "config.json"), json + "\n");
}
