/**
 * Finds the Rust toolchains of this machine for the scripts that build the kernels.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const WINDOWS = Deno.build.os === "windows";
const EXE = WINDOWS ? ".exe" : "";

/** A compiler with its package manager. */
export interface Toolchain {
  /** The `cargo` to run. */
  readonly cargo: string;
  /** The `rustc` that cargo must use. */
  readonly rustc: string;
  /** What `rustc --version` says. */
  readonly version: string;
  /** Where the compiler keeps its libraries. */
  readonly sysroot: string;
}

/** What a program prints on stdout, or `undefined` where it cannot run or fails. */
export function outputOf(command: string, args: readonly string[]): string | undefined {
  try {
    const output = new Deno.Command(command, { args: [...args], stderr: "null" }).outputSync();
    return output.success ? new TextDecoder().decode(output.stdout).trim() : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Folders in which a rustup toolchain or a system's package keeps `cargo` and `rustc`. */
function folders(): string[] {
  const home = Deno.env.get("RUSTUP_HOME") ?? join(homedir(), ".rustup");
  const toolchains = join(home, "toolchains");
  const installed = existsSync(toolchains)
    ? [...Deno.readDirSync(toolchains)].map((entry) => join(toolchains, entry.name, "bin")).sort()
    : [];
  const path = (Deno.env.get("PATH") ?? "").split(WINDOWS ? ";" : ":").filter((p) => p !== "");
  return [...installed, ...path, "/usr/bin"];
}

/** Every toolchain of this machine: rustup's, those on PATH and the system's. */
export function toolchains(): Toolchain[] {
  const found = new Map<string, Toolchain>();
  for (const folder of new Set(folders())) {
    const cargo = join(folder, `cargo${EXE}`);
    const rustc = join(folder, `rustc${EXE}`);
    if (!existsSync(cargo) || !existsSync(rustc)) continue;
    const version = outputOf(rustc, ["--version"]);
    const sysroot = outputOf(rustc, ["--print", "sysroot"]);
    if (version === undefined || sysroot === undefined || found.has(sysroot)) continue;
    found.set(sysroot, { cargo, rustc, version, sysroot });
  }
  return [...found.values()];
}

/** Folder of the standard library's sources, where the toolchain has them. */
export function librarySources(toolchain: Toolchain): string | undefined {
  const folder = join(toolchain.sysroot, "lib/rustlib/src/rust/library");
  return existsSync(join(folder, "core/src/lib.rs")) ? folder : undefined;
}

/** A linker for WebAssembly: the compiler's own, another toolchain's, or LLVM's. */
export function wasmLinker(toolchain: Toolchain): string | undefined {
  const inside = (t: Toolchain): string[] => {
    const host = outputOf(t.rustc, ["--print", "host-tuple"]);
    return host === undefined
      ? []
      : [join(t.sysroot, "lib/rustlib", host, "bin", `rust-lld${EXE}`)];
  };
  const beside = [toolchain, ...toolchains()].flatMap(inside).filter((path) => existsSync(path));
  const named = ["rust-lld", "wasm-ld"];
  return [...beside, ...named].find((path) => linkerVersion(path) !== undefined);
}

/** What a linker says of itself, or `undefined` where it cannot run. */
export function linkerVersion(linker: string): string | undefined {
  const flavor = linker.includes("rust-lld") ? ["-flavor", "wasm"] : [];
  return outputOf(linker, [...flavor, "--version"])?.replace(/ \(.*/, "");
}
