import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { FormatError } from "../../lib/base/errors.ts";
import {
  formatSentencePieceModel,
  parseSentencePieceModel,
  TRAINER_FIELD,
} from "../../lib/formats/sentencepiece_model.ts";
import { formatTiktokenRanks } from "../../lib/formats/tiktoken_ranks.ts";
import { parseTokenizerJson } from "../../lib/formats/tokenizer_json.ts";
import { asGgufMetadata } from "../../lib/tokenizer/as_gguf.ts";
import { asTokenizerJson } from "../../lib/tokenizer/as_tokenizer_json.ts";
import { compileTokenizer } from "../../lib/tokenizer/compiled.ts";
import type { TokenizerDefinition } from "../../lib/tokenizer/definition.ts";
import { PREFIX } from "../../lib/tokenizer/description.ts";
import { asTiktokenRanks, tokenizerFiles } from "../../lib/tokenizer/files.ts";
import { defineGguf } from "../../lib/tokenizer/gguf.ts";
import { openTokenizer, readDefinition } from "../../lib/tokenizer/open.ts";
import { sharedTextBackend } from "../../lib/tokenizer/text_engine.ts";
import { testWith } from "../fixtures.ts";
import { HAS_VECTORS, textOf, TOKENIZERS, vectors } from "./vectors.ts";

const LLAMA2 = join(TOKENIZERS, "llama2/tokenizer.model");
const LLAMA3 = join(TOKENIZERS, "llama3/tokenizer.model");
const HF = join(TOKENIZERS, "hf");

/** The JSON of a fixture. */
function fixtureJson(name: string): Record<string, unknown> & { model: Record<string, unknown> } {
  const bytes = gunzipSync(Deno.readFileSync(join(HF, `${name}.tokenizer.json.gz`)));
  return JSON.parse(new TextDecoder().decode(bytes));
}

/** Writes a tokenizer's files for a target and opens what was written. */
async function rewritten(
  definition: TokenizerDefinition,
  target: "hf" | "meta" | "llama2c",
  name?: string,
): Promise<TokenizerDefinition> {
  const folder = await Deno.makeTempDir();
  try {
    for (const file of tokenizerFiles(definition, target)) {
      await Deno.writeFile(join(folder, file.name), file.bytes);
    }
    return await readDefinition(name === undefined ? folder : join(folder, name));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const TEXT = "Hello  world, 12345 naïve 日本語 😀\n\t<s> the\u0000end ";

async function idsOf(definition: TokenizerDefinition): Promise<number[]> {
  const tokenizer = compileTokenizer(definition, await sharedTextBackend());
  const ids = [...tokenizer.encode(TEXT)];
  strictEqual(tokenizer.decode(ids), TEXT);
  tokenizer.close();
  return ids;
}

testWith(HAS_VECTORS, "a SentencePiece model that is read and written has the same bytes", () => {
  const folder = join(TOKENIZERS, "spm-trained");
  const files = [...Deno.readDirSync(folder)].map(({ name }) => join(folder, name))
    .filter((path) => path.endsWith(".model"));
  for (const path of [...files, LLAMA2]) {
    const bytes = Deno.readFileSync(path);
    const written = formatSentencePieceModel(parseSentencePieceModel(bytes, path));
    strictEqual(written.toBase64() === bytes.toBase64(), true, path);
  }
});

testWith(HAS_VECTORS, "a rank file that is read and written has the same bytes", async () => {
  const written = formatTiktokenRanks(asTiktokenRanks(await readDefinition(LLAMA3)));
  deepStrictEqual(written, Deno.readFileSync(LLAMA3));
  const json = await readDefinition(join(HF, "llama3.tokenizer.json.gz"));
  deepStrictEqual(formatTiktokenRanks(asTiktokenRanks(json)), written);
});

testWith(HAS_VECTORS, "Llama 2 becomes the tokenizer.json that transformers makes", async () => {
  const written = JSON.parse(
    new TextDecoder().decode(asTokenizerJson(await readDefinition(LLAMA2))),
  );
  const wanted = fixtureJson("llama2.legacy");
  deepStrictEqual(written.model.merges, wanted.model.merges);
  deepStrictEqual(written, wanted);
});

testWith(HAS_VECTORS, "Llama 3 becomes the tokenizer.json that transformers makes", async () => {
  const written = JSON.parse(
    new TextDecoder().decode(asTokenizerJson(await readDefinition(LLAMA3))),
  );
  const wanted = fixtureJson("llama3");
  deepStrictEqual(written.model, wanted.model);
  deepStrictEqual(written.pre_tokenizer, wanted.pre_tokenizer);
  deepStrictEqual(written.post_processor, wanted.post_processor);
  deepStrictEqual(written.decoder, wanted.decoder);
});

testWith(HAS_VECTORS, "llama2.c's file of Llama 2 is the one that llama2.c has", async () => {
  const [file] = tokenizerFiles(await readDefinition(LLAMA2), "llama2c");
  const wanted = Deno.readFileSync(join(TOKENIZERS, "llama2/tokenizer.bin"));
  strictEqual(file!.bytes.toBase64() === wanted.toBase64(), true);
});

testWith(HAS_VECTORS, "Llama 2 gives the same ids from every format it is written in", async () => {
  const source = await readDefinition(LLAMA2);
  const wanted = await idsOf(source);
  const gguf = defineGguf({ path: "x.gguf", metadata: asGgufMetadata(source) });
  const copies = [
    gguf,
    defineGguf({ path: "y.gguf", metadata: asGgufMetadata(gguf) }),
    await rewritten(source, "hf"),
    await rewritten(source, "hf", "tokenizer.json"),
    await rewritten(source, "meta"),
    await rewritten(gguf, "meta"),
    await rewritten(await readDefinition(join(HF, "llama2.legacy.tokenizer.json.gz")), "meta"),
    await rewritten(source, "llama2c"),
    await rewritten(await rewritten(source, "llama2c"), "meta"),
  ];
  for (const copy of copies) {
    deepStrictEqual(await idsOf(copy), wanted);
    deepStrictEqual([copy.bosId, copy.eosId, copy.vocabSize, copy.addBos], [1, 2, 32000, true]);
  }
});

testWith(HAS_VECTORS, "Llama 3 gives the same ids from every format it is written in", async () => {
  const source = await readDefinition(LLAMA3);
  const wanted = await idsOf(source);
  const gguf = defineGguf({ path: "x.gguf", metadata: asGgufMetadata(source) });
  for (const copy of [gguf, await rewritten(source, "hf"), await rewritten(gguf, "meta")]) {
    deepStrictEqual(await idsOf(copy), wanted);
    deepStrictEqual([copy.bosId, copy.eosId, copy.vocabSize], [128000, 128001, 128256]);
    deepStrictEqual(copy.endIds, source.endIds);
  }
  throws(() => tokenizerFiles(source, "llama2c"), FormatError);
});

testWith(HAS_VECTORS, "what merges cannot say is left to the model file", async () => {
  const suffixed = await readDefinition(join(TOKENIZERS, "spm-trained/shk-opts-suffix-1000.model"));
  const merging = await readDefinition(LLAMA2);
  const model = merging.model!;
  const trainer = model.trainer.filter(({ number }) => number !== TRAINER_FIELD.modelType);
  // A model that names no type is unigram.
  const unigram = { ...merging, model: { ...model, trainer } };
  for (const definition of [suffixed, unigram]) {
    const names = tokenizerFiles(definition, "hf").map(({ name }) => name);
    deepStrictEqual(names, ["tokenizer.model", "tokenizer_config.json"]);
    throws(() => asTokenizerJson(definition), FormatError);
    throws(() => asGgufMetadata(definition), FormatError);
    throws(() => tokenizerFiles(definition, "llama2c"), FormatError);
  }
});

testWith(
  HAS_VECTORS,
  "what tokenizer.bin or rank files would silently drop is refused",
  async () => {
    const lossless = await readDefinition(join(TOKENIZERS, "spm-trained/mix-lossless-8000.model"));
    throws(() => tokenizerFiles(lossless, "llama2c"), /it puts no space before the text/);
    const normal = { ...lossless.description, charsmap: Uint8Array.of(0), prefix: PREFIX.always };
    const normalizing = { ...lossless, description: normal };
    throws(() => tokenizerFiles(normalizing, "llama2c"), /it normalizes text/);
    const gguf = asGgufMetadata(await readDefinition(LLAMA3));
    gguf.set("tokenizer.ggml.pre", { type: "string", value: "qwen2" });
    const qwen = defineGguf({ path: "q.gguf", metadata: gguf });
    throws(() => tokenizerFiles(qwen, "meta"), /splits text by Qwen 2's pattern, wanted Llama 3's/);
  },
);

testWith(HAS_VECTORS, "what removes extra spaces is written so that it can be read", async () => {
  const backend = await sharedTextBackend();
  for (const name of ["shk-default-4096", "mix-default-4096", "mix-opts-nmtcf-2000"]) {
    const source = await readDefinition(join(TOKENIZERS, `spm-trained/${name}.model`));
    const json = await rewritten(source, "hf", "tokenizer.json");
    const [one, other] = [source, json].map((definition) => compileTokenizer(definition, backend));
    for (const text of ["", "  Two  words ", "\u2581\u2581 a \u2581", "\tＦｕｌｌ\n ﬁ ", " "]) {
      deepStrictEqual(other!.encode(text), one!.encode(text), `${name} ${JSON.stringify(text)}`);
    }
    one!.close();
    other!.close();
  }
});

testWith(
  HAS_VECTORS,
  "merges written as pairs mean what merges written as texts mean",
  async () => {
    const json = fixtureJson("llama2.legacy");
    json.model.merges = (json.model.merges as string[]).map((merge) => merge.split(" "));
    const bytes = new TextEncoder().encode(JSON.stringify(json));
    const folder = await Deno.makeTempDir();
    try {
      await Deno.writeFile(join(folder, "tokenizer.json"), bytes);
      const tokenizer = await openTokenizer(folder);
      for (const vector of (await vectors("golden-llama2.jsonl")).slice(0, 100)) {
        const text = textOf(vector);
        if (typeof text !== "string" || text.includes("<")) continue;
        deepStrictEqual([...tokenizer.encode(text)], vector.ids, vector.id);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
    strictEqual(parseTokenizerJson(bytes, "x").merges.count, 61249 * 2);
  },
);

testWith(HAS_VECTORS, "config files beside a tokenizer name its tokens", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.copyFile(join(HF, "llama3.tokenizer.json.gz"), join(folder, "tokenizer.json.gz"));
    await Deno.writeTextFile(
      join(folder, "tokenizer_config.json"),
      JSON.stringify({ eos_token: { content: "<|eot_id|>" }, add_bos_token: false }),
    );
    await Deno.writeTextFile(
      join(folder, "special_tokens_map.json"),
      JSON.stringify({ eos_token: "<|end_of_text|>", pad_token: "<|finetune_right_pad_id|>" }),
    );
    const definition = await readDefinition(folder);
    deepStrictEqual([definition.eosId, definition.padId, definition.addBos], [
      128009,
      128004,
      false,
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
