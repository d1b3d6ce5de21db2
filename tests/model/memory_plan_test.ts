import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { plannedBytes, PlannedMemory } from "../../lib/model/memory_plan.ts";

Deno.test("planned buffers lie side by side in one allocation that is given back once", () => {
  const calls: string[] = [];
  const backend = {
    alloc(bytes: number) {
      calls.push(`alloc ${bytes}`);
      return 4096;
    },
    free: (address: number) => void calls.push(`free ${address}`),
  } as unknown as Backend;
  const sizes = { a: 1, b: 64, c: 65, d: 0, e: 4 };
  strictEqual(plannedBytes(sizes), 64 + 64 + 128 + 0 + 64);
  const memory = new PlannedMemory(backend, sizes);
  deepStrictEqual(memory.at, { a: 4096, b: 4160, c: 4224, d: 4352, e: 4352 });
  memory.close();
  memory.close();
  deepStrictEqual(calls, ["alloc 320", "free 4096"]);
});
