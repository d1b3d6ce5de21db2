import { deepStrictEqual } from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { onBackends } from "../on_backends.ts";
import { digestOf, HAS_VECTORS, packLines, TEXTS, TOKENIZERS } from "./vectors.ts";

const missing = HAS_VECTORS.find((path) => !existsSync(path));
const options = { ignored: missing === undefined ? undefined : `no ${missing}` };

onBackends(
  "three threads give the ids that one gives, of a whole file and of its lines",
  async (on) => {
    using one = await on.open(1);
    using three = await on.open(3);
    const text = await Deno.readFile(join(TEXTS, "wikitext2-test.txt"));
    const lines = packLines(text);
    const files = [
      "llama2/tokenizer.model",
      "llama3/tokenizer.model",
      "hf/llama2.legacy.tokenizer.json.gz",
      "spm-trained/mix-default-4096.model",
    ];
    for (const file of files) {
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
