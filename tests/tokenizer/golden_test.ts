import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Backend } from "../../lib/backend/backend.ts";
import { LlameroError } from "../../lib/base/errors.ts";
import { packTexts } from "../../lib/tokenizer/description.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled_tokenizer.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { onBackends } from "../on_backends.ts";
import {
  digestOf,
  HAS_VECTORS,
  packLines,
  textOf,
  TEXTS,
  textsById,
  TOKENIZERS,
  vectors,
} from "./vectors.ts";

const missing = HAS_VECTORS.find((path) => !existsSync(path));
const options = { ignored: missing === undefined ? undefined : `no ${missing}` };
const LLAMA2 = join(TOKENIZERS, "llama2/tokenizer.model");
const LLAMA3 = join(TOKENIZERS, "llama3/tokenizer.model");

/** Opens each tokenizer of a test once. */
function opener(backend: Backend): (path: string) => Promise<CompiledTokenizer> {
  const opened = new Map<string, Promise<CompiledTokenizer>>();
  return (path) => {
    const found = opened.get(path) ?? openTokenizer(path, { backend });
    opened.set(path, found);
    return found;
  };
}

onBackends("Llama 2 encodes and decodes every vector as SentencePiece does", async (on) => {
  using opened = await on.open();
  const tokenizer = await openTokenizer(LLAMA2, opened);
  for (const vector of await vectors("golden-llama2.jsonl")) {
    if (vector.op === "encode") {
      const ids = [...tokenizer.encode(textOf(vector), { invalid: "replace" })];
      deepStrictEqual(ids, vector.ids, vector.id);
      deepStrictEqual(ids.map((id) => tokenizer.piece(id)), vector.pieces, vector.id);
    }
    strictEqual(tokenizer.decode(vector.ids), vector.decoded, vector.id);
  }
}, options);

onBackends("Llama 3 encodes every vector as tiktoken does, special tokens too", async (on) => {
  using opened = await on.open();
  const tokenizer = await openTokenizer(LLAMA3, opened);
  for (const vector of await vectors("golden-llama3.jsonl")) {
    if (vector.op === "decode") {
      strictEqual(tokenizer.decode(vector.ids), vector.decoded, vector.id);
      continue;
    }
    const text = textOf(vector);
    deepStrictEqual([...tokenizer.encode(text)], vector.ids, vector.id);
    if (vector.ids_special === undefined) continue;
    const parsed = [...tokenizer.encode(text, { special: "parse" })];
    deepStrictEqual(parsed, vector.ids_special, vector.id);
    throws(() => tokenizer.encode(text, { special: "refuse" }), LlameroError, vector.id);
  }
}, options);

onBackends("every trained SentencePiece model encodes and decodes as SentencePiece", async (on) => {
  using opened = await on.open();
  const open = opener(opened.backend);
  const texts = await textsById();
  for (const vector of await vectors("golden-spm-trained.jsonl")) {
    const tokenizer = await open(join(TOKENIZERS, `spm-trained/${vector.model}.model`));
    const name = `${vector.model} ${vector.id}`;
    const text = vector.text ?? texts.get(vector.id)!;
    deepStrictEqual([...tokenizer.encode(text, { invalid: "replace" })], vector.ids, name);
    strictEqual(tokenizer.decode(vector.ids), vector.decoded, name);
  }
}, options);

onBackends("tokenizer.json of Llama 2 encodes and decodes as Hugging Face's", async (on) => {
  using opened = await on.open();
  const open = opener(opened.backend);
  const texts = await textsById();
  for (const vector of await vectors("golden-hf-llama2.jsonl")) {
    const tokenizer = await open(join(TOKENIZERS, `hf/llama2.${vector.file}.tokenizer.json.gz`));
    const name = `${vector.file} ${vector.id}`;
    const text = vector.text ?? texts.get(vector.id)!;
    const ids = tokenizer.encode(text, { special: "parse", invalid: "replace" });
    deepStrictEqual([...ids], vector.ids, name);
    strictEqual(tokenizer.decode(vector.ids), vector.decoded, name);
    strictEqual(tokenizer.decode(vector.ids, { skipSpecial: true }), vector.decoded_skip, name);
    strictEqual(
      Number(tokenizer.addBos) + Number(tokenizer.definition.addEos),
      vector.with_special,
    );
  }
}, options);

onBackends("tokenizer.json of Llama 3 gives the ids of the rank file", async (on) => {
  using opened = await on.open();
  const path = join(TOKENIZERS, "hf/llama3.tokenizer.json.gz");
  const tokenizer = await openTokenizer(path, opened);
  const reference = await openTokenizer(LLAMA3, opened);
  for (const vector of await vectors("golden-llama3.jsonl")) {
    // Vectors of decoding have special tokens, whose names differ between the two files.
    if (vector.op === "decode") continue;
    strictEqual(tokenizer.decode(vector.ids), reference.decode(vector.ids), vector.id);
    deepStrictEqual([...tokenizer.encode(textOf(vector))], vector.ids, vector.id);
  }
  deepStrictEqual([tokenizer.bosId, tokenizer.eosId, tokenizer.vocabSize], [
    128000,
    128001,
    128256,
  ]);
}, options);

interface Digest {
  readonly n: number;
  readonly sha256: string;
}

onBackends("whole files and their lines have the digests of the references", async (on) => {
  using opened = await on.open();
  const open = opener(opened.backend);
  const digests = JSON.parse(
    await Deno.readTextFile(join(TOKENIZERS, "golden-corpus-digests.json")),
  ) as Record<string, Record<string, { whole?: Digest; lines?: Digest }>>;
  for (const [file, models] of Object.entries(digests)) {
    if (file === "<vocab>") continue;
    const text = await Deno.readFile(join(TEXTS, file));
    const lines = packLines(text);
    for (const [model, { whole, lines: byLine }] of Object.entries(models)) {
      if (whole === undefined || byLine === undefined) continue;
      const path = model.startsWith("llama")
        ? join(TOKENIZERS, model, "tokenizer.model")
        : join(TOKENIZERS, `spm-trained/${model}.model`);
      const tokenizer = await open(path);
      const ids = tokenizer.encode(text, { invalid: "replace" });
      strictEqual(ids.length, whole.n, `${file} ${model}`);
      strictEqual(await digestOf(ids), whole.sha256, `${file} ${model}`);
      const batch = tokenizer.encodeBatch(lines, { invalid: "replace" });
      strictEqual(await digestOf(batch.ids), byLine.sha256, `${file} ${model} by line`);
    }
  }
}, options);

onBackends("every entry of Llama 3's vocabulary encodes as tiktoken does", async (on) => {
  using opened = await on.open();
  const tokenizer = await openTokenizer(LLAMA3, opened);
  const { pieces } = tokenizer.definition;
  const entries: Uint8Array[] = [];
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for (let id = 0; id < 128000; id++) {
    const bytes = pieces.bytes.subarray(pieces.offsets[id], pieces.offsets[id + 1]);
    try {
      decoder.decode(bytes);
      entries.push(bytes);
    } catch {
      // Not a text by itself.
    }
  }
  const digests = JSON.parse(
    await Deno.readTextFile(join(TOKENIZERS, "golden-corpus-digests.json")),
  )["<vocab>"];
  strictEqual(entries.length, digests.entries);
  const wraps: Record<string, [string, string]> = { alone: ["", ""], xTy: ["x", "y"] };
  for (const [name, [before, behind]] of Object.entries(wraps)) {
    const texts = entries.map((entry) =>
      before + new TextDecoder("utf-8", { ignoreBOM: true }).decode(entry) + behind
    );
    const { ids, counts } = tokenizer.encodeBatch(packTexts(texts));
    const marked: number[] = [];
    let start = 0;
    for (const count of counts) {
      for (const id of ids.subarray(start, start += count)) marked.push(id);
      marked.push(0xffffffff);
    }
    strictEqual(marked.length, digests.llama3[name].n);
    strictEqual(await digestOf(Uint32Array.from(marked)), digests.llama3[name].sha256, name);
  }
}, options);
