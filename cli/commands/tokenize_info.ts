/**
 * `llamero tokenize info`: what a tokenizer is.
 *
 * @module
 */

import { formatInteger } from "../../lib/base/format.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled_tokenizer.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { type Io, writeJson } from "../io.ts";
import type { TokenizeInfoOptions } from "./tokenize_info.spec.ts";

const SAMPLE = "Once upon a time, 42 llamas said: naïve café!";
/** More special tokens than this are only counted. */
const MOST_SHOWN = 12;

/** Runs `llamero tokenize info`. */
export async function run(values: TokenizeInfoOptions, io: Io): Promise<void> {
  const tokenizer = await openTokenizer(values.tokenizer);
  if (values.json) return writeJson(io.stdout, description(tokenizer, values.pieces));
  writeSummary(tokenizer, io);
  if (!values.pieces) return;
  io.stdout.write("\n");
  for (let id = 0; id < tokenizer.vocabSize; id++) {
    io.stdout.write(`${id}\t${JSON.stringify(tokenizer.piece(id))}\n`);
  }
}

function specials(tokenizer: CompiledTokenizer): { id: number; name: string }[] {
  return tokenizer.definition.description.specials.map(({ id, name }) => ({ id, name }));
}

function description(tokenizer: CompiledTokenizer, pieces: boolean): Record<string, unknown> {
  const { definition } = tokenizer;
  const ids = tokenizer.encode(SAMPLE);
  return {
    kind: tokenizer.kind,
    file: definition.file,
    vocab_size: tokenizer.vocabSize,
    bos_id: tokenizer.bosId ?? null,
    eos_id: tokenizer.eosId ?? null,
    unk_id: definition.unkId ?? null,
    pad_id: tokenizer.padId ?? null,
    end_ids: tokenizer.endIds,
    add_bos: definition.addBos,
    add_eos: definition.addEos,
    special_tokens: specials(tokenizer),
    normalization: definition.normalization,
    sample: { text: SAMPLE, ids, pieces: Array.from(ids, (id) => tokenizer.piece(id)) },
    ...(pieces
      ? { pieces: Array.from({ length: tokenizer.vocabSize }, (_, id) => tokenizer.piece(id)) }
      : {}),
  };
}

function writeSummary(tokenizer: CompiledTokenizer, io: Io): void {
  const { definition } = tokenizer;
  const named = (id: number | undefined): string =>
    id === undefined ? "none" : `${id} ${JSON.stringify(tokenizer.piece(id))}`;
  const list = specials(tokenizer);
  const shown = list.slice(0, MOST_SHOWN).map(({ id, name }) => `${id} ${JSON.stringify(name)}`);
  if (list.length > MOST_SHOWN) shown.push(`… ${formatInteger(list.length)} in all`);
  const ids = tokenizer.encode(SAMPLE);
  const sample = Array.from(ids, (id) => JSON.stringify(tokenizer.piece(id))).join(" ");
  const rows: readonly (readonly [string, string])[] = [
    ["file", definition.file],
    ["kind", tokenizer.kind],
    ["vocabulary", formatInteger(tokenizer.vocabSize)],
    ["normalization", definition.normalization],
    ["begin", named(tokenizer.bosId)],
    ["end", named(tokenizer.eosId)],
    ["unknown", named(definition.unkId)],
    ["padding", named(tokenizer.padId)],
    ["ends a text", tokenizer.endIds.map((id) => named(id)).join(", ") || "none"],
    ["special tokens", shown.join(", ") || "none"],
    ["sample", `${JSON.stringify(SAMPLE)}: ${sample}`],
  ];
  for (const [name, value] of rows) io.stdout.write(`${name.padEnd(16)}${value}\n`);
}
