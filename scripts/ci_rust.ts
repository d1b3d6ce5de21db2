/**
 * Rust for the checks of a machine where nobody installed anything: Debian's packages where the
 * machine takes them, and the toolchain that tests, formats and lints the crate.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { installPackages } from "./ci_apt.ts";
import { librarySources, type Toolchain, toolchains, wasmLinker } from "./rust_toolchain.ts";

/** Debian's Rust for browsers knows WebAssembly and brings the library's sources. */
const PACKAGES = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm"];
const TOOLS = ["rustfmt-web", "rust-web-clippy"];

/** Whether a compiler of this version is here with all that the WebAssembly build needs. */
function canBuildWasm(version: string): boolean {
  const usable = toolchains().find((toolchain) =>
    toolchain.version === version && librarySources(toolchain) !== undefined
  );
  return usable !== undefined && wasmLinker(usable) !== undefined;
}

/** Debian's `rust-lld` is a link to the linker of some LLVM, which is a package of that name. */
function linkerPackage(): string[] {
  try {
    return [Deno.readLinkSync("/usr/bin/rust-lld")];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/**
 * Installs Debian's Rust where the compiler that made the committed WebAssembly is not here; returns
 * why it could not, or nothing.
 */
export async function installRust(recorded: string): Promise<string | undefined> {
  if (canBuildWasm(recorded)) return undefined;
  return await installPackages(PACKAGES, () => [...linkerPackage(), ...TOOLS]);
}

/** Whether any toolchain here can build the WebAssembly kernels. */
export function anyWasmToolchain(): boolean {
  return toolchains().some(({ version }) => canBuildWasm(version));
}

/** The toolchain that tests the native library: stable before nightly, with clippy before without. */
export function nativeToolchain(): Toolchain | undefined {
  const [nightly, stable] = [true, false].map((wanted) =>
    toolchains().filter(({ version }) => version.includes("nightly") === wanted)
  );
  const found = [...stable!, ...nightly!];
  return found.find((toolchain) => hasTool(toolchain, "clippy")) ?? found[0];
}

/** Whether a toolchain has one of cargo's further commands, such as `clippy`. */
export function hasTool(toolchain: Toolchain, name: string): boolean {
  const suffix = Deno.build.os === "windows" ? ".exe" : "";
  return existsSync(join(dirname(toolchain.cargo), `cargo-${name}${suffix}`));
}

/** Environment in which a toolchain's cargo finds its own compiler and tools first. */
export function toolchainEnvironment({ cargo, rustc }: Toolchain): Record<string, string> {
  return { RUSTC: rustc, PATH: `${dirname(cargo)}${delimiter}${Deno.env.get("PATH") ?? ""}` };
}
