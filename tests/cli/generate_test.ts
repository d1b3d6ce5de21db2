import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { availableBackends } from "../../lib/backend/open.ts";
import { ClosedPipe } from "../../cli/io.ts";
import { main } from "../../cli/main.ts";
import { Interrupted } from "../../lib/base/errors.ts";
import { testWith } from "../fixtures.ts";
import { expectedStories, STORIES, STORIES_TOKENIZER } from "../infer/stories.ts";
import { memoryIo, type Outcome, runCli, type Surroundings } from "./run_cli.ts";

const NEEDED = [join(STORIES, "expected.json")];
const MODEL = ["--model", STORIES, "--tokenizer", STORIES_TOKENIZER];
const GREEDY = ["--temperature", "0", "--backend", "wasm", "--threads", "1"];

function generate(args: readonly string[], surroundings?: Surroundings): Promise<Outcome> {
  return runCli(["generate", ...MODEL, ...GREEDY, ...args], surroundings);
}

/** Fails unless the command failed with one line (and a hint), nothing on stdout. */
function assertFailed(outcome: Outcome, code: number, message: RegExp): void {
  deepStrictEqual([outcome.code, outcome.stdout], [code, ""], outcome.stderr);
  match(outcome.stderr, message);
  match(outcome.stderr, /^llamero: Cannot .*\n(hint: .*\n)?$/);
}

const BACKENDS = (await availableBackends()).filter((one) => one.available).map(({ name }) => name);

for (const backend of BACKENDS) {
  for (const file of [".", "stories260K.bin"]) {
    testWith(
      NEEDED,
      `generate --json is llama2.c's text and ids (${file}, ${backend})`,
      async () => {
        for (const { prompt, new_ids, stopped_at_bos, text } of expectedStories()) {
          const { code, stdout, stderr } = await runCli([
            ...["generate", "--model", join(STORIES, file), "--tokenizer", STORIES_TOKENIZER],
            ...["--prompt", prompt, "--temperature", "0", "--json", "--backend", backend],
          ]);
          deepStrictEqual([code, stderr], [0, ""]);
          ok(stdout.endsWith("}\n") && !stdout.slice(0, -1).includes("\n"));
          const result = JSON.parse(stdout);
          // Where llama2.c stopped at 256 positions, ours generates 256 tokens: its are the first ones.
          const wanted = new_ids.slice(0, stopped_at_bos ? -1 : undefined);
          deepStrictEqual(result.tokens.slice(0, wanted.length), wanted);
          ok((prompt + result.text).startsWith(text));
          strictEqual(result.finish_reason, stopped_at_bos ? "stop" : "length");
          strictEqual(typeof result.prompt_tokens, "number");
          deepStrictEqual(Object.keys(result.timings), [
            "load_ms",
            "prompt_ms",
            "prompt_tokens_per_second",
            "decode_ms",
            "decode_tokens_per_second",
          ]);
          for (const value of Object.values(result.timings)) ok(Number.isFinite(value));
        }
      },
    );
  }
}

testWith(NEEDED, "the continuation alone is streamed to stdout", async () => {
  const { prompt, text } = expectedStories()[1]!;
  const { code, stdout, stderr } = await generate(["--prompt", prompt]);
  deepStrictEqual([code, stderr], [0, ""]);
  ok((prompt + stdout).startsWith(text));
});

testWith(
  NEEDED,
  "the prompt comes from a flag, a file or stdin, which all say the same",
  async () => {
    const flag = await generate(["--prompt", "Once upon a time", "--max-tokens", "20"]);
    const path = await Deno.makeTempFile();
    try {
      for (const end of ["", "\n", "\r\n"]) {
        await Deno.writeTextFile(path, `Once upon a time${end}`);
        const file = await generate(["--prompt-file", path, "--max-tokens", "20"]);
        deepStrictEqual(file, flag);
      }
    } finally {
      await Deno.remove(path);
    }
    const stdin = { stdin: "Once upon a time\n" };
    deepStrictEqual(await generate(["--max-tokens", "20"], stdin), flag);
    deepStrictEqual(await generate(["--prompt-file", "-", "--max-tokens", "20"], stdin), flag);
  },
);

testWith(NEEDED, "an empty prompt begins a new text", async () => {
  const { text } = expectedStories()[0]!;
  const { stdout } = await generate(["--max-tokens", "30"], { stdin: "" });
  ok(stdout.length > 10 && text.startsWith(stdout), stdout);
});

testWith(NEEDED, "a stop string ends the text before it", async () => {
  const args = ["--prompt", "Once upon a time", "--json"];
  const { stdout } = await generate([...args, "--stop", "Lily", "--stop", "xyzzy"]);
  const { text, finish_reason } = JSON.parse(stdout);
  deepStrictEqual([text, finish_reason], [", there was a little girl named ", "stop"]);
});

testWith(NEEDED, "without a prompt on a terminal the command asks for one", async () => {
  assertFailed(await generate([]), 2, /there is no prompt\nhint: give one with --prompt/);
});

const BAD_FLAGS: readonly [string[], RegExp][] = [
  [["--prompt", "a", "--prompt-file", "b"], /--prompt and --prompt-file exclude each other/],
  [["--temperature", "-1"], /--temperature to "-1": not a number of at least 0/],
  [["--temperature", "NaN"], /--temperature to "NaN"/],
  [["--top-k", "1.5"], /--top-k to "1.5": not a whole number of at least 0/],
  [["--top-p", "0"], /--top-p to "0": not a number above 0 and at most 1/],
  [["--min-p", "2"], /--min-p to "2": not a number from 0 to 1/],
  [["--repeat-penalty", "0"], /--repeat-penalty to "0"/],
  [["--stop", ""], /--stop to "": not a text that is not empty/],
  [["--max-tokens", "-1"], /--max-tokens to "-1"/],
  [["--kv-type", "f64"], /--kv-type to "f64": not one of f32, f16/],
  [["--context", "0"], /--context to "0"/],
  [["--seed", "1e3"], /--seed to "1e3"/],
];
for (const [args, message] of BAD_FLAGS) {
  testWith(NEEDED, `generate ${args.join(" ")} is refused and says what was wanted`, async () => {
    assertFailed(await runCli(["generate", ...MODEL, ...args]), 2, message);
  });
}

testWith(NEEDED, "bytes on stdin that are not UTF-8 are refused with their offset", async () => {
  const stdin = Uint8Array.of(0x4f, 0x6e, 0x63, 0x65, 0xff, 0x20);
  const outcome = await generate([], { stdin });
  assertFailed(outcome, 1, /stdin.*byte 4/);
});

testWith(NEEDED, "a prompt longer than the context is refused with both lengths", async () => {
  const outcome = await generate(["--prompt", "a b c d e f", "--context", "3"]);
  assertFailed(outcome, 2, /the prompt: it has \d+ tokens, and the context holds 3\n/);
  const long = await generate([], { stdin: "once upon a time ".repeat(400) });
  assertFailed(long, 2, /and the context holds 512/);
});

testWith(NEEDED, "what is not there is named", async () => {
  assertFailed(await generate(["--prompt-file", "no/such.txt"]), 1, /read "no\/such.txt": no such/);
  const model = ["--model", "no/model", "--prompt", "a"];
  assertFailed(await runCli(["generate", ...model]), 1, /"no\/model"/);
  const tokenizer = ["--model", STORIES, "--tokenizer", "no/tokenizer", "--prompt", "a"];
  assertFailed(await runCli(["generate", ...tokenizer]), 1, /"no\/tokenizer"/);
});

testWith(NEEDED, "an interrupt ends the command with 130 and keeps what was shown", async () => {
  const controller = new AbortController();
  const { io, ended } = memoryIo({ signal: controller.signal });
  const { stdout } = io;
  const interrupting = {
    ...io,
    stdout: {
      ...stdout,
      columns: () => undefined,
      write(data: string | Uint8Array) {
        stdout.write(data);
        controller.abort(new Interrupted("Interrupted"));
      },
    },
  };
  const args = ["generate", ...MODEL, ...GREEDY, "--prompt", "Once upon a time"];
  strictEqual(await main(args, interrupting), 130);
  const outcome = ended();
  ok(outcome.stdout.length > 0);
  strictEqual(outcome.stderr, "llamero: Interrupted\n");
});

testWith(NEEDED, "a reader that goes away ends the command quietly", async () => {
  const { io, ended } = memoryIo();
  const closed = {
    ...io,
    stdout: {
      ...io.stdout,
      columns: () => undefined,
      write: () => {
        throw new ClosedPipe();
      },
    },
  };
  strictEqual(await main(["generate", ...MODEL, ...GREEDY, "--prompt", "Once"], closed), 0);
  strictEqual(ended().stderr, "");
});
