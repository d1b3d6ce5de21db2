/**
 * What every backend is: a memory, a table of kernels and a few runtime functions.
 *
 * A backend is one file beside this one plus one library. Calls enqueue or compute at once; only
 * reading a result waits.
 *
 * @module
 */

import type { DeviceLink } from "./device_link.ts";
import type { Kernels } from "./kernels.generated.ts";

/** Name of a backend as `--backend` takes it. */
export type BackendName = "wasm" | "native" | "cuda";

/** A byte address in a backend's memory; 0 is "none". */
export type Address = number;

/** What a backend says of itself. */
export interface BackendInfo {
  /** The instruction set that the kernels use, for example `avx2` or `simd128+relaxed`. */
  readonly isa: string;
  /** Threads of the pool, the caller's included. */
  readonly threads: number;
  /** Processor features that were found. */
  readonly features: readonly string[];
}

/** A backend that `auto` would have preferred, and why it was not taken. */
export interface PassedOver {
  /** The backend's name. */
  readonly name: BackendName;
  /** Why it was not taken. */
  readonly reason: string;
  /** Whether the user should hear of it without asking: its library is there but stale. */
  readonly warn: boolean;
}

/** A file that a backend has mapped into its memory, read-only. */
export interface MappedFile {
  /** Address of the file's first byte. */
  readonly address: Address;
  /** Length of the file in bytes. */
  readonly bytes: number;
  /** Takes the pages of a part of it out of the process's memory; reading it brings them back. */
  forget(address: Address, bytes: number): void;
  /** Unmaps it; no address inside it may be used afterwards. */
  close(): void;
}

/** An open backend. Contexts share nothing: two backends in one process are independent. */
export interface Backend {
  /** Which backend it is. */
  readonly name: BackendName;
  /** Threads, instruction set and features. */
  readonly info: BackendInfo;
  /** What `auto` passed over to come to this one; empty where the backend was named. */
  readonly passedOver: readonly PassedOver[];
  /** What ranks with a device each send each other; absent where memory is the processor's. */
  readonly link?: DeviceLink | undefined;
  /** The kernels, with named arguments. A refused argument throws `KernelError`. */
  readonly kernels: Kernels;
  /** Reserves zeroed memory, aligned to 64 bytes. @throws {BackendError} When there is none left. */
  alloc(bytes: number): Address;
  /** Gives back what `alloc` gave. */
  free(address: Address): void;
  /** Copies from JavaScript into the backend's memory. */
  upload(target: Address, source: ArrayBufferView): void;
  /** Waits for what was enqueued, then copies into a JavaScript view. */
  download(target: ArrayBufferView, source: Address): void;
  /** Copies inside the backend's memory. */
  copy(target: Address, source: Address, bytes: number): void;
  /** Fills with one byte value. */
  fill(target: Address, value: number, bytes: number): void;
  /** Maps a whole file read-only, or `undefined` where the backend cannot (WebAssembly): then read
   * the file and `upload` it. */
  mapFile(path: string): MappedFile | undefined;
  /** Waits until everything enqueued has been done. */
  wait(): void;
  /** Resolves when all threads of the pool have started; work does not wait for them otherwise. */
  ready(): Promise<void>;
  /** Ends the context: threads stop and its memory is gone. */
  close(): void;
}
