import { deepStrictEqual, ok, rejects } from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { asTokenizerJson } from "../../lib/tokenizer/as_tokenizer_json.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { SPLIT_PATTERNS } from "../../lib/tokenizer/split_patterns.ts";
import { onBackends } from "../on_backends.ts";
import { TOKENIZERS } from "./vectors.ts";

const LLAMA3_JSON = join(TOKENIZERS, "hf/llama3.tokenizer.json.gz");
const options = { ignored: existsSync(LLAMA3_JSON) ? undefined : `no ${LLAMA3_JSON}` };

/** Patterns as JavaScript's regular expressions; its `\s` is not what tokenizers' is. */
const SPACE = "\\p{White_Space}";
const WORDS = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
const REST = ` ?[^${SPACE}\\p{L}\\p{N}]+[\\r\\n]*|${SPACE}*[\\r\\n]+|${SPACE}+(?!\\P{White_Space})`;
const ANY_CASE = "'(?:[sSſ]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])";
const GPT2 =
  `'(?:s|t|re|ve|m|ll|d)| ?\\p{L}+| ?\\p{N}+| ?[^${SPACE}\\p{L}\\p{N}]+|${SPACE}+(?!\\P{White_Space})|${SPACE}+`;

const byRegex = (pattern: string) => (text: string): string[] =>
  text.match(new RegExp(pattern, "gu")) ?? [];

/** What each pattern splits a text into, in the order of SPLIT_PATTERNS. */
const REFERENCES: readonly ((text: string) => string[])[] = [
  byRegex(`${ANY_CASE}|${WORDS}|\\p{N}{1,3}|${REST}|${SPACE}+`),
  byRegex(`${ANY_CASE}|${WORDS}|\\p{N}|${REST}|${SPACE}+`),
  byRegex(GPT2),
  (text) => text.split(/(\p{N})/u).flatMap(byRegex(GPT2)),
];

const SAMPLES = [
  "Hello  world, it's 12345 o'clock. DON'T 'tis 'S ''s we'll\n\n\r\n  x \t y ",
  "  a   1  2 34 b\u0085\u0085c\u00a0\u00a0d \u30007 \n",
  ".word ..word \tword\n word -1 (x) http://a.b/c?d=e#f",
  "日本語 123語 ½Ⅷ٣ éa\u0301 ſ'ſ '\u017f 😀😀 \u200bx",
  " '",
  "'",
  "'r",
  "'l'll 'v've",
  "    ",
  " 1",
  "1 ",
];

function concat(parts: readonly Uint32Array[]): number[] {
  return parts.flatMap((part) => [...part]);
}

async function withSteps<T>(steps: unknown, use: (path: string) => Promise<T>): Promise<T> {
  const json = JSON.parse(new TextDecoder().decode(gunzipSync(Deno.readFileSync(LLAMA3_JSON))));
  json.pre_tokenizer = steps;
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "tokenizer.json");
    await Deno.writeTextFile(path, JSON.stringify(json));
    return await use(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

SPLIT_PATTERNS.forEach((pattern, i) => {
  onBackends(`text is split by ${pattern.name}, in parts too`, async (on) => {
    using opened = await on.open();
    await withSteps({ type: "Sequence", pretokenizers: pattern.steps }, async (path) => {
      const tokenizer = await openTokenizer(path, opened);
      for (const text of SAMPLES) {
        const pieces = REFERENCES[i]!(text);
        deepStrictEqual(pieces.join(""), text);
        const ids = [...tokenizer.encode(text)];
        const alone = concat(pieces.map((piece) => tokenizer.encode(piece)));
        deepStrictEqual(ids, alone, `${JSON.stringify(text)} as ${JSON.stringify(pieces)}`);
        const bytes = new TextEncoder().encode(text);
        for (let at = 0; at <= bytes.length; at++) {
          const encoder = tokenizer.encoder();
          const parts = [encoder.push(bytes.subarray(0, at)), encoder.push(bytes.subarray(at))];
          deepStrictEqual(
            concat([...parts, encoder.end()]),
            ids,
            `${JSON.stringify(text)} at ${at}`,
          );
        }
      }
      const written = JSON.parse(new TextDecoder().decode(asTokenizerJson(tokenizer.definition)));
      const steps: Record<string, unknown>[] = written.pre_tokenizer.pretokenizers;
      ok(
        pattern.steps.every((step, i) =>
          Object.entries(step).every(([key, value]) =>
            JSON.stringify(steps[i]![key]) === JSON.stringify(value)
          )
        ),
      );
      tokenizer.close();
    });
  }, options);
});

Deno.test({
  name: "a tokenizer.json that splits text in another way is refused",
  ignore: options.ignored !== undefined,
  fn: async () => {
    const level = { type: "ByteLevel", add_prefix_space: true, use_regex: true };
    // Every digit would get a space of its own.
    const steps = [{ type: "Digits", individual_digits: true }, level];
    await withSteps({ type: "Sequence", pretokenizers: steps }, async (path) => {
      await rejects(openTokenizer(path), /splits text by none of Llama 3's pattern, /);
    });
  },
});
