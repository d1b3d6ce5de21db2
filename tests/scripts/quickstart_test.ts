import assert from "node:assert/strict";
import { join } from "node:path";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { learnPieces, writeRandomModel } from "../../scripts/quickstart_model.ts";
import { REPOSITORY } from "../fixtures.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function quickstart(folder: string): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", join(REPOSITORY, "scripts/quickstart.ts")],
    cwd: folder,
    env: { INIT_CWD: folder },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

Deno.test("pieces are learned in the order of the paper's example", () => {
  const text = [
    ..."low ".repeat(5),
    ..."lower ".repeat(2),
    ..."newest ".repeat(6),
    ..."widest ".repeat(3),
  ].join("");
  // Sennrich et al. 2016, section 3.2; spaces stand before words here, and ends are not marked.
  assert.deepEqual(learnPieces(text, 95 + 5).slice(0, 5), ["es", "est", "lo", "low", "▁low"]);
});

Deno.test("the random model opens as a checkpoint with a tokenizer of the same size", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "model");
    await writeRandomModel(path, "the cat sat on the mat. ".repeat(20));
    const { config } = await openCheckpoint(path);
    const tokenizer = await openTokenizer(path);
    assert.equal(tokenizer.vocabSize, config.vocabSize);
    const ids = tokenizer.encode("the cat sat");
    assert.equal(tokenizer.decode(ids), "the cat sat");
  });
});

Deno.test("quickstart makes a model, shows its commands and generates, twice in one folder", async () => {
  await inFolder(async (folder) => {
    for (let time = 0; time < 2; time++) {
      const { code, text } = await quickstart(folder);
      assert.equal(code, 0, text);
      assert.match(text, /^\$ deno task llamero generate --model quickstart-run/m);
      assert.match(text, /random/);
    }
    const made = [...Deno.readDirSync(folder)].map((entry) => entry.name);
    assert.deepEqual(made, ["quickstart-run"]);
  });
});

Deno.test("quickstart leaves a folder alone that is not its own", async () => {
  await inFolder(async (folder) => {
    await Deno.mkdir(join(folder, "quickstart-run"));
    await Deno.writeTextFile(join(folder, "quickstart-run/thesis.txt"), "important");
    const { code, text } = await quickstart(folder);
    assert.equal(code, 1);
    assert.match(text, /holds "thesis\.txt", which is not ours\nhint:/);
    assert.equal(
      await Deno.readTextFile(join(folder, "quickstart-run/thesis.txt")),
      "important",
    );
  });
});
