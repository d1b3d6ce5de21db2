import assert from "node:assert/strict";
import { NO_HOSTS, openHosts } from "../comm/mpi/hosts.ts";
import { launch } from "../comm/mpi/launch.ts";
import type { OverlapInput, run } from "./overlap_program.ts";

const PROGRAM = new URL("./overlap_program.ts", import.meta.url);
/** Eight megabytes: a third of a second on this link, and half of one to compute. */
const SHAPE = { parameters: 8, count: 250_000, computeMs: 60, steps: 6 } as const;
const LINK = "200mbit";

async function waited(launcher: readonly string[], bucketBytes: number): Promise<number> {
  const input: OverlapInput = { ...SHAPE, bucketBytes };
  const { ends } = await launch<ReturnType<typeof run>>(PROGRAM, { ranks: 2, launcher, input });
  for (const { code, said, result } of ends) {
    assert.equal(code, 0, said);
    assert.ok(result!.right);
  }
  return Math.max(...ends.map(({ result }) => result!.waitedMs));
}

const name = "gradients that travel while others are computed hide more than half of a slow link";
if (NO_HOSTS !== undefined) {
  Deno.test({ name: `${name} (ignored: ${NO_HOSTS})`, ignore: true, fn: () => {} });
} else {
  Deno.test(name, async () => {
    using hosts = openHosts();
    assert.ok(hosts.slow(LINK), "tc can neither netem nor tbf");
    const inBuckets = await waited(hosts.launcher, 4 * SHAPE.count);
    const inOnePiece = await waited(hosts.launcher, 4 * SHAPE.count * SHAPE.parameters);
    // Eight megabytes at 25 a second, in both directions at once.
    assert.ok(inOnePiece > 250, `the link is slow: ${inOnePiece} ms`);
    assert.ok(inBuckets <= inOnePiece / 2, `${inBuckets} ms of ${inOnePiece} ms stayed`);
  });
}
