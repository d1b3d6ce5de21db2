/**
 * Trains a tiny model on a machine with GPUs in every way that ranks share work, and compares each with
 * one rank: virtual ranks on the first GPU, then a process for each of N GPUs, those that are there.
 *
 *     deno run -A scripts/gpu_ranks.ts
 *
 * Ends with 1 where a way differs or fails. Losses may differ by what float32 sums of another order do
 * (tests/train/tolerances.ts); `data` over processes has the bits of `data` over virtual ranks.
 *
 * @module
 */

import { join } from "node:path";
import { cudaDevices } from "../lib/backend/cuda.ts";
import { asError } from "../lib/base/errors.ts";
import { type MetricsRow, readMetrics } from "../lib/train/metrics.ts";
import { runPaths } from "../lib/train/run_folder.ts";
import { assertSameRun } from "../tests/train/tolerances.ts";
import { inTrainingFolder, type TrainingFolder } from "../tests/cli/train_fixture.ts";

const CONFIG = `
preset = "debug"
steps = 4
seq-len = 32
batch-tokens = 256
micro-batch = 2
sample-every = 999
[model]
hidden-size = 32
intermediate-size = 48
num-hidden-layers = 2
head-dim = 8
`;

/** Ways by which ranks share work. */
const WAYS: readonly (readonly string[])[] = [
  ["--virtual-ranks", "2", "--mesh", "data=2"],
  ["--virtual-ranks", "4", "--mesh", "data=4"],
  ["--virtual-ranks", "2", "--mesh", "shard=2", "--zero", "1"],
  ["--virtual-ranks", "2", "--mesh", "shard=2", "--zero", "2", "--reduce", "tree"],
  ["--virtual-ranks", "2", "--mesh", "shard=2", "--zero", "3", "--reduce", "tree"],
  ["--virtual-ranks", "2", "--mesh", "tensor=2"],
  ["--virtual-ranks", "2", "--mesh", "pipeline=2"],
  ["--virtual-ranks", "4", "--mesh", "data=2,tensor=2"],
];

async function train(
  { folder, tokenizer, text }: TrainingFolder,
  name: string,
  flags: readonly string[],
): Promise<MetricsRow[]> {
  const config = join(folder, "ranks.toml");
  await Deno.writeTextFile(config, CONFIG);
  const paths = runPaths(join(folder, name));
  const files = ["--out", paths.run, "--config", config, "--tokenizer", tokenizer, "--text", text];
  const main = new URL("../cli/main.ts", import.meta.url).pathname;
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", main, "train", ...files, "--backend", "cuda", ...flags],
  }).output();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr).trim());
  return readMetrics(paths.metrics);
}

let failed = 0;
await inTrainingFolder(async (folder) => {
  const one = await train(folder, "one", []);
  const gpus = cudaDevices(Deno.env.get("LLAMERO_CUDA"));
  const processes = [2, 4, 8].filter((count) => count <= gpus);
  const ways = [...WAYS, ...processes.map((count) => ["--gpus", String(count)])];
  for (const [place, way] of ways.entries()) {
    try {
      assertSameRun(await train(folder, String(place), way), one);
      console.log(`ok    ${way.join(" ")}`);
    } catch (thrown) {
      failed++;
      console.log(`FAIL  ${way.join(" ")}: ${asError(thrown).message}`);
    }
  }
  const rest = processes.length === 0 ? `; ${gpus} GPU here, so none in processes` : "";
  console.log(`${ways.length - failed} ways as one rank, ${failed} not${rest}`);
});
if (failed > 0) Deno.exit(1);
