import assert from "node:assert/strict";
import { NO_HOSTS, openHosts } from "../comm/mpi/hosts.ts";
import { launch } from "../comm/mpi/launch.ts";
import type { OverlapInput, run } from "./overlap_program.ts";

const PROGRAM = new URL("./overlap_program.ts", import.meta.url);
const SHAPE = { parameters: 8, count: 600_000, computeMs: 20, steps: 3 } as const;

// How much of a slow link is hidden is a matter of speed: scripts/bench/parallel.ts --link measures it.
const name = "gradients that travel between hosts while others are computed arrive whole";
if (NO_HOSTS !== undefined) {
  Deno.test({ name: `${name} (ignored: ${NO_HOSTS})`, ignore: true, fn: () => {} });
} else {
  Deno.test(name, async () => {
    using hosts = openHosts();
    for (const parameters of [1, SHAPE.parameters]) {
      const input: OverlapInput = { ...SHAPE, bucketBytes: 4 * SHAPE.count * parameters };
      const options = { ranks: 2, launcher: hosts.launcher, input };
      const { ends } = await launch<ReturnType<typeof run>>(PROGRAM, options);
      for (const { code, said, result } of ends) {
        assert.equal(code, 0, said);
        assert.ok(result!.right);
      }
    }
  });
}
