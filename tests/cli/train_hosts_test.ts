import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readMetrics } from "../../lib/train/metrics.ts";
import { runPaths } from "../../lib/train/run_folder.ts";
import { NO_HOSTS, openHosts } from "../comm/mpi/hosts.ts";
import { launchLlamero, MPIRUN } from "../comm/mpi/launch.ts";
import { checkpointHashes, timeless } from "../train/run_fixture.ts";
import { inTrainingFolder } from "./train_fixture.ts";

const name = "a run of two hosts whose link is cut ends on both, and goes on where it was saved";
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

if (NO_HOSTS !== undefined) {
  Deno.test({ name: `${name} (ignored: ${NO_HOSTS})`, ignore: true, fn: () => {} });
} else {
  Deno.test(name, () =>
    inTrainingFolder(async ({ folder, inputs }) => {
      const set = [...inputs, "--mesh", "data=2", "--steps", "40", "--save-every", "4", "--quiet"];
      const [whole, cut] = ["whole", "cut"].map((name) => runPaths(join(folder, name)));
      using hosts = openHosts();
      const launcher = ["mpirun", ...MPIRUN];
      const unbroken = await launchLlamero(["train", "--out", whole!.run, ...set], {
        ...{ ranks: 2, launcher },
      });
      for (const { code, said } of unbroken.ends) assert.equal(code, 0, said);
      const { ends } = await launchLlamero(["train", "--out", cut!.run, ...set], {
        ...{ ranks: 2, launcher: hosts.launcher },
        async meanwhile(folder, running) {
          while (running() && readMetrics(cut!.metrics).length < 10) await pause(5);
          hosts.cut();
          const ended = () => [0, 1].every((rank) => existsSync(join(folder, `${rank}.code`)));
          for (let waited = 0; !ended() && waited < 60_000; waited += 50) await pause(50);
          hosts.mend();
        },
      });
      ends.forEach(({ code, said }, rank) => {
        assert.equal(code, 1, said);
        assert.match(said, new RegExp(`rank ${1 - rank} has been silent for 15 s`));
      });
      assert.ok(readMetrics(cut!.metrics).length < 40);
      const resumed = await launchLlamero(["train", "--out", cut!.run, "--resume", "--quiet"], {
        ...{ ranks: 2, launcher: hosts.launcher },
      });
      for (const { code, said } of resumed.ends) assert.equal(code, 0, said);
      assert.deepEqual(await checkpointHashes(cut!), await checkpointHashes(whole!));
      assert.deepEqual(timeless(readMetrics(cut!.metrics)), timeless(readMetrics(whole!.metrics)));
    }));
}
