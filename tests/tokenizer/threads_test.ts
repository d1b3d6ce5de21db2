import { deepStrictEqual } from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { onBackends } from "../on_backends.ts";
import { digestOf, HAS_VECTORS, packLines, TEXTS, TOKENIZERS } from "./vectors.ts";

/** One of each kind of tokenizer. */
const FILES = [
  "llama2/tokenizer.model",
  "llama3/tokenizer.model",
  "hf/llama2.legacy.tokenizer.json.gz",
  "spm-trained/mix-default-4096.model",
];

/** English, with spaces to cut at, and Japanese, without. */
async function twoLanguages(): Promise<Uint8Array<ArrayBuffer>> {
  const names = ["wikitext2-test.txt", "aozora-neko-ja.txt"];
  const parts = await Promise.all(names.map((name) => Deno.readFile(join(TEXTS, name))));
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

const missing = HAS_VECTORS.find((path) => !existsSync(path));
const options = { ignored: missing === undefined ? undefined : `no ${missing}` };

onBackends(
  "three threads give the ids that one gives, of a whole file and of its lines",
  async (on) => {
    using one = await on.open(1);
    using three = await on.open(3);
    const text = await twoLanguages();
    const lines = packLines(text);
    for (const file of FILES) {
      const alone = await openTokenizer(join(TOKENIZERS, file), one);
      const together = await openTokenizer(join(TOKENIZERS, file), three);
      for (const special of ["text", "parse"] as const) {
        const [a, b] = [alone, together].map((tokenizer) => ({
          whole: tokenizer.encode(text, { special }),
          lines: tokenizer.encodeBatch(lines, { special }),
        }));
        deepStrictEqual(await digestOf(b!.whole), await digestOf(a!.whole), `${file} ${special}`);
        deepStrictEqual(await digestOf(b!.lines.ids), await digestOf(a!.lines.ids), file);
        deepStrictEqual(await digestOf(b!.lines.counts), await digestOf(a!.lines.counts), file);
      }
    }
  },
  options,
);

onBackends(
  "three threads give a stream the ids that one gives the whole, wherever it is cut",
  async (on) => {
    using three = await on.open(3);
    const text = await twoLanguages();
    for (const file of FILES) {
      const tokenizer = await openTokenizer(join(TOKENIZERS, file), three);
      for (const special of ["text", "parse"] as const) {
        const whole = tokenizer.encode(text, { special });
        // Parts of more and of less than threads share.
        for (const size of [600_000, 999_999]) {
          const encoder = tokenizer.encoder({ special });
          const parts: Uint32Array[] = [];
          for (let at = 0; at < text.length; at += size) {
            parts.push(encoder.push(text.subarray(at, at + size)));
          }
          parts.push(encoder.end());
          const ids = Uint32Array.from(parts.flatMap((part) => [...part]));
          deepStrictEqual(await digestOf(ids), await digestOf(whole), `${file} ${special} ${size}`);
        }
      }
      tokenizer.close();
    }
  },
  options,
);

onBackends(
  "names of tokens stay whole in a text that threads share out",
  async (on) => {
    using two = await on.open(2);
    const named = [
      ["llama3/tokenizer.model", "<|begin_of_text|>"],
      ["llama2/tokenizer.model", "</s>"],
      ["hf/llama2.legacy.tokenizer.json.gz", "</s>"],
    ] as const;
    for (const [file, name] of named) {
      const tokenizer = await openTokenizer(join(TOKENIZERS, file), two);
      const [id] = tokenizer.encode(name, { special: "parse" }).slice(-1);
      const words = `${name}word`.repeat(40_000);
      const found = tokenizer.encode(words, { special: "parse" }).filter((other) => other === id);
      deepStrictEqual([file, found.length], [file, 40_000]);
      tokenizer.close();
    }
  },
  options,
);
