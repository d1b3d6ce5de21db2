import assert from "node:assert/strict";
import { runLocal } from "../../lib/comm/local/run.ts";

Deno.test("every rank gets the JSON values of all, and that of one", async () => {
  const module = new URL("./json_program.ts", import.meta.url);
  const values = [{ a: [1, 2.5] }, null, "ä".repeat(3000)];
  for (const ranks of [1, 2, 3]) {
    const given = values.slice(0, ranks);
    const results = await runLocal(module, { ranks, input: { values: given } });
    for (const result of results) assert.deepEqual(result, [given, given.at(-1)]);
  }
});
