/**
 * The tokenizer of stories260K as llama2.c's file, made from `vocab.json` beside the model, which says
 * the same in text.
 *
 * @module
 */

import { strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { PieceListBuilder } from "../../lib/formats/piece_list.ts";
import { formatLlama2cTokenizer } from "../../lib/formats/llama2c_tokenizer.ts";
import { MODELS } from "../fixtures.ts";

/** The bytes of tok512.bin; they must have the digest that `expected.json` records of the original. */
export async function storiesTokenizerBin(): Promise<Uint8Array> {
  const folder = join(MODELS, "stories260K");
  const { tokens } = JSON.parse(await Deno.readTextFile(join(folder, "vocab.json"))) as {
    tokens: [id: number, hex: string, text: string, score: number][];
  };
  const pieces = new PieceListBuilder();
  for (const [, hex, , score] of tokens) pieces.add(Uint8Array.fromHex(hex), { score });
  const bytes = formatLlama2cTokenizer(pieces.finish());
  const expected = JSON.parse(await Deno.readTextFile(join(folder, "expected.json")));
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  strictEqual(new Uint8Array(digest).toHex(), expected.files["tok512.bin"].sha256);
  return bytes;
}
