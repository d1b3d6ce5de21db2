import { strictEqual } from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { onBackends } from "../on_backends.ts";
import { digestOf, HAS_VECTORS, TOKENIZERS } from "./vectors.ts";

/** Characters in no order; the same ones each time. */
function mixed(alphabet: string, count: number): string {
  const characters = [...alphabet];
  let state = 1;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 69069) + 1) >>> 0;
    return characters[(state >>> 16) % characters.length]!;
  }).join("");
}

const FILES = [
  "llama2/tokenizer.model",
  "hf/llama2.legacy.tokenizer.json.gz",
  "llama3/tokenizer.model",
] as const;

/**
 * Texts of few pieces, or of one, and the beginnings of the digests of their ids by sentencepiece
 * 0.2.2 (Llama 2), tokenizers 0.23.2 (Llama 2) and tiktoken 0.14.0 (Llama 3).
 */
const TEXTS: readonly (readonly [name: string, text: string, llama2: string, llama3: string])[] = [
  ["tabs", "\t".repeat(12001), "6960344dddb128b2", "55f0f5b489de13dd"],
  ["dashes", "-".repeat(12001), "c472b449c2aa18c5", "93803ae2b45593a6"],
  ["dashes and equals signs", mixed("-=", 12001), "c656ceed8d49f665", "233ff42041d49b73"],
  ["tabs and spaces", mixed("\t ", 12001), "0a61539adade38c2", "c2ea813ca2953dc1"],
  ["letters", mixed("abcdefghijklmnopqrstuvwxyz", 12001), "9315112cec80c4b0", "3021c0c19220e433"],
  ["vowels", mixed("aeiou", 12001), "82e460296c53075b", "9f113afc297a378c"],
  ["a word again and again", "tokenize".repeat(1500), "18d73990ffa31872", "24fc7527b6afc0a9"],
  ["spaces", " ".repeat(12001), "04b2f0e01ce99209", "dfa2d7f0f08515b2"],
  [
    "spaces in front of letters",
    `  ${mixed("etaoin", 12001)}`,
    "01cb3db2886689c8",
    "6812c2c6ff873d47",
  ],
  ["ideographs", mixed("日本語文字列長", 5001), "a097b51c65bbc2b1", "4c5b055de66ba0f7"],
];

const missing = HAS_VECTORS.find((path) => !existsSync(path));
const options = { ignored: missing === undefined ? undefined : `no ${missing}` };

onBackends(
  "long texts of few pieces have the ids of the references",
  async (on) => {
    using opened = await on.open(1);
    for (const file of FILES) {
      const tokenizer = await openTokenizer(join(TOKENIZERS, file), opened);
      for (const [name, text, llama2, llama3] of TEXTS) {
        const digest = await digestOf(tokenizer.encode(text));
        const wanted = file.startsWith("llama3") ? llama3 : llama2;
        strictEqual(digest.slice(0, wanted.length), wanted, `${file}: ${name}`);
      }
      tokenizer.close();
    }
  },
  options,
);
