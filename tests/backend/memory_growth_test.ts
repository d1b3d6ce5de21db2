import assert from "node:assert/strict";
import { openBackend } from "../../lib/backend/open.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";

/** Tokens that are bytes: what is encoded takes memory on all threads. */
const RANKS = Array.from(
  { length: 256 },
  (_, byte) => `${btoa(String.fromCharCode(byte))} ${byte}\n`,
).join("");

Deno.test("threads that take memory in WebAssembly at the same time know of each other's", async () => {
  const file = await Deno.makeTempFile({ suffix: ".model" });
  await Deno.writeTextFile(file, RANKS);
  const lines = Array.from({ length: 40_000 }, (_, i) => `${i} times ${i} is ${i * i}\n`);
  const bytes = new TextEncoder().encode(lines.join(""));
  try {
    // A thread that copied into memory that it had not heard of ended, with the allocator locked.
    for (let round = 0; round < 20; round++) {
      const backend = await openBackend({ backend: "wasm", threads: 4 });
      await backend.ready();
      const tokenizer = await openTokenizer(file, { backend });
      const { ids } = tokenizer.encodeBatch({ bytes, ends: Uint32Array.of(bytes.length) });
      assert.equal(ids.length, bytes.length);
      backend.close();
    }
  } finally {
    await Deno.remove(file);
  }
});
