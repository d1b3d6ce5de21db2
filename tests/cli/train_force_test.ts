import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type MetricsRow, readMetrics } from "../../lib/train/metrics.ts";
import { type RunPaths, runPaths } from "../../lib/train/run_folder.ts";
import { checkpointHashes } from "../train/run_fixture.ts";
import { type Outcome, runCli } from "./run_cli.ts";
import { inTrainingFolder, type TrainingFolder } from "./train_fixture.ts";

interface Contents {
  readonly names: readonly string[];
  readonly config: string;
  readonly rows: readonly MetricsRow[];
  readonly checkpoints: Readonly<Record<string, string>>;
}

interface Begun {
  readonly paths: RunPaths;
  /** Begins in the same folder with more flags. */
  again(...flags: string[]): Promise<Outcome>;
  /** What is in the folder. */
  contents(): Promise<Contents>;
}

/** A run of four steps, and what may replace it. */
async function begun({ folder, tokenizer, text, config }: TrainingFolder): Promise<Begun> {
  const paths = runPaths(join(folder, "run"));
  const files = ["--config", config, "--tokenizer", tokenizer];
  const again = (...flags: string[]) =>
    runCli(["train", "--out", paths.run, ...files, "--quiet", ...flags]);
  const { code, stderr } = await again("--text", text, "--steps", "4", "--save-every", "2");
  assert.equal(code, 0, stderr);
  const contents = async () => ({
    names: readdirSync(paths.run).sort(),
    config: await Deno.readTextFile(paths.config),
    rows: readMetrics(paths.metrics),
    checkpoints: await checkpointHashes(paths),
  });
  return { paths, again, contents };
}

Deno.test("--force keeps the old run where the new one is refused", async () => {
  await inTrainingFolder(async (folder) => {
    const { again, contents } = await begun(folder);
    const before = await contents();
    const short = join(folder.folder, "short.txt");
    writeFileSync(short, "too short");
    const refusals: readonly [flags: string[], code: number, message: RegExp][] = [
      [["--text", short], 1, /short/],
      [["--text", folder.text, "--mesh", "data=3"], 2, /it has 3 ranks/],
      [["--text", join(folder.folder, "none.txt")], 1, /none\.txt/],
      [["--data", join(folder.folder, "none")], 1, /none/],
    ];
    for (const [flags, code, message] of refusals) {
      const outcome = await again("--force", ...flags);
      assert.equal(outcome.code, code, outcome.stderr);
      assert.match(outcome.stderr, message);
      assert.deepEqual(await contents(), before, `${flags}`);
    }
  });
});

Deno.test("--force removes the old run once the new one has taken a step", async () => {
  await inTrainingFolder(async (folder) => {
    const { paths, again } = await begun(folder);
    const { code, stderr } = await again("--force", "--text", folder.text, "--steps", "3");
    assert.equal(code, 0, stderr);
    assert.equal(readMetrics(paths.metrics).length, 3);
    assert.ok(!existsSync(join(paths.checkpoints, "step-000004")));
    assert.ok(!existsSync(join(paths.run, ".replaced")));
  });
});

Deno.test("a run that was laid aside by a trainer that was killed comes back", async () => {
  await inTrainingFolder(async (folder) => {
    const { paths, contents } = await begun(folder);
    const before = await contents();
    // As a trainer leaves it that was killed after it wrote its own config.
    const aside = join(paths.run, ".replaced");
    mkdirSync(aside);
    for (const name of before.names) {
      if (!name.startsWith(".")) renameSync(join(paths.run, name), join(aside, name));
    }
    writeFileSync(paths.config, "steps = 1\n");
    const { code, stderr } = await runCli(["train", "--out", paths.run, "--resume", "--quiet"]);
    assert.equal(code, 0, stderr);
    const after = await contents();
    assert.deepEqual(after.checkpoints, before.checkpoints);
    assert.equal(after.config, before.config);
  });
});

Deno.test("what was laid aside and never was a run does not come back into the one that replaced it", async () => {
  await inTrainingFolder(async (folder) => {
    const { paths } = await begun(folder);
    // As two trainers leave it: one killed while it packed its texts, and one with --force before its first step.
    for (const path of [paths.metrics, paths.checkpoints]) rmSync(path, { recursive: true });
    mkdirSync(join(paths.run, ".replaced", "data", "text.packing"), { recursive: true });
    const { code, stderr } = await runCli(["train", "--out", paths.run, "--resume", "--quiet"]);
    assert.equal(code, 0, stderr);
    assert.equal(readMetrics(paths.metrics).length, 4);
    assert.ok(!existsSync(join(paths.run, ".replaced")));
  });
});

Deno.test("a run that is refused for too little data or memory leaves no folder", async () => {
  await inTrainingFolder(async ({ folder, tokenizer, text }) => {
    const short = join(folder, "short.txt");
    writeFileSync(short, "too short");
    const out = join(folder, "run");
    const train = (...flags: string[]) =>
      runCli(["train", "--out", out, "--tokenizer", tokenizer, ...flags]);
    for (
      const flags of [
        ["--preset", "debug", "--text", short],
        ["--preset", "debug", "--text", short, "--virtual-ranks", "2"],
        ["--preset", "llama-110m", "--text", text, "--micro-batch", "4096", "--seq-len", "1024"],
      ]
    ) {
      const batch = flags.includes("llama-110m") ? ["--batch-tokens", `${4096 * 1024}`] : [];
      const { code, stderr } = await train(...flags, ...batch);
      assert.equal(code, 1, stderr);
      assert.ok(!existsSync(out), stderr);
    }
  });
});

Deno.test("what no trainer has made stays where it is, whatever is refused or forced", async () => {
  await inTrainingFolder(async ({ folder, tokenizer, text }) => {
    const project = join(folder, "project");
    for (
      const [name, flags] of [
        ["data/corpus.txt", []],
        ["data/corpus.txt", ["--force"]],
        ["checkpoints/best/model.safetensors", []],
        ["tensorboard/notes", ["--force"]],
        ["report.html", []],
        ["config.toml", ["--force"]],
      ] as const
    ) {
      const file = join(project, name);
      mkdirSync(join(file, ".."), { recursive: true });
      writeFileSync(file, "mine");
      // The slip in a name was what ended the call; the folder was cleared after it.
      for (const preset of ["debgu", "debug"]) {
        const { code, stderr } = await runCli([
          ...["train", "--out", project, "--preset", preset, "--tokenizer", tokenizer],
          ...["--text", text, "--steps", "2", "--quiet", ...flags],
        ]);
        assert.equal(code, 1, stderr);
        assert.match(stderr, /it has "[^"]+", which is of no run/);
        assert.equal(await Deno.readTextFile(file), "mine");
      }
      rmSync(project, { recursive: true });
    }
  });
});

Deno.test("checkpoints whose config.toml is lost are neither removed nor gone on with", async () => {
  await inTrainingFolder(async (folder) => {
    const { paths, again } = await begun(folder);
    rmSync(paths.config);
    const before = await checkpointHashes(paths);
    for (const flags of [["--text", folder.text], ["--text", "none.txt"]]) {
      const { code, stderr } = await again(...flags, "--steps", "2");
      assert.equal(code, 1, stderr);
      assert.match(stderr, /it has "checkpoints", which is of no run/);
      assert.deepEqual(await checkpointHashes(paths), before);
    }
  });
});
