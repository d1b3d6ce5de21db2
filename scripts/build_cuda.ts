/**
 * Builds the CUDA kernels into `kernels/cuda/built`.
 *
 *     deno task build:cuda               with nvcc, for GPUs from sm_80 on
 *     deno task build:cuda --newest      the same for sm_90a alone, which takes a third of the time
 *     deno task build:cuda --emulated    with a C++ compiler, to test the kernels without a GPU
 *
 * nvcc from 12.4 on will do; nothing beyond the toolkit's core is needed.
 *
 * @module
 */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { outputOf } from "./rust_toolchain.ts";

const FOLDER = fileURLToPath(new URL("../kernels/cuda/", import.meta.url));
const BUILT = join(FOLDER, "built");

/** Where the emulated library lies. */
export const EMULATED_LIBRARY: string = join(BUILT, "libllamero_cuda_emulated.so");

/** Where the NCCL for emulated GPUs lies. */
export const EMULATED_NCCL: string = join(BUILT, "libnccl_emulated.so");

/** Where the cuBLASLt for emulated GPUs lies. */
export const EMULATED_CUBLASLT: string = join(BUILT, "libcublaslt_emulated.so");

const NEWEST = "arch=compute_90a,code=sm_90a";
const ARCHITECTURES = [
  "arch=compute_80,code=sm_80",
  NEWEST,
  // For cards that are newer than these.
  "arch=compute_90,code=compute_90",
];

function fail(message: string, hint: string): never {
  console.error(`build_cuda: ${message}\nhint: ${hint}`);
  Deno.exit(1);
}

function sources(folder: string, suffix: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith(suffix)).sort()
    .map((name) => join(folder, name));
}

async function run(program: string, args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  Deno.stderr.writeSync(stderr);
  if (!success) fail(`${program} failed`, "the compiler's message stands above");
}

/** Compiles and links to a temporary name: a library that is loaded must not change. */
async function build(name: string, compile: (out: string) => Promise<void>): Promise<void> {
  await Deno.mkdir(BUILT, { recursive: true });
  const temporary = join(BUILT, `${name}.new`);
  await compile(temporary);
  await Deno.rename(temporary, join(BUILT, name));
  console.error(`build_cuda: wrote kernels/cuda/built/${name}`);
}

async function buildForGpu(architectures: readonly string[]): Promise<void> {
  if (outputOf("nvcc", ["--version"]) === undefined) {
    fail("no nvcc here", "install the CUDA toolkit, 12.4 or later");
  }
  const name = Deno.build.os === "windows" ? "llamero_cuda.dll" : "libllamero_cuda.so";
  await build(name, (out) =>
    run("nvcc", [
      ...["-std=c++17", "-O3", "-shared", "-Xcompiler", "-fPIC", "--threads", "0"],
      ...architectures.flatMap((which) => ["-gencode", which]),
      ...sources(FOLDER, ".cu"),
      ...["-ldl", "-o", out],
    ]));
}

async function buildEmulated(): Promise<void> {
  const compiler = ["c++", "g++", "clang++"].find((name) =>
    outputOf(name, ["--version"]) !== undefined
  );
  if (compiler === undefined) fail("no C++ compiler here", "install g++ or clang++");
  const emulator = join(FOLDER, "emulator");
  // The emulator has a context of its own.
  const kernels = sources(FOLDER, ".cu").filter((path) => !path.endsWith("context.cu"));
  await build("libllamero_cuda_emulated.so", (out) =>
    run(compiler, [
      ...["-std=c++17", "-O2", "-pthread", "-ffp-contract=off", "-fPIC", "-shared"],
      "-DLLAMERO_EMULATED",
      ...["-x", "c++", ...kernels, ...sources(emulator, ".cpp"), "-o", out],
    ]));
  const library = (name: string) =>
    build(`lib${name}_emulated.so`, (out) =>
      run(compiler, [
        ...["-std=c++17", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared"],
        ...[...sources(join(emulator, name), ".cpp"), "-o", out],
      ]));
  await library("cublaslt");
  if (Deno.build.os === "linux") await library("nccl"); // it needs /dev/shm
}

if (import.meta.main) {
  const newest = Deno.args.includes("--newest");
  if (Deno.args.includes("--emulated")) await buildEmulated();
  else await buildForGpu(newest ? [NEWEST] : ARCHITECTURES);
}
