/**
 * Measures encoding against the fastest known tokenizers, side by side in one process:
 *
 *     deno run -A scripts/bench/tokenize.ts [--rounds N] [--limits]
 *
 * Texts and vocabularies come from the fixtures (`LLAMERO_FIXTURES`, default ../shared/fixtures), the
 * peers from npm into a folder that is removed. "fresh" is the first pass over a text after another
 * 2 MB, so that code is warm and the text is new; "again" the best of further passes. All on one
 * thread; every contender takes its turn in each round, and the best round counts. "ours" is our
 * native rate as a multiple of the row's. With `--limits` no peers are needed: it measures decoding,
 * loading, the worst inputs and a second thread.
 *
 * @module
 */

import { join } from "node:path";
import { openBackend } from "../../lib/backend/open.ts";
import { LLAMA3_PATTERN } from "../../lib/tokenizer/llama3.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { FIXTURES } from "../../tests/fixtures.ts";
import { reportLimits } from "./tokenize_limits.ts";
import {
  type Contender,
  type Entry,
  installPeers,
  llama3Peers,
  sentencePiecePeers,
  spmEncodeRate,
} from "./tokenize_peers.ts";

const LLAMA2 = join(FIXTURES, "tokenizer/llama2/tokenizer.model");
const LLAMA3 = join(FIXTURES, "tokenizer/llama3/tokenizer.model");
const JSON_FILES = {
  "Llama 2, tokenizer.json": join(FIXTURES, "tokenizer/hf/llama2.legacy.tokenizer.json.gz"),
  "Llama 3, tokenizer.json": join(FIXTURES, "tokenizer/hf/llama3.tokenizer.json.gz"),
};
const DEFAULT_ROUNDS = 5;
const AGAIN = 3;

async function read(...names: string[]): Promise<string> {
  const parts = await Promise.all(
    names.map((name) => Deno.readTextFile(join(FIXTURES, "text", name))),
  );
  return parts.join("");
}

const TEXTS: Readonly<Record<string, string>> = {
  English: await read("tinyshakespeare.txt"),
  Japanese: await read("aozora-neko-ja.txt"),
  mixed: await read("udhr-multilingual.txt", "wikitext2-test.txt", "gutenberg-botchan.txt"),
};
const OTHER: string = await read(
  "stackexchange-matheducators-Posts.xml",
  "wikipedia-en-snippet.xml",
  "hott-basics.tex",
  "hott-introduction.tex",
);

/** Ours on one backend; `lines` encodes each line for itself, in one batch. */
function ours(backend: "native" | "wasm", model: string, lines: boolean): Entry {
  return {
    name: `llamero ${backend}`,
    open: async (): Promise<Contender> => {
      const opened = await openBackend({ backend, threads: 1 });
      const tokenizer = await openTokenizer(model, { backend: opened });
      const encoder = new TextEncoder();
      return {
        encode: (text) => {
          if (!lines) return tokenizer.encode(text).length;
          const parts = text.split("\n").filter((line) => line !== "");
          const ends = new Uint32Array(parts.length);
          const bytes = new Uint8Array(text.length * 3);
          let length = 0;
          parts.forEach((part, i) => {
            length += encoder.encodeInto(part, bytes.subarray(length)).written;
            ends[i] = length;
          });
          return tokenizer.encodeBatch({ bytes: bytes.subarray(0, length), ends }).ids.length;
        },
        close: () => opened.close(),
      };
    },
  };
}

/** A peer that encodes line by line. */
function byLine(entry: Entry): Entry {
  return {
    name: entry.name,
    open: async () => {
      const contender = await entry.open();
      return {
        encode: (text) => {
          let count = 0;
          for (const line of text.split("\n")) if (line !== "") count += contender.encode(line);
          return count;
        },
        close: () => contender.close(),
      };
    },
  };
}

/** Best MB/s, fresh and again, of every contender on every text. */
async function race(entries: readonly Entry[], rounds: number): Promise<Map<string, number[]>> {
  const best = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    for (const [text, content] of Object.entries(TEXTS)) {
      const megabytes = new TextEncoder().encode(content).length / 1e6;
      for (const entry of entries) {
        const contender = await entry.open();
        contender.encode(OTHER);
        const rates = best.get(`${text}\t${entry.name}`) ?? [0, 0, 0];
        for (let pass = 0; pass <= AGAIN; pass++) {
          const start = performance.now();
          rates[2] = contender.encode(content);
          const rate = megabytes / (performance.now() - start) * 1e3;
          const column = pass === 0 ? 0 : 1;
          rates[column] = Math.max(rates[column]!, rate);
        }
        best.set(`${text}\t${entry.name}`, rates);
        contender.close();
      }
    }
  }
  return best;
}

function report(title: string, best: ReadonlyMap<string, number[]>): void {
  console.log(`\n${title}\ntext      tokenizer           fresh   again  MB/s    ours     tokens`);
  for (const [key, [fresh, again, tokens]] of best) {
    const [text, name] = key.split("\t");
    const numbers = [fresh, again].map((rate) => rate!.toFixed(1).padStart(8)).join("");
    const ours = best.get(`${text}\tllamero native`)![0]! / fresh!;
    const row = `${text!.padEnd(10)}${name!.padEnd(17)}${numbers}`;
    console.log(`${row}${ours.toFixed(2).padStart(13)}x${String(tokens).padStart(11)}`);
  }
}

const at = Deno.args.indexOf("--rounds");
const rounds = at < 0 ? DEFAULT_ROUNDS : Number(Deno.args[at + 1]);
if (Deno.args.includes("--limits")) {
  const files = { "Llama 2": LLAMA2, "Llama 3": LLAMA3, ...JSON_FILES };
  await reportLimits(files, TEXTS);
  Deno.exit();
}
const folder = await Deno.makeTempDir({ prefix: "llamero-peers-" });
try {
  await installPeers(folder);
  const llama3 = [
    ours("native", LLAMA3, false),
    ours("wasm", LLAMA3, false),
    ...llama3Peers(folder, LLAMA3, LLAMA3_PATTERN),
  ];
  report("Llama 3, whole texts", await race(llama3, rounds));
  const llama2 = [
    ours("native", LLAMA2, true),
    ours("wasm", LLAMA2, true),
    ...sentencePiecePeers(folder, LLAMA2).map(byLine),
  ];
  report("Llama 2, line by line", await race(llama2, rounds));
  for (const [text, content] of Object.entries(TEXTS)) {
    const bytes = new TextEncoder().encode(content);
    const rate = await spmEncodeRate(bytes, { model: LLAMA2, folder });
    console.log(
      `${text.padEnd(10)}spm_encode (C++) ${rate?.toFixed(1).padStart(8) ?? "not there"}`,
    );
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
