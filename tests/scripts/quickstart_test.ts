import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { REPOSITORY } from "../fixtures.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function quickstart(
  folder: string,
  ...args: string[]
): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", join(REPOSITORY, "scripts/quickstart.ts"), ...args],
    cwd: folder,
    env: { INIT_CWD: folder },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

Deno.test("quickstart goes from text to a quantized model that writes, twice in one folder", async () => {
  await inFolder(async (folder) => {
    for (const args of [["--steps", "2"], ["--steps", "2", "--text", "own.txt"]]) {
      const lines = Array.from(
        { length: 4000 },
        (_, i) => `The number ${i} is ${i % 2 ? "odd" : "even"}.`,
      );
      await Deno.writeTextFile(join(folder, "own.txt"), lines.join("\n"));
      const { code, text } = await quickstart(folder, ...args);
      assert.equal(code, 0, text);
      const commands = [...text.matchAll(/^\$ deno task llamero (\w+(?: train| pack)?)/gm)];
      assert.deepEqual(commands.map(([, name]) => name), [
        "tokenize train",
        "tokenize pack",
        "tokenize pack",
        "train",
        "convert",
        "quantize",
        "generate",
        "train",
      ]);
      for (
        const made of ["run/report.html", "run/checkpoints/latest/config.json", "model-q8_0.gguf"]
      ) {
        assert.ok(existsSync(join(folder, "quickstart-run", made)), made);
      }
    }
    const made = [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
    assert.deepEqual(made, ["own.txt", "quickstart-run"]);
  });
});

Deno.test("quickstart learns from a text of thousands of characters in one line", async () => {
  await inFolder(async (folder) => {
    const characters = Array.from(
      { length: 24_000 },
      (_, i) => String.fromCodePoint(i % 3 === 0 ? 0x1f600 + (i % 64) : 0x4e00 + (i * i) % 2879),
    );
    await Deno.writeTextFile(join(folder, "own.txt"), characters.join(""));
    const { code, text } = await quickstart(folder, "--steps", "2", "--text", "own.txt");
    assert.equal(code, 0, text);
    assert.match(text, /--character-coverage 0\.98/);
    const prompt = /--sample-prompt (\S+) /.exec(text)![1]!;
    assert.equal([...prompt].length, 24);
    assert.ok(prompt.isWellFormed() && characters.join("").includes(prompt));
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

Deno.test("README's five lines go from a text to a quantized model that writes", async () => {
  const readme = await Deno.readTextFile(join(REPOSITORY, "README.md"));
  const lines = /^## Five lines\n[\s\S]*?^```sh\n([\s\S]*?)^```/m.exec(readme)![1]!.trim();
  assert.equal(lines.split("\n").length, 5);
  await inFolder(async (folder) => {
    const { code, stdout, stderr } = await new Deno.Command("sh", {
      args: [
        "-ec",
        'deno() { "$DENO" "$@"; }; llamero() { deno run --allow-all "$PROGRAM" "$@"; }\n' +
        lines.replace(/^llamero train .*/m, "$& --steps 2"),
      ],
      cwd: folder,
      env: { DENO: Deno.execPath(), PROGRAM: join(REPOSITORY, "cli/main.ts"), INIT_CWD: folder },
      stdin: "null",
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    assert.ok(existsSync(join(folder, "model.gguf")));
    assert.ok(new TextDecoder().decode(stdout).trim().length > 0);
  });
});
