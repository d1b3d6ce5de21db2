import assert from "node:assert/strict";
import { REPOSITORY } from "../fixtures.ts";

const MODULE = new URL("../../cli/process_io.ts", import.meta.url).href;
const WINDOWS = Deno.build.os === "windows";

function deno(args: string[], options: Deno.CommandOptions = {}): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    cwd: REPOSITORY,
    ...options,
  }).spawn();
}

function llamero(args: string[]): Deno.ChildProcess {
  return deno(["run", "--allow-all", "cli/main.ts", ...args]);
}

/** Runs a module's text with `processIo` and `enterCallersFolder` at hand. */
function script(text: string, options: Deno.CommandOptions = {}): Deno.ChildProcess {
  const imports = `import { enterCallersFolder, processIo } from "${MODULE}";`;
  return deno(["eval", imports + text], options);
}

async function stdoutOf(child: Deno.ChildProcess): Promise<string> {
  return new TextDecoder().decode((await child.output()).stdout).trim();
}

Deno.test("the exit code is the process's own", async () => {
  assert.equal((await llamero(["--version"]).status).code, 0);
  assert.equal((await llamero(["nonsense"]).output()).code, 2);
});

Deno.test("a closed stdout ends the process quietly with 0", async () => {
  const child = llamero(["man"]);
  await child.stdout.cancel();
  const stderr = await new Response(child.stderr).text();
  assert.equal(stderr, "");
  assert.equal((await child.status).code, 0);
});

/** Runs a shell line; `$LLAMERO` in it is this program. */
async function shell(line: string): Promise<Deno.CommandOutput> {
  const program = `${Deno.execPath()} run --allow-all ${REPOSITORY}/cli/main.ts`;
  return await new Deno.Command("sh", { args: ["-c", line], env: { LLAMERO: program } }).output();
}

const FULL = {
  ignore: Deno.build.os !== "linux",
  name: (what: string) => `${what}${Deno.build.os === "linux" ? "" : " (ignored: no /dev/full)"}`,
};

Deno.test({
  name: FULL.name("a stdout that takes nothing more is one clear line and 1"),
  ignore: FULL.ignore,
  fn: async () => {
    const { code, stderr } = await shell("$LLAMERO presets > /dev/full");
    assert.equal(code, 1);
    assert.equal(
      new TextDecoder().decode(stderr),
      'llamero: Cannot write "stdout": no space left on the device\n' +
        "hint: free some space or write to another disk\n",
    );
  },
});

Deno.test({
  name: FULL.name("a stderr that takes nothing more changes neither results nor exit code"),
  ignore: FULL.ignore,
  fn: async () => {
    const { code, stdout } = await shell(
      "$LLAMERO presets --quiet 2> /dev/full; $LLAMERO nonsense 2> /dev/full",
    );
    assert.equal(code, 2);
    assert.ok(new TextDecoder().decode(stdout).startsWith("preset "));
  },
});

Deno.test("a process that deno task started in the repository goes to the caller's folder", async () => {
  const caller = await Deno.realPath(await Deno.makeTempDir());
  try {
    const text = "enterCallersFolder(); console.log(Deno.cwd())";
    assert.equal(await stdoutOf(script(text, { env: { INIT_CWD: caller } })), caller);
  } finally {
    await Deno.remove(caller);
  }
});

Deno.test("a process that stands elsewhere stays there, whatever an outer task left", async () => {
  const here = await Deno.realPath(await Deno.makeTempDir());
  try {
    const text = "enterCallersFolder(); console.log(Deno.cwd())";
    const child = script(text, { env: { INIT_CWD: REPOSITORY }, cwd: here });
    assert.equal(await stdoutOf(child), here);
  } finally {
    await Deno.remove(here);
  }
});

const INTERRUPTED = `
  const signal = processIo().interruption();
  const held = setInterval(() => {}, 1000);
  signal.addEventListener("abort", () => {
    console.log(signal.reason.name);
    if (Deno.args[0] === "tidy") clearInterval(held);
  });
  console.log("ready");
`;

/** Starts a script that waits, interrupts it, and gives what it printed after that. */
async function interrupted(argument: string, times: number): Promise<[number, string]> {
  const imports = `import { processIo } from "${MODULE}";`;
  const child = deno(["eval", imports + INTERRUPTED, argument], { stderr: "inherit" });
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let seen = (await lines.read()).value ?? "";
  assert.equal(seen, "ready\n");
  for (let i = 0; i < times; i++) {
    child.kill("SIGINT");
    if (i === 0) seen = (await lines.read()).value ?? "";
  }
  await lines.cancel();
  return [(await child.status).code, seen];
}

Deno.test({
  name: `an interrupt aborts the signal, so that work can save its state${
    WINDOWS ? " (ignored: Windows sends no signals to one process)" : ""
  }`,
  ignore: WINDOWS,
  async fn() {
    assert.deepEqual(await interrupted("tidy", 1), [0, "Interrupted\n"]);
  },
});

Deno.test({
  name: `a second interrupt ends the process at once with 130${
    WINDOWS ? " (ignored: Windows sends no signals to one process)" : ""
  }`,
  ignore: WINDOWS,
  async fn() {
    assert.deepEqual(await interrupted("stay", 2), [130, "Interrupted\n"]);
  },
});
