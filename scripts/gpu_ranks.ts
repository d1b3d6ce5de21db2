/**
 * Trains a tiny model on a machine with GPUs in every way that ranks share work, and compares each with
 * one rank: virtual ranks on the first GPU, then a process for each GPU, on meshes for which there are
 * enough.
 *
 *     deno run -A scripts/gpu_ranks.ts
 *
 * Ends with 1 where a way differs or fails. Losses may differ by what float32 sums of another order do
 * (tests/train/tolerances.ts).
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

/** Ways by which ranks share work, and what their mesh needs besides. */
const MESHES: readonly (readonly [ranks: number, mesh: string, ...flags: string[]])[] = [
  [2, "data=2"],
  [4, "data=4"],
  [2, "shard=2", "--zero", "1"],
  [2, "shard=2", "--zero", "2", "--reduce", "tree"],
  [2, "shard=2", "--zero", "3", "--reduce", "tree"],
  [2, "tensor=2"],
  [2, "pipeline=2"],
  [4, "data=2,tensor=2"],
  [4, "tensor=2,pipeline=2"],
  [4, "shard=2,pipeline=2", "--zero", "3"],
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
  const shared = MESHES.map((
    [ranks, mesh, ...flags],
  ) => ["--virtual-ranks", String(ranks), "--mesh", mesh, ...flags]);
  const apart = MESHES.filter(([ranks]) => ranks <= gpus).map((
    [ranks, mesh, ...flags],
  ) => ["--gpus", String(ranks), "--mesh", mesh, ...flags]);
  const ways = [...shared, ...apart];
  for (const [place, way] of ways.entries()) {
    try {
      assertSameRun(await train(folder, String(place), way), one);
      console.log(`ok    ${way.join(" ")}`);
    } catch (thrown) {
      failed++;
      console.log(`FAIL  ${way.join(" ")}: ${asError(thrown).message}`);
    }
  }
  const rest = apart.length === 0 ? `; ${gpus} GPU here, so none in processes` : "";
  console.log(`${ways.length - failed} ways as one rank, ${failed} not${rest}`);
});
if (failed > 0) Deno.exit(1);
