/**
 * Everything that must hold before a change is taken, on a machine where nobody installed anything
 * but Deno (`.ci/run` sees to that): kernels rebuilt, both test suites, the house rules, and the
 * commands of README on a clean checkout. Closes with `N passed, M failed`.
 *
 * @module
 */

import { join } from "node:path";
import { installMpi } from "./ci_mpi.ts";
import { CHECKS, runChecks } from "./check.ts";
import { Ledger } from "./ci_ledger.ts";
import {
  anyWasmToolchain,
  hasTool,
  installRust,
  nativeToolchain,
  toolchainEnvironment,
} from "./ci_rust.ts";
import { outputOf } from "./rust_toolchain.ts";
import { ROOT } from "./source_files.ts";
import { runStep, say } from "./step.ts";

const deno = Deno.execPath();
const CRATE = join(ROOT, "kernels/cpu");
/** Kernels index several arrays by one counter, as their formulas do. */
const ALLOWED = ["-A", "clippy::needless_range_loop", "-A", "clippy::explicit_counter_loop"];
/** A slow machine may need longer for the tests than for any other step. */
const TEST_MINUTES = 30;
const scratch = await Deno.makeTempDir({ prefix: "llamero-ci-" });
const ledger = new Ledger();

/** The fixtures lie beside the checkout; a clone elsewhere is told where. */
const FIXTURES: Readonly<Record<string, string>> = {
  LLAMERO_FIXTURES: Deno.env.get("LLAMERO_FIXTURES") ?? join(ROOT, "../shared/fixtures"),
  LLAMERO_MODELS: Deno.env.get("LLAMERO_MODELS") ?? join(ROOT, "../shared/models"),
};

interface BuildRecord {
  readonly module: string;
  readonly compiler: string;
  readonly linker: string;
}

async function recordIn(folder: string): Promise<BuildRecord> {
  return JSON.parse(await Deno.readTextFile(join(folder, "llamero.json"))) as BuildRecord;
}

/**
 * Rebuilds the WebAssembly module; gives its folder where another compiler made it.
 *
 * @param committed What the committed module was made of and by.
 * @param missing Why its compiler could not be installed, or nothing.
 */
async function rebuildWasm(
  committed: BuildRecord,
  missing: string | undefined,
): Promise<string | undefined> {
  const name = "rebuild of the WebAssembly kernels";
  if (missing !== undefined && !anyWasmToolchain()) return void ledger.notRun(name, missing);
  const built = join(scratch, "wasm");
  const { passed } = await ledger.step({
    name,
    command: [deno, "run", "-A", "scripts/build_wasm.ts", "--out", built],
    env: { CARGO_TARGET_DIR: join(scratch, "wasm-target") },
  });
  if (!passed) return undefined;
  const fresh = await recordIn(built);
  const same = fresh.module === committed.module;
  const made = (record: BuildRecord) => `${record.module} by ${record.compiler}, ${record.linker}`;
  if (fresh.compiler !== committed.compiler && !same) {
    ledger.notRun(
      "identity of the WebAssembly kernels",
      `another compiler is here: ${fresh.compiler}, and not ${committed.compiler}`,
    );
    return built;
  }
  ledger.count({
    name: `the committed WebAssembly kernels are those that ${fresh.compiler} builds`,
    passed: same,
    seconds: 0,
    output: `committed: ${made(committed)}\nrebuilt:   ${made(fresh)}`,
  });
  return undefined;
}

/** Builds, tests, lints and formats the crate for this machine; says whether the library is there. */
async function checkCrate(): Promise<void> {
  const toolchain = nativeToolchain();
  if (toolchain === undefined) return ledger.notRun("native kernels", "no Rust compiler here");
  const { cargo, version } = toolchain;
  say(`native kernels: ${version}`);
  const env = toolchainEnvironment(toolchain);
  await ledger.step({
    name: "build of the native kernels",
    command: [deno, "task", "build:native"],
  });
  await ledger.tests({
    name: "cargo test",
    command: [cargo, "test", "--release", "--locked"],
    cwd: CRATE,
    // Optimized across the whole crate, the tests would compile for a minute and run no faster.
    env: { ...env, CARGO_PROFILE_RELEASE_LTO: "off", CARGO_PROFILE_RELEASE_CODEGEN_UNITS: "16" },
  });
  const tools = {
    clippy: ["--all-targets", "--locked", "--", "-D", "warnings", ...ALLOWED],
    fmt: ["--check"],
  };
  for (const [tool, args] of Object.entries(tools)) {
    const name = `cargo ${tool}`;
    if (!hasTool(toolchain, tool)) ledger.notRun(name, `${version} comes without it`);
    else await ledger.step({ name, command: [cargo, tool, ...args], cwd: CRATE, env });
  }
}

/** Builds the CUDA kernels: for GPUs where nvcc is, and emulated, so that tests can run them. */
async function buildCuda(): Promise<void> {
  const emulated = "build of the emulated CUDA kernels";
  const compilers = ["c++", "g++", "clang++"];
  if (compilers.every((name) => outputOf(name, ["--version"]) === undefined)) {
    ledger.notRun(emulated, "no C++ compiler here");
  } else {
    await ledger.step({ name: emulated, command: [deno, "task", "build:cuda", "--emulated"] });
  }
  const name = "build of the CUDA kernels";
  if (outputOf("nvcc", ["--version"]) === undefined) return ledger.notRun(name, "no nvcc here");
  await ledger.step({ name, command: [deno, "task", "build:cuda", "--newest"] });
}

/** The commands that README promises, as they stand there. */
async function readmeCommand(task: string): Promise<[string, ...string[]]> {
  const readme = await Deno.readTextFile(join(ROOT, "README.md"));
  const line = readme.split("\n").find((text) => new RegExp(`^npx .* task ${task}$`).test(text));
  if (line === undefined) throw new Error(`README.md names no command for the task ${task}`);
  const words = line.split(" ") as [string, ...string[]];
  const npx = outputOf("npx", ["--version"]) !== undefined;
  return npx ? words : [deno, ...words.slice(words.indexOf("task"))] as [string, ...string[]];
}

/** Clones the last commit, so that nothing uncommitted or built helps. */
async function cleanCheckout(name: string): Promise<string | undefined> {
  const folder = join(scratch, name);
  const { passed, output } = await runStep({
    name: "git clone",
    command: ["git", "clone", "--quiet", "--no-hardlinks", ROOT, folder],
    // The checkout may belong to another user than the one who checks.
    env: { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "safe.directory", GIT_CONFIG_VALUE_0: "*" },
  });
  if (passed) return folder;
  ledger.notRun("clean checkout", output.trim());
  return undefined;
}

async function checkReadme(): Promise<void> {
  const checkout = await cleanCheckout("checkout");
  if (checkout === undefined) return;
  const test = await readmeCommand("test");
  await ledger.tests({
    name: `${test.join(" ")} (clean checkout, WebAssembly)`,
    command: test,
    cwd: checkout,
    env: FIXTURES,
    minutes: TEST_MINUTES,
  });
  const quickstart = await readmeCommand("quickstart");
  await ledger.step({
    name: `${quickstart.join(" ")} (clean checkout)`,
    command: quickstart,
    cwd: checkout,
  });
}

/** Runs the tests on a WebAssembly module that another compiler made. */
async function testRebuilt(built: string): Promise<void> {
  const checkout = await cleanCheckout("rebuilt");
  if (checkout === undefined) return;
  for (const file of ["llamero.wasm", "llamero.json"]) {
    await Deno.copyFile(join(built, file), join(checkout, "kernels/wasm", file));
  }
  await ledger.tests({
    name: "tests on the rebuilt WebAssembly kernels",
    command: [deno, "task", "test"],
    cwd: checkout,
    env: FIXTURES,
    minutes: TEST_MINUTES,
  });
}

async function checkEverything(): Promise<void> {
  const committed = await recordIn(join(ROOT, "kernels/wasm"));
  const missing = await installRust(committed.compiler);
  // Each occupies one processor for minutes, most of the time.
  const [rebuilt] = await Promise.all([rebuildWasm(committed, missing), checkCrate()]);
  await buildCuda();
  await runChecks(CHECKS, (result) => ledger.count(result));
  const withoutMpi = await installMpi();
  if (withoutMpi !== undefined) ledger.notRun("ranks as processes", withoutMpi);
  await ledger.tests({
    name: "tests (working tree, every backend that is here)",
    command: [deno, "task", "test"],
    env: FIXTURES,
    minutes: TEST_MINUTES,
  });
  if (rebuilt !== undefined) await testRebuilt(rebuilt);
  await checkReadme();
}

say(`Deno ${Deno.version.deno}, ${Deno.build.target}, ${navigator.hardwareConcurrency} threads`);
try {
  await checkEverything();
} catch (error) {
  const output = error instanceof Error ? error.stack ?? error.message : String(error);
  ledger.count({ name: "the checks themselves", passed: false, seconds: 0, output });
} finally {
  await Deno.remove(scratch, { recursive: true });
}
if (!ledger.close()) Deno.exit(1);
