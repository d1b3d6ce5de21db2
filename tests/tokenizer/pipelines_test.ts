import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { parseTokenizerJson } from "../../lib/formats/tokenizer_json.ts";
import { NO_NAMES } from "../../lib/tokenizer/config_files.ts";
import { compileTokenizer } from "../../lib/tokenizer/compiled.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled_tokenizer.ts";
import { defineHuggingFace } from "../../lib/tokenizer/huggingface.ts";
import { onBackends } from "../on_backends.ts";

/** Vectors of huggingface/tokenizers for small tokenizers of every pipeline that is known. */
interface Pipelines {
  readonly vocab: Readonly<Record<string, readonly string[]>>;
  readonly merges: Readonly<Record<string, readonly (readonly string[])[]>>;
  readonly cases: readonly {
    readonly name: string;
    readonly json: { readonly model: { readonly vocab: string } };
    readonly vectors: readonly {
      readonly text: string;
      readonly ids: readonly number[];
      readonly plain: readonly number[];
      readonly decoded: string;
      readonly skipped: string;
    }[];
  }[];
}

async function golden<T>(name: string): Promise<T> {
  const url = new URL(`../golden/tokenizer/${name}.json`, import.meta.url);
  return JSON.parse(await Deno.readTextFile(url)) as T;
}

const pipelines = await golden<Pipelines>("pipelines");
/** What is done to text before, with the same vocabularies. */
const prepared = await golden<Pick<Pipelines, "cases">>("prepared");

/** The file of a case: its vocabulary is kept apart, and that of characters without its 256 bytes. */
function fileOf({ json }: Pipelines["cases"][number]): Uint8Array {
  const kind = json.model.vocab;
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
  );
  const before = kind === "symbols" ? ["<unk>", "<s>", "</s>", ...bytes] : [];
  const texts = [...before, ...pipelines.vocab[kind]!];
  const vocab = Object.fromEntries(texts.map((text, id) => [text, id]));
  const model = { ...json.model, vocab, merges: pipelines.merges[kind] };
  return new TextEncoder().encode(JSON.stringify({ ...json, model }));
}

/** The ids of a text that comes a few bytes at a time. */
function streamed(tokenizer: CompiledTokenizer, text: string, step: number): number[] {
  const encoder = tokenizer.encoder({ special: "parse" });
  const bytes = new TextEncoder().encode(text);
  const ids: number[] = [];
  for (let at = 0; at < bytes.length; at += step) {
    ids.push(...encoder.push(bytes.subarray(at, at + step)));
  }
  return [...ids, ...encoder.end()];
}

onBackends("added tokens of all flags in all pipelines are Hugging Face's", async (on) => {
  using opened = await on.open();
  for (const one of [...pipelines.cases, ...prepared.cases]) {
    const json = parseTokenizerJson(fileOf(one), `${one.name}.json`);
    const tokenizer = compileTokenizer(defineHuggingFace(json, NO_NAMES), opened.backend);
    for (const { text, ids, plain, decoded, skipped } of one.vectors) {
      const name = `${one.name}: ${JSON.stringify(text)}`;
      deepStrictEqual([...tokenizer.encode(text, { special: "parse" })], ids, name);
      deepStrictEqual([...tokenizer.encode(text, { special: "text" })], plain, `${name}, as text`);
      strictEqual(tokenizer.decode(ids), decoded, name);
      strictEqual(tokenizer.decode(ids, { skipSpecial: true }), skipped, `${name}, skipped`);
      for (const step of [1, 3]) {
        deepStrictEqual(streamed(tokenizer, text, step), ids, `${name}, streamed`);
      }
    }
    tokenizer.close();
  }
});
