/**
 * The runtime functions of the ABI in TypeScript, Rust and C; `generate_abi.ts` appends them.
 *
 * @module
 */

import { RUNTIME, type RuntimeFunction, type RuntimeType } from "../kernels/abi.ts";

const functions = (): [string, RuntimeFunction][] => Object.entries(RUNTIME);
const parameters = (f: RuntimeFunction): [string, RuntimeType][] => Object.entries(f.params);

/** The meaning of the runtime functions, for the hash. */
export function runtimeMeaning(): unknown {
  return functions().map(([name, f]) => [name, parameters(f), f.result]);
}

const FFI: Readonly<Record<RuntimeType, string>> = {
  address: "f64",
  buffer: "buffer",
  size: "f64",
  u32: "u32",
  i32: "i32",
  f64: "f64",
};

/** Definitions for `Deno.dlopen`, and the functions as a WebAssembly instance exports them. */
export function typescriptRuntime(): string {
  const lines = [
    "",
    "/** The runtime functions as `Deno.dlopen` wants them; addresses and sizes are doubles. */",
    "export const RUNTIME_SYMBOLS = {",
  ];
  for (const [name, f] of functions()) {
    const types = parameters(f).map(([, type]) => `"${FFI[type]}"`).join(", ");
    lines.push(
      `  /** ${f.doc} */`,
      `  rt_${name}: { parameters: [${types}], result: "${FFI[f.result]}" },`,
    );
  }
  lines.push(
    "} as const;",
    "",
    "/** The runtime functions as WebAssembly exports them: every value is a number. */",
    "export type RuntimeExports = {",
    "  readonly [K in keyof typeof RUNTIME_SYMBOLS]: (...args: number[]) => number;",
    "};",
    "",
  );
  return lines.join("\n");
}

const RUST: Readonly<Record<RuntimeType, string>> = {
  address: "Address",
  buffer: "*mut u8",
  size: "f64",
  u32: "u32",
  i32: "i32",
  f64: "f64",
};

/** Exports that hand over to `runtime.rs`; a panic becomes the failing value of the result. */
export function rustRuntime(): string {
  const lines: string[] = [];
  for (const [name, f] of functions()) {
    const signature = parameters(f).map(([argument, type]) => `${argument}: ${RUST[type]}`);
    const args = parameters(f).map(([argument, type]) =>
      type === "size" ? `${argument} as usize` : argument
    );
    const failed = f.result === "i32" ? "1" : f.result === "u32" ? "0" : "0 as _";
    lines.push(
      "",
      `/// ${f.doc}`,
      "#[unsafe(no_mangle)]",
      "#[allow(clippy::missing_safety_doc)]",
      `pub unsafe extern "C" fn rt_${name}(${signature.join(", ")}) -> ${RUST[f.result]} {`,
      `    guard(${failed}, || unsafe { runtime::${name}(${args.join(", ")}) })`,
      "}",
    );
  }
  return lines.join("\n") + "\n";
}

const C: Readonly<Record<RuntimeType, string>> = {
  address: "address_t",
  buffer: "uint8_t *",
  size: "double",
  u32: "uint32_t",
  i32: "int32_t",
  f64: "double",
};

/** Prototypes in C. */
export function headerRuntime(): string {
  const lines: string[] = [];
  for (const [name, f] of functions()) {
    const signature = parameters(f).map(([argument, type]) =>
      `${C[type]}${type === "buffer" ? "" : " "}${argument}`
    );
    lines.push(
      `// ${f.doc}`,
      `${C[f.result]} rt_${name}(${signature.join(", ") || "void"});`,
    );
  }
  return lines.join("\n") + "\n";
}
