import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../on_transports.ts";
import { numbersOf } from "../rank_programs.ts";
import { type Hosts, NO_HOSTS, openHosts } from "./hosts.ts";
import { launch } from "./launch.ts";

const PROGRAMS = new URL("../rank_programs.ts", import.meta.url);

/** Registers a test that needs several hosts. */
function onHosts(name: string, body: (hosts: Hosts) => Promise<void>): void {
  if (NO_HOSTS !== undefined) {
    return Deno.test({ name: `${name} (ignored: ${NO_HOSTS})`, ignore: true, fn: () => {} });
  }
  Deno.test(name, async () => {
    using hosts = openHosts();
    await body(hosts);
  });
}

/** Waits until something holds. */
async function until(what: string, holds: () => boolean): Promise<void> {
  for (let waited = 0; waited < 60_000; waited += 20) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`${what} did not happen`);
}

onHosts("ranks of two hosts get the tree's sum", async ({ launcher }) => {
  const { ends } = await launch<Float32Array[]>(PROGRAMS, {
    ...{ ranks: 3, launcher, input: { program: "allReduce", lengths: [50_003] } },
  });
  const [a, b, c] = [0, 1, 2].map((rank) => numbersOf(rank, 50_003));
  const wanted = a!.map((value, i) => Math.fround(Math.fround(value + b![i]!) + c![i]!));
  for (const { code, said, result } of ends) {
    assert.equal(code, 0, said);
    assert.deepEqual(result![0], wanted);
  }
});

onHosts("ranks on both sides of a link that is cut end, and name one beyond it", async (hosts) => {
  const { ends } = await launch(PROGRAMS, {
    ...{ ranks: 4, launcher: hosts.launcher, input: { program: "endless" } },
    world: { silenceMs: 3000, heartbeatMs: 300 },
    async meanwhile(folder) {
      const all = (name: string) => () =>
        [0, 1, 2, 3].every((rank) => existsSync(join(folder, `${rank}.${name}`)));
      await until("the beginning", all("pid"));
      hosts.cut();
      try {
        await until("the end of all ranks", all("code"));
      } finally {
        // The launcher has a process on the other side too, and waits much longer for it.
        hosts.mend();
      }
    },
  });
  // By turns: 0 and 2 are on the first host, 1 and 3 on the second.
  ends.forEach((end, rank) => {
    assert.equal(end.code, 1, end.said);
    const beyond = rank % 2 === 0 ? "[13]" : "0";
    assert.match(messageOf(end)!, new RegExp(`rank ${beyond} has been silent for 3 s`));
  });
});
