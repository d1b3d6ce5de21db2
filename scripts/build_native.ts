/**
 * Builds the native kernels for this machine's kind of processor into `kernels/native`.
 *
 *     deno task build:native
 *
 * Any Rust from 1.89 on will do. The library chooses its instruction set when it is opened, so it
 * runs on every processor of the architecture.
 *
 * @module
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { CRATE_FOLDER } from "./kernel_sources.ts";
import { type Toolchain, toolchains } from "./rust_toolchain.ts";

const OLDEST_MINOR = 89;
const FOLDER = new URL("../kernels/native/", import.meta.url);
const NAMES: Readonly<Partial<Record<typeof Deno.build.os, string>>> = {
  darwin: "libllamero_cpu.dylib",
  windows: "llamero_cpu.dll",
};

function fail(message: string, hint: string): never {
  console.error(`build_native: ${message}\nhint: ${hint}`);
  Deno.exit(1);
}

function minor(toolchain: Toolchain): number {
  return Number(/^rustc 1\.(\d+)/.exec(toolchain.version)?.[1] ?? 0);
}

function chooseToolchain(): Toolchain {
  const found = toolchains();
  const usable = found.filter((toolchain) => minor(toolchain) >= OLDEST_MINOR);
  const stable = usable.find((toolchain) => !toolchain.version.includes("nightly"));
  const seen = found.map(({ version }) => version).join(", ") || "none";
  return stable ?? usable[0] ??
    fail(
      `no Rust compiler from 1.${OLDEST_MINOR} on: ${seen}`,
      "install one from https://rustup.rs",
    );
}

const toolchain = chooseToolchain();
const crate = fileURLToPath(CRATE_FOLDER);
const target = Deno.env.get("CARGO_TARGET_DIR") ?? join(crate, "target");
const name = NAMES[Deno.build.os] ?? "libllamero_cpu.so";
console.error(`build_native: ${toolchain.version}`);
const { success, stderr } = await new Deno.Command(toolchain.cargo, {
  args: ["build", "--release", "--locked", "--lib"],
  cwd: crate,
  env: { RUSTC: toolchain.rustc, CARGO_TARGET_DIR: target },
}).output();
Deno.stderr.writeSync(stderr);
if (!success) fail("cargo failed", "the compiler's message stands above");
await Deno.mkdir(FOLDER, { recursive: true });
// A library that a running process has mapped must not change under it: the new one gets a new inode.
const temporary = new URL(`${name}.new`, FOLDER);
await Deno.copyFile(join(target, "release", name), temporary);
await Deno.rename(temporary, new URL(name, FOLDER));
console.error(`build_native: wrote kernels/native/${name}`);
