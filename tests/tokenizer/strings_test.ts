import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { join } from "node:path";
import { LlameroError } from "../../lib/base/errors.ts";
import { openBackend } from "../../lib/backend/open.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { testWith } from "../fixtures.ts";
import { onBackends } from "../on_backends.ts";
import { KINDS, NEEDS_VECTORS, TEXTS, TOKENIZERS } from "./vectors.ts";

/** Strings that are turned into bytes part after part while threads begin with the first ones. */
function longStrings(): string[] {
  const text = ["tinyshakespeare.txt", "aozora-neko-ja.txt", "runs-synthetic.txt"].map(
    (name) => Deno.readTextFileSync(join(TEXTS, name)),
  ).join("</s><|eot_id|>");
  return [
    text,
    // Halves of pairs on both sides of where parts end, and no place where a thread may cut.
    ..."ab".split("").map((before) =>
      before.repeat(before.charCodeAt(0) % 2) + "😀".repeat(200_000)
    ),
    "\ud83d".repeat(150_000),
    "0".repeat(600_000),
  ];
}

onBackends("a long string gives the ids of its bytes, with any number of threads", async (on) => {
  for (const threads of [1, 2, 3]) {
    using opened = await on.open(threads);
    await opened.backend.ready();
    for (const file of KINDS) {
      const tokenizer = await openTokenizer(join(TOKENIZERS, file), opened);
      for (const text of longStrings()) {
        const bytes = new TextEncoder().encode(text);
        for (const special of ["text", "parse"] as const) {
          const ids = tokenizer.encode(text, { special });
          deepStrictEqual(ids, tokenizer.encode(bytes, { special }), `${file} ${special}`);
        }
      }
      tokenizer.close();
    }
  }
}, NEEDS_VECTORS);

onBackends(
  "a long string with a token that is refused leaves the tokenizer as it was",
  async (on) => {
    using opened = await on.open(2);
    const tokenizer = await openTokenizer(join(TOKENIZERS, "llama3/tokenizer.model"), opened);
    const text = `${"word ".repeat(100_000)}<|eot_id|>`;
    const refused = (error: unknown): boolean =>
      error instanceof LlameroError && error.message.includes("at byte 500000,");
    throws(() => tokenizer.encode(text, { special: "refuse" }), refused);
    strictEqual(tokenizer.encode(text, { special: "parse" }).at(-1), 128_009);
    tokenizer.close();
  },
  NEEDS_VECTORS,
);

testWith(
  [TOKENIZERS, TEXTS],
  "long strings make WebAssembly start its workers, as bytes do",
  async () => {
    const { Worker: Original } = globalThis;
    let started = 0;
    globalThis.Worker = class extends Original {
      constructor(...given: ConstructorParameters<typeof Worker>) {
        super(...given);
        started++;
      }
    };
    try {
      const backend = await openBackend({ backend: "wasm", threads: 2 });
      const tokenizer = await openTokenizer(join(TOKENIZERS, "llama2/tokenizer.model"), {
        backend,
      });
      const text = Deno.readTextFileSync(join(TEXTS, "tinyshakespeare.txt")).repeat(8);
      tokenizer.encode(text);
      strictEqual(started, 1);
      tokenizer.close();
      await backend.ready();
      backend.close();
    } finally {
      globalThis.Worker = Original;
    }
  },
);
