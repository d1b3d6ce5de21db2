import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

import { nativeLibrary } from "../../lib/backend/native.ts";
import { REPOSITORY, testWith } from "../fixtures.ts";

const OPEN = new URL("../../lib/backend/open.ts", import.meta.url).href;
const WASM_FOLDER = fileURLToPath(new URL("../../kernels/wasm", import.meta.url));
const LIMIT_MS = 60_000;

/** Runs a program with only the permissions given; one that does not end is a failure. */
async function run(program: string, permissions: readonly string[]): Promise<string> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, `import { openBackend } from "${OPEN}";\n${program}\n`);
    const output = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-prompt", "--no-check", ...permissions, file],
      cwd: REPOSITORY,
      env: { NO_COLOR: "1" },
      signal: AbortSignal.timeout(LIMIT_MS),
    }).output();
    const [stdout, stderr] = [output.stdout, output.stderr].map((b) => new TextDecoder().decode(b));
    assert.ok(output.success, `exit ${output.code} ${output.signal}: ${stderr}`);
    return stdout!.trim();
  } finally {
    await Deno.remove(file);
  }
}

const USE = `
  const out = backend.alloc(64);
  backend.kernels.peak_fma({ out, iterations: 1000 });
  console.log(backend.name, backend.info.threads);`;

Deno.test("a process ends although nobody closed WebAssembly's threads", async () => {
  const program = `
    const backend = await openBackend({ backend: "wasm", threads: 3 });
    await backend.ready();${USE}`;
  assert.equal(await run(program, ["--allow-read"]), "wasm 3");
});

Deno.test("a process ends at once when WebAssembly's threads are closed while they start", async () => {
  const program = `
    const backend = await openBackend({ backend: "wasm", threads: 3 });
    const ready = backend.ready();${USE}
    backend.close();
    console.log("closed");`;
  assert.equal(await run(program, ["--allow-read"]), "wasm 3\nclosed");
});

Deno.test("WebAssembly threads that may not start are an error of ready, and work goes on", async () => {
  const program = `
    const backend = await openBackend({ backend: "wasm", threads: 2 });
    await backend.ready().catch((error) => console.log(error.name));${USE}`;
  assert.equal(await run(program, [`--allow-read=${WASM_FOLDER}`]), "BackendError\nwasm 2");
});

testWith([nativeLibrary()!], "the native library needs leave for its own file alone", async () => {
  const program = `
    const backend = await openBackend({ backend: "native", threads: 2 });${USE}`;
  const library = nativeLibrary()!;
  const permissions = [`--allow-read=${library}`, `--allow-ffi=${library}`];
  assert.equal(await run(program, permissions), "native 2");
});

testWith(
  [nativeLibrary()!],
  "without leave to load the native library auto takes the next",
  async () => {
    const program = `
    const backend = await openBackend({ threads: 1 });${USE}
    console.log(backend.passedOver.map(({ name, warn }) => name + " " + warn).join(", "));`;
    const expected = "wasm 1\ncuda false, native false";
    assert.equal(await run(program, ["--allow-read"]), expected);
  },
);
