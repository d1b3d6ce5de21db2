/**
 * The runtime functions: what every library exports beside its kernels, as `rt_<name>`.
 *
 * @module
 */

/**
 * How a value of a runtime function travels: `address` lies in the backend's memory (natively a
 * double, in WebAssembly an i32), `buffer` is JavaScript's memory natively and CUDA's host memory,
 * but an address in WebAssembly; `size` is a byte count up to 2^53.
 */
export type RuntimeType = "address" | "buffer" | "size" | "u32" | "i32" | "f64";

/** One runtime function. */
export interface RuntimeFunction {
  /** One sentence. */
  readonly doc: string;
  /** Arguments in order. */
  readonly params: Readonly<Record<string, RuntimeType>>;
  /** What it returns; an i32 is a status: 0, or not and `last_error` says why. */
  readonly result: "address" | "u32" | "i32" | "f64";
}

/** The runtime functions, in the order of their use. Texts are UTF-8 without a final zero. */
export const RUNTIME: Readonly<Record<string, RuntimeFunction>> = {
  abi_hash: {
    doc: "Hash of the table that the library was built from.",
    params: {},
    result: "f64",
  },
  open: {
    doc: "Opens a context whose pool has `threads` threads, the caller's included; 0 on failure.",
    params: { threads: "u32" },
    result: "address",
  },
  close: {
    doc: "Ends a context: its threads stop, its memory and mapped files are gone.",
    params: { context: "address" },
    result: "i32",
  },
  info: {
    doc: "Writes what the context is as JSON (isa, threads, features); returns the bytes needed.",
    params: { context: "address", text: "buffer", capacity: "u32" },
    result: "u32",
  },
  last_error: {
    doc: "Writes why the last call of the context failed; returns the bytes needed.",
    params: { context: "address", text: "buffer", capacity: "u32" },
    result: "u32",
  },
  alloc: {
    doc: "Reserves zeroed memory, aligned to 64 bytes; 0 when there is none left.",
    params: { context: "address", bytes: "size" },
    result: "address",
  },
  free: {
    doc: "Gives back what `alloc` gave.",
    params: { context: "address", memory: "address" },
    result: "i32",
  },
  upload: {
    doc: "Copies from JavaScript's memory into the backend's.",
    params: { context: "address", target: "address", source: "buffer", bytes: "size" },
    result: "i32",
  },
  download: {
    doc: "Waits for what was enqueued, then copies into JavaScript's memory.",
    params: { context: "address", target: "buffer", source: "address", bytes: "size" },
    result: "i32",
  },
  copy: {
    doc: "Copies inside the backend's memory; the ranges may overlap.",
    params: { context: "address", target: "address", source: "address", bytes: "size" },
    result: "i32",
  },
  fill: {
    doc: "Fills with one byte value.",
    params: { context: "address", target: "address", value: "u32", bytes: "size" },
    result: "i32",
  },
  map_file: {
    doc: "Maps a whole file read-only; writes its address and its length as two doubles.",
    params: { context: "address", path: "buffer", path_bytes: "u32", out: "buffer" },
    result: "i32",
  },
  unmap_file: {
    doc: "Unmaps what `map_file` mapped.",
    params: { context: "address", memory: "address" },
    result: "i32",
  },
  forget_pages: {
    doc: "Takes the pages of a part of a mapped file out of memory; reading it brings them back.",
    params: { context: "address", memory: "address", bytes: "size" },
    result: "i32",
  },
  queue: {
    doc: "Chooses the queue of the calls that follow; queues run side by side where there are any.",
    params: { context: "address", index: "u32" },
    result: "i32",
  },
  event: {
    doc: "Marks what is enqueued so far on the chosen queue, for `wait`.",
    params: { context: "address" },
    result: "f64",
  },
  wait: {
    doc: "Waits until an event has been reached; event 0 is everything enqueued.",
    params: { context: "address", event: "f64" },
    result: "i32",
  },
};
