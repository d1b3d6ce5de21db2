import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { parseTokenizerJson } from "../../lib/formats/tokenizer_json.ts";
import { compileTokenizer } from "../../lib/tokenizer/compiled.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled_tokenizer.ts";
import { NO_NAMES } from "../../lib/tokenizer/config_files.ts";
import { defineHuggingFace } from "../../lib/tokenizer/huggingface.ts";
import { onBackends } from "../on_backends.ts";

/** Vectors of huggingface/tokenizers for files that it takes and hardly anybody means. */
interface Irregular {
  readonly cases: readonly {
    readonly name: string;
    readonly json: unknown;
    readonly vectors: readonly {
      readonly text: string;
      readonly ids: readonly number[];
      readonly plain: readonly number[];
      readonly decoded: string;
      readonly skipped: string;
    }[];
  }[];
}

const url = new URL("../golden/tokenizer/irregular.json", import.meta.url);
const { cases } = JSON.parse(await Deno.readTextFile(url)) as Irregular;

/** The ids of a text that comes byte by byte. */
function streamed(tokenizer: CompiledTokenizer, text: string): number[] {
  const encoder = tokenizer.encoder({ special: "parse" });
  const bytes = new TextEncoder().encode(text);
  const ids = Array.from(bytes, (byte) => [...encoder.push(Uint8Array.of(byte))]);
  return [...ids.flat(), ...encoder.end()];
}

onBackends("missing bytes and ids of added tokens are Hugging Face's", async (on) => {
  using opened = await on.open();
  for (const one of cases) {
    const bytes = new TextEncoder().encode(JSON.stringify(one.json));
    const json = parseTokenizerJson(bytes, `${one.name}.json`);
    const tokenizer = compileTokenizer(defineHuggingFace(json, NO_NAMES), opened.backend);
    for (const { text, ids, plain, decoded, skipped } of one.vectors) {
      const name = `${one.name}: ${JSON.stringify(text)}`;
      deepStrictEqual([...tokenizer.encode(text, { special: "parse" })], ids, name);
      deepStrictEqual([...tokenizer.encode(text, { special: "text" })], plain, `${name}, as text`);
      deepStrictEqual(streamed(tokenizer, text), ids, `${name}, streamed`);
      strictEqual(tokenizer.decode(ids), decoded, name);
      strictEqual(tokenizer.decode(ids, { skipSpecial: true }), skipped, `${name}, skipped`);
    }
    tokenizer.close();
  }
});
