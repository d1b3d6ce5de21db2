import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../fixtures.ts";
import { NO_STORIES, STORIES, STORIES_TOKENIZER } from "../infer/stories.ts";
import { onBackends } from "../on_backends.ts";
import { type Outcome, runCli, type Surroundings } from "./run_cli.ts";

const NEEDED = [join(STORIES, "expected.json")];
const COMMON = ["--temperature", "0", "--backend", "wasm", "--threads", "1", "--max-tokens", "40"];
const TEMPLATE = "{% for m in messages %}{{ bos_token }}[{{ m.role }}] {{ m.content }}{% endfor %}";

function generate(args: readonly string[], surroundings?: Surroundings): Promise<Outcome> {
  return runCli(
    ["generate", "--model", STORIES, "--tokenizer", STORIES_TOKENIZER, ...COMMON, ...args],
    surroundings,
  );
}

function test(name: string, body: (folder: string) => Promise<void>): void {
  testWith(NEEDED, name, async () => {
    const folder = await Deno.makeTempDir();
    try {
      await body(folder);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

/** A copy of the model with a chat template beside it. */
async function withTemplate(folder: string, template = TEMPLATE): Promise<string[]> {
  for (const file of ["config.json", "model.safetensors"]) {
    await Deno.copyFile(join(STORIES, file), join(folder, file));
  }
  await Deno.writeTextFile(join(folder, "chat_template.jinja"), template);
  return ["generate", "--model", folder, "--tokenizer", STORIES_TOKENIZER, ...COMMON];
}

test("generate --prompts gives a line for each prompt, as one by one", async (folder) => {
  const file = join(folder, "prompts.jsonl");
  await Deno.writeTextFile(file, '"Once upon a time"\n\n{"prompt": "The dog"}\n{"text":"Lily"}');
  const { code, stdout, stderr } = await generate(["--prompts", file, "--logprobs", "1"]);
  deepStrictEqual([code, stderr], [0, ""]);
  const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  deepStrictEqual(lines.map(({ index }) => index), [0, 1, 2]);
  for (const [i, prompt] of ["Once upon a time", "The dog", "Lily"].entries()) {
    const single = JSON.parse((await generate(["--prompt", prompt, "--json"])).stdout);
    deepStrictEqual(lines[i].tokens, single.tokens);
    deepStrictEqual(lines[i].text, single.text);
    strictEqual(lines[i].logprobs.length, single.tokens.length);
    strictEqual(lines[i].logprobs[0].top[0].id, single.tokens[0]);
  }
});

test("generate --prompts names the line that is no prompt", async () => {
  const { code, stdout, stderr } = await generate(["--prompts", "-"], { stdin: '"a"\n[1]\n' });
  deepStrictEqual([code, stdout], [1, ""]);
  match(stderr, /^llamero: Cannot read stdin: line 2 is "\[1\]", and a JSON string or an object/);
});

test("generate --lookup and --draft give the text that they speed up", async () => {
  const prompt = ["--prompt", "Once upon a time, Tim and Tom. Once upon a time, Tim", "--json"];
  const plain = JSON.parse((await generate(prompt)).stdout);
  for (
    const guess of [["--lookup"], ["--draft", STORIES], ["--draft", STORIES, "--draft-tokens", "3"]]
  ) {
    const guessed = JSON.parse((await generate([...prompt, ...guess])).stdout);
    deepStrictEqual([guessed.text, guessed.tokens], [plain.text, plain.tokens]);
    ok(guessed.drafted_tokens >= guessed.accepted_tokens && guessed.accepted_tokens > 0);
  }
});

test("generate --prompt-cache keeps the prompt for the next run", async (folder) => {
  const cache = ["--prompt-cache", join(folder, "cache"), "--json"];
  const prompt = ["--prompt", "Once upon a time there was a small house. In it"];
  const [first, second] = [
    JSON.parse((await generate([...prompt, ...cache])).stdout),
    JSON.parse((await generate([...prompt, ...cache])).stdout),
  ];
  deepStrictEqual([second.text, second.tokens], [first.text, first.tokens]);
  deepStrictEqual([first.cached_tokens, second.cached_tokens], [0, first.prompt_tokens - 1]);
  deepStrictEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["cache"]);
});

test("generate --chat puts the message into the model's template", async (folder) => {
  const command = await withTemplate(folder);
  const args = ["--chat", "--system", "Be kind", "--prompt", "Tell me", "--json"];
  const chat = await runCli([...command, ...args]);
  strictEqual(chat.stderr, "");
  // The template's begin token stands before each message; without --chat the tokenizer puts the first.
  const plain = JSON.parse((await generate(["--prompt", "[system] Be kind", "--json"])).stdout);
  const result = JSON.parse(chat.stdout);
  ok(result.prompt_tokens > plain.prompt_tokens);
  const piped = await runCli([...command, "--chat", "--system", "Be kind", "--json"], {
    stdin: "Tell me\n",
  });
  deepStrictEqual(JSON.parse(piped.stdout).tokens, result.tokens);
});

test("generate --chat on a terminal ends with its input", async (folder) => {
  const command = await withTemplate(folder);
  const { code, stdout, stderr } = await runCli([...command, "--chat"]);
  deepStrictEqual([code, stdout], [0, ""]);
  match(stderr, /\/exit or Ctrl-D ends it\n> $/);
});

test("generate --chat without a template, or with one that fails, is refused", async (folder) => {
  const without = await generate(["--chat", "--prompt", "Hi"]);
  strictEqual(without.code, 2);
  match(without.stderr, /^llamero: Cannot chat with ".*": it has no chat template\nhint: /);
  const command = await withTemplate(folder, "{{ raise_exception('no system, please') }}");
  const failing = await runCli([...command, "--chat", "--prompt", "Hi"]);
  strictEqual(failing.code, 2);
  match(failing.stderr, /it refuses the messages: "no system, please"\n$/);
});

const EXCLUSIVE: readonly (readonly string[])[] = [
  ["--lookup", "--draft", STORIES],
  ["--prompt", "a", "--prompts", "b"],
  ["--prompts", "b", "--lookup"],
  ["--prompt", "a", "--system", "b"],
  ["--prompt", "a", "--logprobs", "2"],
  ["--prompt", "a", "--chat", "--prompt-cache", "f"],
];
for (const args of EXCLUSIVE) {
  Deno.test(`generate refuses ${args.filter((arg) => arg.startsWith("--")).join(" ")}`, async () => {
    const { code, stdout, stderr } = await runCli(["generate", "--model", "m", ...args]);
    deepStrictEqual([code, stdout], [2, ""]);
    match(stderr, /^llamero: Cannot run "llamero generate": --/);
  });
}

const MIXED = join(STORIES, "stories260K-mixed.gguf");

onBackends("generate --repack changes no token", async ({ name }) => {
  const args = ["generate", "--model", MIXED, "--prompt", "Once upon a time", "--json"];
  const texts = await Promise.all(["auto", "on", "off"].map(async (repack) => {
    const flags = ["--temperature", "0", "--max-tokens", "60", "--backend", name];
    const { code, stdout, stderr } = await runCli([...args, ...flags, "--repack", repack]);
    strictEqual(code, 0, stderr);
    return JSON.parse(stdout).tokens;
  }));
  strictEqual(texts[0].length, 60);
  deepStrictEqual(texts[1], texts[0]);
  deepStrictEqual(texts[2], texts[0]);
}, { ignored: NO_STORIES });

testWith([MIXED], "generate --repack takes auto, on or off", async () => {
  const outcome = await runCli(["generate", "--model", MIXED, "--repack", "maybe"]);
  strictEqual(outcome.code, 2);
  match(outcome.stderr, /--repack.*"?maybe"?.*auto.*on.*off/);
});
