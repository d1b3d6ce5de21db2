import assert from "node:assert/strict";
import { KERNELS } from "../../kernels/abi.ts";
import type { KernelName } from "../../lib/backend/kernels.generated.ts";
import { assertClose, assertSameBits } from "../numeric.ts";
import { onBackends } from "../on_backends.ts";
import { CASES, ELSEWHERE, type KernelCase, type KernelEntry } from "./cases.ts";
import { argumentsOf, decode, hasRows, rounded, rowOf, run, valuesOf } from "./harness.ts";

const TABLE = Object.entries(CASES) as [KernelName, KernelEntry][];

function title(kernel: KernelName, { sizes, types }: KernelCase): string {
  const parts = Object.entries({ ...sizes, ...types }).map(([name, value]) => `${name} ${value}`);
  return `${kernel} with ${parts.join(", ")}`;
}

Deno.test("kernels: every kernel of the ABI has cases, or a reason why not", () => {
  const covered = new Set([...Object.keys(CASES), ...Object.keys(ELSEWHERE)]);
  assert.deepEqual(Object.keys(KERNELS).filter((name) => !covered.has(name)), []);
  assert.deepEqual([...covered].filter((name) => !(name in KERNELS)), []);
});

for (const [kernel, entry] of TABLE) {
  onBackends(`kernels: ${kernel} agrees with double precision`, async ({ open }) => {
    using opened = await open(1);
    for (const one of entry.cases) {
      const made = argumentsOf(kernel, { entry, one });
      const results = run(opened.backend, kernel, { made, scalars: one.sizes });
      for (const [name, truth] of Object.entries(entry.results)) {
        // An optional result that the case does not ask for.
        if (!(name in made)) continue;
        const { dtype, shape } = made[name]!;
        // A narrow result is compared with the truth as its type holds it.
        const want = rounded(dtype, truth(valuesOf(made), one.sizes));
        const got = decode(dtype, results[name]!);
        const what = `${title(kernel, one)}: ${name}`;
        const ofLargest = one.tolerance ?? entry.tolerance;
        assertClose([got, want], { what, shape, ofLargest });
      }
    }
  }, { gpu: true });

  onBackends(`kernels: ${kernel} gives the same bits with 1, 2 and 3 threads`, async ({ open }) => {
    using one = await open(1);
    using two = await open(2);
    using three = await open(3);
    for (const each of entry.cases) {
      const made = argumentsOf(kernel, { entry, one: each });
      const want = run(one.backend, kernel, { made, scalars: each.sizes });
      for (const { backend } of [two, three]) {
        const got = run(backend, kernel, { made, scalars: each.sizes });
        for (const [name, bytes] of Object.entries(want)) {
          const what = `${title(kernel, each)}: ${name} with ${backend.info.threads} threads`;
          assertSameBits([got[name]!, bytes], what);
        }
      }
    }
  });

  if (entry.coupled || !Object.keys(entry.results).every((name) => hasRows(kernel, name))) continue;
  onBackends(`kernels: ${kernel} gives a row the same bits alone as among others`, async (on) => {
    using opened = await on.open(1);
    for (const each of entry.cases) {
      if (each.interleaved) continue;
      const made = argumentsOf(kernel, { entry, one: each });
      const together = run(opened.backend, kernel, { made, scalars: each.sizes });
      const rows = each.sizes.rows!;
      for (const row of new Set([0, 1, rows >> 1, rows - 2, rows - 1])) {
        if (row < 0 || row >= rows) continue;
        const sizes = { ...each.sizes, rows: 1 };
        const alone = run(opened.backend, kernel, {
          made: rowOf(kernel, made, row),
          scalars: sizes,
        });
        for (const [name, bytes] of Object.entries(together)) {
          const size = bytes.length / rows;
          const want = bytes.slice(row * size, (row + 1) * size);
          assertSameBits([alone[name]!, want], `${title(kernel, each)}: ${name}, row ${row}`);
        }
      }
    }
  }, { gpu: true });
}
