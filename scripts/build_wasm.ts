/**
 * Builds the WebAssembly kernels into `kernels/wasm`.
 *
 *     deno task build:wasm [--out FOLDER]   builds; FOLDER instead of kernels/wasm
 *     deno task build:wasm --check          compares hashes only; needs no Rust
 *
 * The standard library is compiled along, because the one that comes with Rust knows no threads in
 * WebAssembly: this needs the library's sources (`rust-src`) and unstable options, so a nightly
 * compiler, or another one with RUSTC_BOOTSTRAP=1. The result holds no path and no date: the same
 * compiler gives the same bytes everywhere.
 *
 * @module
 */

import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { joined } from "../lib/base/joined.ts";
import { CRATE_FOLDER, sha256, sourceHash } from "./kernel_sources.ts";
import {
  librarySources,
  linkerVersion,
  type Toolchain,
  toolchains,
  wasmLinker,
} from "./rust_toolchain.ts";

const TARGET = "wasm32-unknown-unknown";
const COMMITTED = new URL("../kernels/wasm/", import.meta.url);
const NAME = "llamero.wasm";
const RECORD = "llamero.json";

/** One page less than 4 GiB, so that every end of a block has an address. */
const MAX_MEMORY = 65535 * 65536;
const STACK = 1 << 20;
/** What the importing side reserves at first, `FIRST_PAGES` of lib/backend/wasm_module.ts. */
const FIRST_MEMORY = 32 * 65536;

/**
 * Loop strength reduction is off: it gives every operand of a loop a pointer of its own, where the
 * engine wants one with constant offsets (kernels/lab/LOG.md has the numbers).
 */
const RUST_FLAGS = [
  "-Ctarget-feature=+simd128,+relaxed-simd,+atomics,+bulk-memory,+mutable-globals",
  "-Clink-arg=--shared-memory",
  "-Clink-arg=--import-memory",
  `-Clink-arg=--initial-memory=${FIRST_MEMORY}`,
  `-Clink-arg=--max-memory=${MAX_MEMORY}`,
  "-Clink-arg=--export=__stack_pointer",
  `-Clink-arg=-zstack-size=${STACK}`,
  "-Clink-arg=--strip-all",
  "-Zlocation-detail=none",
  "-Cllvm-args=-disable-lsr",
] as const;
const CARGO_FLAGS = [
  "--release",
  "--lib",
  "--locked",
  `--target=${TARGET}`,
  "-Zbuild-std=core,alloc",
  `--config=profile.release.panic="abort"`,
] as const;

/** What stands beside the built module. */
interface BuildRecord {
  /** Hash of all sources and flags. */
  readonly sources: string;
  /** Hash of the module. */
  readonly module: string;
  /** What `rustc --version` said. */
  readonly compiler: string;
  /** What the linker said. */
  readonly linker: string;
}

function fail(message: string, hint: string): never {
  console.error(`build_wasm: ${message}\nhint: ${hint}`);
  Deno.exit(1);
}

async function recordOf(folder: URL): Promise<BuildRecord | undefined> {
  const text = await Deno.readTextFile(new URL(RECORD, folder)).catch(() => undefined);
  return text === undefined ? undefined : JSON.parse(text) as BuildRecord;
}

/** The toolchain that the record names, else a nightly one, else any that has the sources. */
function chooseToolchain(recorded: string | undefined): Toolchain {
  const usable = toolchains().filter((toolchain) => librarySources(toolchain) !== undefined);
  const chosen = usable.find((t) => t.version === recorded) ??
    usable.find((t) => t.version.includes("nightly")) ?? usable[0];
  return chosen ?? fail(
    "no Rust compiler here has the sources of the standard library",
    "rustup toolchain install nightly --component rust-src, or on Debian: " +
      "apt-get install rustc-web cargo-web rust-web-src",
  );
}

/** The module without custom sections: names, producers and features that name the build. */
function withoutCustomSections(module: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const kept: Uint8Array[] = [module.subarray(0, 8)];
  for (let at = 8; at < module.length;) {
    const start = at;
    const id = module[at++]!;
    let size = 0;
    for (let shift = 0;; shift += 7) {
      const byte = module[at++]!;
      size += (byte & 127) * 2 ** shift;
      if (byte < 128) break;
    }
    at += size;
    if (id !== 0) kept.push(module.subarray(start, at));
  }
  return joined(Uint8Array, kept);
}

async function compile(toolchain: Toolchain, linker: string): Promise<Uint8Array<ArrayBuffer>> {
  const library = librarySources(toolchain)!;
  const crate = fileURLToPath(CRATE_FOLDER);
  const target = Deno.env.get("CARGO_TARGET_DIR") ?? join(crate, "target");
  const flags = [
    ...RUST_FLAGS,
    `-Clinker=${linker}`,
    `--remap-path-prefix=${crate}=`,
    `--remap-path-prefix=${library}=library`,
  ];
  const vendor = join(library, "vendor");
  const offline = await Deno.stat(vendor).then(() => [
    "--offline",
    `--config=source.crates-io.replace-with="vendored"`,
    `--config=source.vendored.directory=${JSON.stringify(vendor)}`,
  ], () => []);
  const { success } = await new Deno.Command(toolchain.cargo, {
    args: ["build", ...CARGO_FLAGS, ...offline],
    cwd: crate,
    env: {
      RUSTC: toolchain.rustc,
      RUSTC_BOOTSTRAP: "1",
      CARGO_ENCODED_RUSTFLAGS: flags.join("\x1f"),
      CARGO_TARGET_DIR: target,
    },
  }).output().then((output) => {
    Deno.stderr.writeSync(output.stderr);
    return output;
  });
  if (!success) fail("cargo failed", "the compiler's message stands above");
  return withoutCustomSections(
    await Deno.readFile(join(target, TARGET, "release", "llamero_cpu.wasm")),
  );
}

async function build(folder: URL): Promise<void> {
  const recorded = await recordOf(COMMITTED);
  const toolchain = chooseToolchain(recorded?.compiler);
  const linker = wasmLinker(toolchain) ??
    fail("no linker for WebAssembly", "install lld, or any toolchain with rustup: it brings one");
  const version = linkerVersion(linker) ?? linker;
  console.error(`build_wasm: ${toolchain.version}, ${version}`);
  const sources = await sourceHash([...RUST_FLAGS, ...CARGO_FLAGS]);
  const module = await compile(toolchain, linker);
  const record: BuildRecord = {
    sources,
    module: await sha256(module),
    compiler: toolchain.version,
    linker: version,
  };
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeFile(new URL(NAME, folder), module);
  await Deno.writeTextFile(new URL(RECORD, folder), JSON.stringify(record, null, 2) + "\n");
  console.error(`build_wasm: wrote ${module.length} bytes, sha256 ${record.module}`);
}

async function check(): Promise<void> {
  const hint = "deno task build:wasm";
  const record = await recordOf(COMMITTED) ?? fail(`kernels/wasm/${RECORD} is missing`, hint);
  if (record.sources !== await sourceHash([...RUST_FLAGS, ...CARGO_FLAGS])) {
    fail(`kernels/wasm/${NAME} was built from other sources than those in kernels/cpu`, hint);
  }
  const module = await Deno.readFile(new URL(NAME, COMMITTED)).catch(() => new Uint8Array());
  if (record.module !== await sha256(module)) {
    fail(`kernels/wasm/${NAME} is not the module that ${RECORD} describes`, hint);
  }
}

if (Deno.args.includes("--check")) await check();
else {
  const out = Deno.args.indexOf("--out");
  const folder = out < 0 ? undefined : Deno.args[out + 1];
  await build(folder === undefined ? COMMITTED : pathToFileURL(join(folder, "/")));
}
