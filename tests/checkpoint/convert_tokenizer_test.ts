import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { convertCheckpoint } from "../../lib/checkpoint/convert.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { readGguf } from "../../lib/formats/gguf.ts";
import {
  ggufInteger,
  ggufIntegers,
  ggufString,
  ggufStrings,
} from "../../lib/formats/gguf_values.ts";
import { formatLlama2cTokenizer } from "../../lib/formats/llama2c_tokenizer.ts";
import { PieceListBuilder } from "../../lib/formats/piece_list.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { FIXTURES, MODELS, testWith } from "../fixtures.ts";
import { withFolder } from "../formats/folder.ts";
import { converted, makeModel } from "./made_model.ts";

const read = (...path: string[]): Uint8Array => Deno.readFileSync(join(...path));

/** A tokenizer of unknown, begin, end, the bytes and a few words, as llama2.c has it. */
function smallTokenizer(): Uint8Array {
  const pieces = new PieceListBuilder();
  for (const name of ["<unk>", "\n<s>\n", "\n</s>\n"]) pieces.addText(name);
  for (let byte = 0; byte < 256; byte++) {
    pieces.addText(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  }
  const words = [" ", "a", "b", "c", " a", "ab", " ab", "abc", "bc", " abc"];
  words.forEach((word, i) => pieces.addText(word, { score: -i }));
  return formatLlama2cTokenizer(pieces.finish());
}

const VOCABULARY = 3 + 256 + 10;
const TEXTS = ["abc ab", "", " a  abcab\n", "cabbage ☃ <s>"];

/** What a tokenizer makes of the texts. */
async function idsOf(path: string, texts: readonly string[] = TEXTS): Promise<number[][]> {
  const tokenizer = await openTokenizer(path);
  return texts.map((text) => [...tokenizer.encode(text, { bos: true })]);
}

Deno.test("a llama2.c tokenizer goes to every format and says the same, and back byte by byte", async () => {
  await withFolder(async (folder) => {
    const tokenizer = join(folder, "own.bin");
    Deno.writeFileSync(tokenizer, smallTokenizer());
    const model = join(folder, "model");
    const config = { vocab_size: VOCABULARY };
    const source = await makeModel(model, { config });
    const bin = join(folder, "model.bin");
    const start = await convertCheckpoint(source, { path: bin, to: "llama2c", tokenizer });
    assert.deepEqual(start.files.map((file) => basename(file)), ["model.bin", "tokenizer.bin"]);
    assert.equal(start.tokenizer, tokenizer);
    assert.deepEqual(read(folder, "tokenizer.bin"), smallTokenizer());
    const wanted = await idsOf(tokenizer);
    let last = await openCheckpoint(bin);
    for (const [i, to] of (["gguf", "meta", "gguf", "llama2c"] as const).entries()) {
      const place = join(folder, `${i}`);
      Deno.mkdirSync(place);
      const choice = i === 0 ? { tokenizer: join(folder, "tokenizer.bin") } : {};
      last = await converted(last, { path: join(place, "x.bin"), to, ...choice });
      if (to !== "llama2c") assert.deepEqual(await idsOf(last.tokenizerPath!), wanted, to);
    }
    assert.deepEqual(read(folder, "3", "tokenizer.bin"), smallTokenizer());
    const hf = await converted(await openCheckpoint(bin), {
      path: join(folder, "hf"),
      to: "hf",
      tokenizer,
    });
    assert.deepEqual(await idsOf(join(hf.path, "tokenizer.model")), wanted);
    // Hugging Face's own rules take names of special tokens out of the text.
    const plain = TEXTS.filter((text) => !text.includes("<s>"));
    assert.deepEqual(
      await idsOf(join(hf.path, "tokenizer.json"), plain),
      await idsOf(tokenizer, plain),
    );
  });
});

Deno.test("rows of the embedding beyond the vocabulary get tokens that are never used", async () => {
  await withFolder(async (folder) => {
    const tokenizer = join(folder, "own.bin");
    Deno.writeFileSync(tokenizer, smallTokenizer());
    const vocab_size = VOCABULARY + 3;
    const source = await makeModel(join(folder, "model"), { config: { vocab_size } });
    const path = join(folder, "x.gguf");
    await convertCheckpoint(source, { path, to: "gguf", tokenizer });
    const file = await readGguf(path);
    const tokens = ggufStrings(file, "tokenizer.ggml.tokens")!;
    assert.equal(tokens.length, vocab_size);
    const names = Array.from({ length: 3 }, (_, i) => `[PAD${VOCABULARY + i}]`);
    assert.deepEqual(tokens.slice(VOCABULARY), names);
    // 5 is the type of unused tokens.
    const types = ggufIntegers(file, "tokenizer.ggml.token_type")!;
    assert.deepEqual([...types.subarray(VOCABULARY)], [5, 5, 5]);
    assert.deepEqual(await idsOf(path), await idsOf(tokenizer));
  });
});

Deno.test("a tokenizer of another model is refused, and may be left behind", async () => {
  await withFolder(async (folder) => {
    const tokenizer = join(folder, "tokenizer.bin");
    Deno.writeFileSync(tokenizer, smallTokenizer());
    const source = await makeModel(folder);
    const path = join(folder, "x.gguf");
    await assert.rejects(
      () => convertCheckpoint(source, { path, to: "gguf" }),
      (error: Error & { hint?: string }) => {
        assert.match(error.message, /tokenizer\.bin" has 269 tokens, and its embedding 16 rows$/);
        assert.match(error.hint ?? "", /--weights-only/);
        return true;
      },
    );
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [
      "config.json",
      "model.safetensors",
      "tokenizer.bin",
    ]);
    const { tokenizer: none } = await convertCheckpoint(source, {
      path,
      to: "gguf",
      weightsOnly: true,
    });
    assert.equal(none, undefined);
    const file = await readGguf(path);
    assert.equal(ggufString(file, "tokenizer.ggml.model"), "no_vocab");
    assert.equal(ggufInteger(file, "llama.vocab_size"), 16);
  });
});

Deno.test("files of a Hugging Face tokenizer are copied byte by byte, readable or not", async () => {
  await withFolder(async (folder) => {
    const model = join(folder, "model");
    await makeModel(model);
    const files: Record<string, string> = {
      "tokenizer.json": '{"model":{"type":"Unigram"}}',
      "tokenizer_config.json": '{ "a" :1e-1}',
      "special_tokens_map.json": "{}",
      "chat_template.jinja": "{{ 1 }}",
    };
    for (const [name, text] of Object.entries(files)) {
      Deno.writeTextFileSync(join(model, name), text);
    }
    const source = await openCheckpoint(model);
    const path = join(folder, "hf");
    await convertCheckpoint(source, { path, to: "hf", dtype: "bf16" });
    for (const [name, text] of Object.entries(files)) {
      assert.equal(Deno.readTextFileSync(join(path, name)), text, name);
    }
    const bare = join(folder, "bare");
    await convertCheckpoint(source, { path: bare, to: "hf", weightsOnly: true });
    const names = [...Deno.readDirSync(bare)].map(({ name }) => name).sort();
    assert.deepEqual(names, ["config.json", "model.safetensors"]);
  });
});

/** The keys of chat templates in a GGUF file. */
async function templateKeys(path: string): Promise<Record<string, unknown>> {
  const { metadata } = await readGguf(path);
  return Object.fromEntries(
    [...metadata].filter(([key]) => key.includes("chat_template")).map((
      [key, { value }],
    ) => [key, value]),
  );
}

Deno.test("one chat template goes from Hugging Face to GGUF, Meta and back", async () => {
  const template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}é";
  for (const name of ["tokenizer_config.json", "chat_template.json", "chat_template.jinja"]) {
    await withFolder(async (folder) => {
      const model = join(folder, "model");
      await makeModel(model);
      const isText = name.endsWith("jinja");
      const text = isText ? template : JSON.stringify({ chat_template: template });
      Deno.writeTextFileSync(join(model, name), text);
      const at = (name: string) => join(folder, name);
      const first = await converted(await openCheckpoint(model), {
        path: at("1.gguf"),
        to: "gguf",
      });
      assert.deepEqual(await templateKeys(at("1.gguf")), { "tokenizer.chat_template": template });
      const meta = await converted(first, { path: at("meta"), to: "meta" });
      const second = await converted(meta, { path: at("2.gguf"), to: "gguf" });
      assert.deepEqual(await templateKeys(at("2.gguf")), { "tokenizer.chat_template": template });
      await converted(second, { path: at("hf"), to: "hf" });
      const config = JSON.parse(Deno.readTextFileSync(at("hf/tokenizer_config.json")));
      assert.equal(config.chat_template, template);
      const { notes } = await convertCheckpoint(second, { path: at("x.bin"), to: "llama2c" });
      assert.ok(notes.includes("llama2.c has no place for the chat template"));
    });
  }
});

Deno.test("chat templates by name go from Hugging Face to GGUF and back", async () => {
  await withFolder(async (folder) => {
    const model = join(folder, "model");
    await makeModel(model);
    const chat_template = [
      { name: "default", template: "d" },
      { name: "tool_use", template: "t" },
      { name: "rag", template: "r" },
    ];
    const config = join(model, "tokenizer_config.json");
    Deno.writeTextFileSync(config, JSON.stringify({ chat_template }));
    const path = join(folder, "x.gguf");
    const gguf = await converted(await openCheckpoint(model), { path, to: "gguf" });
    assert.deepEqual(await templateKeys(path), {
      "tokenizer.chat_template": "d",
      "tokenizer.chat_template.tool_use": "t",
      "tokenizer.chat_template.rag": "r",
      "tokenizer.chat_templates": ["tool_use", "rag"],
    });
    await converted(gguf, { path: join(folder, "hf"), to: "hf" });
    const back = Deno.readTextFileSync(join(folder, "hf/tokenizer_config.json"));
    assert.deepEqual(JSON.parse(back).chat_template, chat_template);
  });
});

const llama2 = join(FIXTURES, "tokenizer/llama2/tokenizer.model");
testWith(
  [llama2],
  "Llama 2's tokenizer.model is copied to Meta's format byte by byte",
  async () => {
    await withFolder(async (folder) => {
      const model = join(folder, "model");
      await makeModel(model, { config: { vocab_size: 32000 } });
      Deno.copyFileSync(llama2, join(model, "tokenizer.model"));
      const path = join(folder, "meta");
      await converted(await openCheckpoint(model), { path, to: "meta" });
      assert.deepEqual(read(path, "tokenizer.model"), read(llama2));
    });
  },
);

const llama3 = join(FIXTURES, "tokenizer/llama3/tokenizer.model");
const golden3 = join(FIXTURES, "tokenizer/golden-llama3.jsonl");
testWith(
  [llama3, golden3],
  "Llama 3's ranks come back byte by byte through GGUF and Hugging Face",
  async () => {
    const vectors = Deno.readTextFileSync(golden3).trimEnd().split("\n")
      .map((line) => JSON.parse(line) as { op: string; text?: string; ids: number[] })
      .filter(({ op, text }) => op === "encode" && text !== undefined && !text.includes("<|"))
      .filter((_, i) => i % 5 === 0);
    await withFolder(async (folder) => {
      const model = join(folder, "0");
      const tokens = { bos_token_id: 128000, eos_token_id: [128001, 128008, 128009] };
      const config = { vocab_size: 128256, ...tokens };
      let last = await makeModel(model, { config, dtype: "bf16" });
      Deno.copyFileSync(llama3, join(model, "tokenizer.model"));
      last = await openCheckpoint(model);
      for (const [i, to] of (["gguf", "hf", "meta"] as const).entries()) {
        last = await converted(last, { path: join(folder, `${i + 1}`), to });
        assert.deepEqual(new Set(last.config.eosTokenIds), new Set(tokens.eos_token_id));
        if (to === "meta") continue;
        const tokenizer = await openTokenizer(last.tokenizerPath!);
        for (const { text, ids } of vectors) {
          assert.deepEqual([...tokenizer.encode(text!)], ids, text);
        }
      }
      assert.deepEqual(read(folder, "3", "tokenizer.model"), read(llama3));
      const file = await readGguf(join(folder, "1"));
      const id = (name: string) => ggufInteger(file, `tokenizer.ggml.${name}_token_id`);
      assert.deepEqual(["bos", "eos", "eot", "eom"].map(id), [128000, 128001, 128009, 128008]);
      assert.equal(ggufString(file, "tokenizer.ggml.pre"), "llama-bpe");
    });
  },
);

const stories = join(MODELS, "stories260K");
testWith(
  [stories],
  "stories260K comes back from GGUF with its numbers and its tokenizer",
  async () => {
    await withFolder(async (folder) => {
      const tokenizer = join(stories, "tok512.bin");
      const bin = await openCheckpoint(join(stories, "stories260K.bin"));
      const path = join(folder, "x.gguf");
      const gguf = await converted(bin, { path, to: "gguf", tokenizer });
      const back = join(folder, "back.bin");
      await convertCheckpoint(gguf, { path: back, to: "llama2c" });
      assert.deepEqual(read(folder, "tokenizer.bin"), read(tokenizer));
      // The file ends in rotary tables, which no reader takes and whose last digits depend on the maker.
      const weights = 28 + 4 * 260_032;
      const [is, wanted] = [read(back), read(stories, "stories260K.bin")];
      assert.equal(is.length, wanted.length);
      assert.deepEqual(is.subarray(0, weights), wanted.subarray(0, weights));
    });
  },
);
