import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { FIXTURES, MODELS, testWith } from "../fixtures.ts";
import { storiesTokenizerBin } from "./stories_tokenizer.ts";

const STORIES = join(MODELS, "stories260K");
const LLAMA2 = join(FIXTURES, "tokenizer/llama2/tokenizer.model");

testWith([STORIES], "a llama2.c tokenizer encodes as run.c does", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "tok512.bin");
    await Deno.writeFile(path, await storiesTokenizerBin());
    const tokenizer = await openTokenizer(path, { vocabSize: 512 });
    const expected = JSON.parse(await Deno.readTextFile(join(STORIES, "expected.json")));
    for (const { text, ids } of expected.encode) {
      deepStrictEqual([...tokenizer.encode(text, { bos: true })], ids, JSON.stringify(text));
      strictEqual(tokenizer.decode(ids), text);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

testWith([LLAMA2], "a SentencePiece model encodes and decodes short texts", async () => {
  const tokenizer = await openTokenizer(LLAMA2);
  strictEqual(tokenizer.vocabSize, 32000);
  deepStrictEqual([...tokenizer.encode("Hello world")], [15043, 3186]);
  strictEqual(tokenizer.decode([15043, 3186]), "Hello world");
});
