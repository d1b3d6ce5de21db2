import assert from "node:assert/strict";
import { join } from "node:path";
import type { StepPlan } from "../../lib/plan/step_plan.ts";
import { writeDataset } from "../data/dataset_fixture.ts";
import { runCli } from "./run_cli.ts";

const plan = (...args: string[]) => runCli(["train", "--plan", ...args]);

Deno.test("a plan for many devices finds a mesh and says why others are worse", async () => {
  const { code, stdout } = await plan(
    ...["--preset", "llama2-13b", "--hardware", "A100-80G", "--devices", "16"],
  );
  assert.equal(code, 0);
  assert.match(stdout, /mesh +\S+ +the best; [\d,]+ ways were planned/);
  assert.match(stdout, /weights \(f32\) +[\d.]+ GiB/);
  assert.match(stdout, /gradients, reduce-scatter over shards/);
  assert.match(stdout, /a step +[\d.]+ s/);
  assert.match(stdout, /Other meshes\n(.|\n)*\+[\d.]+%/);
  assert.match(stdout, /data=\S+ +does not fit: [\d.]+ GiB a device at least/);
});

Deno.test("a plan for a mesh is one object with memory, traffic and seconds by kind", async () => {
  const { code, stdout } = await plan(
    ...["--preset", "llama3.1-405b", "--hardware", "h100", "--mesh"],
    ...["shard=128,tensor=8,pipeline=16", "--zero", "1", "--recompute", "selective", "--json"],
  );
  assert.equal(code, 0);
  const { step } = JSON.parse(stdout);
  assert.deepEqual(step.mesh, { data: 1, shard: 128, tensor: 8, pipeline: 16 });
  assert.equal(step.devices, 16_384);
  assert.equal(step.found, false);
  assert.deepEqual([step.zero, step.recompute, step.fits], [1, "selective", true]);
  assert.ok(step.memory.total > 0 && step.traffic.total > 0);
  const { seconds } = step;
  const parts = seconds.computing + seconds.tensor + seconds.replicas + seconds.pipeline +
    seconds.optimizer;
  assert.ok(Math.abs(parts / seconds.step - 1) < 1e-9);
  // Grattafiori et al. 2024, table 4: 400 TFLOP/s and GPU, 41%.
  assert.ok(Math.abs(step.mfu / 0.41 - 1) < 0.1, `${step.mfu}`);
});

Deno.test("a mesh that was asked for and does not fit is planned, and says so", async () => {
  const { code, stdout } = await plan(
    ...["--preset", "llama2-70b", "--hardware", "a100-80gb", "--mesh", "tensor=8"],
  );
  assert.equal(code, 0);
  assert.match(stdout, /there is +[\d.]+ GiB +it does not fit/);
});

Deno.test("stages of each rank are planned as they are asked for, where there are layers for them", async () => {
  const asked = ["--preset", "llama2-7b", "--hardware", "h100", "--devices", "64", "--json"];
  const on = async (...more: string[]) => {
    const { code, stdout, stderr } = await plan(...asked, ...more);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout).step as StepPlan;
  };
  const given = await on("--mesh", "shard=8,pipeline=8", "--stages-per-rank", "4");
  assert.equal(given.chunks, 4);
  // 32 ranks would have 64 stages or more for 32 layers: no way to share the step out.
  const found = await on("--pipeline-schedule", "interleaved");
  const meshes = found.rejected.map(({ mesh }) => mesh);
  assert.ok(meshes.some((mesh) => mesh.includes("pipeline=2")));
  assert.ok(!meshes.some((mesh) => mesh.includes("pipeline=32")), `${meshes}`);
});

Deno.test("where no mesh fits, the plan says what the least memory is", async () => {
  const { code, stdout } = await plan(
    ...["--preset", "llama2-70b", "--hardware", "a100-40gb", "--devices", "8"],
  );
  assert.equal(code, 0);
  assert.match(stdout, /Cannot share a step .* 8 devices: "\S+" takes the least memory/);
});

const REFUSED: readonly (readonly [string, readonly string[], RegExp])[] = [
  ["a mesh and another number of devices", ["--mesh", "tensor=8", "--devices", "16"], /8 ranks/],
  ["a mesh that does not divide the heads", ["--mesh", "tensor=3"], /does not divide 32 heads/],
  ["more stages than layers", ["--mesh", "pipeline=64"], /64 stages for 32 layers/],
  [
    "more stages of ranks than layers",
    ["--mesh", "pipeline=8", "--stages-per-rank", "6"],
    /48 stages/,
  ],
  ["an axis that is none", ["--mesh", "model=2"], /"model" is no axis/],
];

for (const [what, args, message] of REFUSED) {
  Deno.test(`a plan for ${what} is refused`, async () => {
    const { code, stderr } = await plan("--preset", "llama2-7b", "--hardware", "h200", ...args);
    assert.equal(code, 2);
    assert.match(stderr, message);
  });
}

Deno.test("a plan for ranks of this machine has the memory of each, and what they send", async () => {
  const sizes = [
    "--seq-len",
    "256",
    "--batch-tokens",
    "8192",
    "--micro-batch",
    "2",
    "--steps",
    "9",
  ];
  const { code, stdout } = await plan(
    ...["--preset", "llama-15m", "--mesh", "shard=2,pipeline=2", "--zero", "3", ...sizes],
  );
  assert.equal(code, 0);
  assert.match(stdout, /mesh +shard=2,pipeline=2/);
  assert.match(stdout, /pipeline bubble +[\d.]+%/);
  assert.match(stdout, /Memory of rank \d, which needs the most\n +weights \(f32\)/);
  assert.match(stdout, /rank 3 +[\d.]+ MiB +shard 1, pipeline 1/);
  assert.match(stdout, /weights, all-gather over shards +[\d.]+ MiB/);
});

Deno.test("a plan for ranks that the model cannot be cut for is refused", async () => {
  const { code, stderr } = await plan(
    "--preset",
    "llama-15m",
    "--mesh",
    "tensor=4",
    "--steps",
    "9",
  );
  assert.equal(code, 2);
  assert.match(stderr, /tensor=4 does not divide 6 heads/);
});

Deno.test("of ranks that a launcher started one prints the plan, for all of them", async () => {
  const args = ["train", "--plan", "--preset", "llama2-7b", "--hardware", "h200"];
  const env = (rank: number) => ({ OMPI_COMM_WORLD_RANK: `${rank}`, OMPI_COMM_WORLD_SIZE: "2" });
  const outcomes = [await runCli(args, { env: env(0) }), await runCli(args, { env: env(1) })];
  assert.deepEqual(outcomes.map(({ code }) => code), [0, 0]);
  assert.match(outcomes[0]!.stdout, /^Parameters/);
  assert.equal(outcomes[1]!.stdout, "");
});

Deno.test("a plan has share and epochs of each source, and refuses what the data do not give", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const source = (name: string, tokens: number) =>
      writeDataset(join(folder, name), [Array.from({ length: tokens }, (_, i) => i % 64)]);
    // 67% of 1.1 epochs, 33% of 0.66: two lines in the manner of LLaMA's table 1.
    const [web, books] = [source("web", 6091), source("books", 5000)];
    const asked = ["--preset", "debug", "--seq-len", "16", "--batch-tokens", "64"];
    const table = [...asked, "--data", `${web}=67:1.1`, "--data", `${books}=33:0.66`];
    const { code, stdout, stderr } = await plan(...table);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /web +67\.0% +1\.10 epochs\n.*books +33\.0% +0\.66 epochs\n/);
    const shares = JSON.parse((await plan(...table, "--json")).stdout).data;
    assert.deepEqual(shares.map(({ name }: { name: string }) => name), [web, books]);
    const often = await plan(...asked, "--data", web, "--data", books, "--tokens", "110910");
    assert.match(often.stdout, /books +45\.1% +9\.99 epochs, more than 4\n/);
    const refused = await plan(...table, "--tokens", "1e6");
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /"[^"]*web" would be seen 110 times, at most 1\.1 is allowed/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
