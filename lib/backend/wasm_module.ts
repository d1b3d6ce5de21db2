/**
 * Loads and compiles the WebAssembly kernels, once per process.
 *
 * @module
 */

import { asError } from "../base/errors.ts";
import { Unavailable } from "./unavailable.ts";

/** Pages of 64 KiB that a memory starts with, as the module wants it. */
export const FIRST_PAGES = 32;
/** Pages that a memory can grow to: 4 GiB less one page. */
export const MAX_PAGES = 65535;

/** `(func (result v128) (v128.const 0) (v128.const 0) (v128.const 0) f32x4.relaxed_madd)` */
const RELAXED_PROBE: Uint8Array<ArrayBuffer> = new Uint8Array([
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 61, 1, 59, 0],
  ...[253, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  ...[253, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  ...[253, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  ...[253, 133, 2, 11],
]);

const MODULE = new URL("../../kernels/wasm/llamero.wasm", import.meta.url);
let compiled: Promise<WebAssembly.Module> | undefined;

async function moduleBytes(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  if (url.protocol === "file:") return await Deno.readFile(url);
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function compile(url: URL): Promise<WebAssembly.Module> {
  if (!WebAssembly.validate(RELAXED_PROBE)) {
    throw new Unavailable("this engine has no relaxed SIMD", { hint: "deno upgrade" });
  }
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await moduleBytes(url);
  } catch (error) {
    throw new Unavailable(`cannot read ${url.pathname}: ${asError(error).message}`, {
      hint: "deno task build:wasm",
    });
  }
  try {
    return await WebAssembly.compile(bytes);
  } catch (error) {
    throw new Unavailable(`this engine cannot compile the kernels: ${asError(error).message}`, {
      hint: "deno upgrade",
    });
  }
}

/**
 * The compiled kernels.
 *
 * @throws {Unavailable} When the module is absent or the engine lacks what it needs.
 */
export function wasmModule(url?: URL): Promise<WebAssembly.Module> {
  if (url !== undefined) return compile(url);
  compiled ??= compile(MODULE);
  return compiled;
}
