/** Every way of sharing a step, as processes and as virtual ranks: the same bits. */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { meshSize, parseMesh } from "../../lib/comm/mesh.ts";
import { readMetrics } from "../../lib/train/metrics.ts";
import { runPaths } from "../../lib/train/run_folder.ts";
import { launchLlamero, NO_MPI } from "../comm/mpi/launch.ts";
import { checkpointHashes, timeless } from "../train/run_fixture.ts";
import { runCli } from "./run_cli.ts";
import { inTrainingFolder } from "./train_fixture.ts";

const CONFIG = `
preset = "debug"
seq-len = 16
batch_tokens = 128
micro-batch = 1
[model]
hidden-size = 16
intermediate-size = 24
num-hidden-layers = 4
num-attention-heads = 4
num-key-value-heads = 2
head-dim = 4
`;

const WAYS: readonly (readonly string[])[] = [
  ["data=4"],
  ["data=2,shard=2", "--zero", "1"],
  ["shard=2", "--zero", "3", "--reduce", "tree"],
  ["tensor=2"],
  ["pipeline=2"],
  ["pipeline=2", "--pipeline-schedule", "interleaved"],
  ["data=2,pipeline=2"],
  ["data=2,tensor=2"],
  ["data=2,tensor=2,pipeline=2"],
];

for (const [mesh = "", ...flags] of WAYS) {
  const ranks = meshSize(parseMesh(mesh));
  const name = `${ranks} processes give the bits of ${ranks} virtual ranks: ${
    [mesh, ...flags].join(" ")
  }`;
  if (NO_MPI !== undefined) {
    Deno.test({ name: `${name} (ignored: ${NO_MPI})`, ignore: true, fn: () => {} });
    continue;
  }
  Deno.test(name, () =>
    inTrainingFolder(async ({ folder, tokenizer, text }) => {
      const config = join(folder, "tiny.toml");
      writeFileSync(config, CONFIG);
      const files = ["--config", config, "--tokenizer", tokenizer, "--text", text];
      const set = [...files, "--mesh", mesh, ...flags, "--steps", "3", "--threads", "1", "--quiet"];
      const [was, is] = ["virtual", "mpi"].map((name) => runPaths(join(folder, name)));
      const virtual = ["train", "--out", was!.run, ...set, "--virtual-ranks", `${ranks}`];
      const wanted = await runCli(virtual);
      assert.equal(wanted.code, 0, wanted.stderr);
      const { ends } = await launchLlamero(["train", "--out", is!.run, ...set], { ranks });
      for (const { code, said } of ends) assert.equal(code, 0, said);
      assert.deepEqual(await checkpointHashes(is!), await checkpointHashes(was!));
      assert.deepEqual(timeless(readMetrics(is!.metrics)), timeless(readMetrics(was!.metrics)));
    }));
}
