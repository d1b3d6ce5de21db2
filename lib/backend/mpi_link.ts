/**
 * The native library's link to MPI, as it crosses the border: bytes between processes, who ended, and
 * why the work ended. Threads of the library call MPI and watch the other ranks
 * (`kernels/cpu/src/mpi`); nothing here waits without a limit.
 *
 * @module
 */

import { BackendError } from "../base/errors.ts";
import { nativeLibrary } from "./native.ts";
import { Unavailable } from "./unavailable.ts";

/** The functions of `kernels/cpu/src/mpi/exports.rs`. */
const SYMBOLS = {
  mpi_link_find: {
    parameters: ["buffer", "u32", "buffer", "u32", "buffer"],
    result: "i32",
  },
  mpi_link_open: {
    parameters: ["buffer", "u32", "u32", "u32", "u32", "buffer", "u32", "buffer"],
    result: "i32",
  },
  mpi_link_rank: { parameters: [], result: "u32" },
  mpi_link_size: { parameters: [], result: "u32" },
  mpi_link_write: { parameters: ["u32", "buffer", "u32", "buffer", "f64"], result: "void" },
  mpi_link_read: { parameters: ["u32", "buffer", "f64"], result: "f64" },
  mpi_link_look: { parameters: [], result: "void" },
  mpi_link_sleep: { parameters: ["u32"], result: "void" },
  mpi_link_unsent: { parameters: [], result: "f64" },
  mpi_link_ended: { parameters: ["u32"], result: "u32" },
  mpi_link_verdict: { parameters: ["buffer", "u32", "buffer"], result: "u32" },
  mpi_link_abort: { parameters: ["u32", "buffer", "u32"], result: "void" },
  mpi_link_close: { parameters: ["u32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

const TEXT_BYTES = 8192;

/** An MPI library of this system. */
export interface MpiLibrary {
  /** The name that it was loaded by. */
  readonly name: string;
  /** The first line of what it says of itself. */
  readonly version: string;
}

/** How a link is opened. */
export interface MpiLinkOptions {
  /** Names of MPI libraries, of which the first that can be loaded is. */
  readonly libraries: readonly string[];
  /** Milliseconds between two signs of life. */
  readonly heartbeatMs: number;
  /** Milliseconds after which a rank without signs of life is taken for lost. */
  readonly silenceMs: number;
  /** Milliseconds that the ranks may take to meet. */
  readonly openingMs: number;
}

/** Why the work of all ranks has ended. */
export interface MpiVerdict {
  /** The rank at fault. */
  readonly rank: number;
  /** A sentence that names it. */
  readonly reason: string;
}

/** The link of this process, of which there is one at most. */
export interface MpiLink {
  /** This rank, from 0. */
  readonly rank: number;
  /** How many ranks there are. */
  readonly size: number;
  /** Takes two runs of bytes along as one, for one rank. */
  write(to: number, head: Uint8Array, body: Uint8Array): void;
  /** Fills the start of an array with what came from a rank; returns how many bytes that was. */
  read(from: number, target: Uint8Array): number;
  /** Begins a look at what has come. */
  look(): void;
  /** Sleeps until something came since the last look, at most so many milliseconds. */
  sleep(atMostMs: number): void;
  /** Bytes that have not left yet. */
  unsent(): number;
  /** Whether a rank sends nothing more and all that it sent was read. */
  ended(rank: number): boolean;
  /** Why the work has ended, or nothing; who asks has to end the process then. */
  verdict(): MpiVerdict | undefined;
  /** Ends the work of all ranks. */
  abort(rank: number, reason: string): void;
  /** Ends this rank's part when all others end theirs; says whether they did in that time. */
  close(atMostMs: number): boolean;
}

type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

function load(path: string | undefined): Symbols {
  if (path === undefined) throw new Unavailable("it works from a local checkout only");
  const hint = "deno task build:native";
  try {
    Deno.statSync(path);
  } catch {
    throw new Unavailable(`MPI is reached through the native library: none at ${path}`, { hint });
  }
  try {
    // Never closed: its threads run as long as the process.
    return Deno.dlopen(path, SYMBOLS).symbols;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      throw new Unavailable(`no permission to load ${path}`, { hint: `--allow-ffi=${path}` });
    }
    throw new Unavailable(`${path} has no link to MPI`, { hint });
  }
}

/** A buffer that a text is written to and read from. */
class TextBuffer {
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(TEXT_BYTES);
  readonly number: Uint32Array<ArrayBuffer> = new Uint32Array(1);

  text(length: number): string {
    return new TextDecoder().decode(this.bytes.subarray(0, Math.min(length, TEXT_BYTES)));
  }
}

function namesOf(libraries: readonly string[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(libraries.join("\n"));
}

/**
 * Finds an MPI library without starting it.
 *
 * @throws {Unavailable} Where the native library is not here.
 * @throws {BackendError} Where none of these can be loaded; says why.
 */
export function findMpi(
  libraries: readonly string[],
  path: string | undefined = nativeLibrary(),
): MpiLibrary {
  const symbols = load(path);
  const names = namesOf(libraries);
  const { bytes, number, text } = withText();
  const status = symbols.mpi_link_find(names, names.length, bytes, TEXT_BYTES, number);
  const said = text(number[0]!);
  if (status !== 0) throw new BackendError(`Cannot load MPI: ${said}`);
  const [name = "", version = ""] = said.split("\n");
  return { name, version };
}

function withText() {
  const buffer = new TextBuffer();
  const { bytes, number } = buffer;
  return { bytes, number, text: (length: number) => buffer.text(length) };
}

/**
 * Starts MPI in this process and meets the other ranks.
 *
 * @throws {Unavailable} Where the native library is not here.
 * @throws {BackendError} Where MPI cannot be started; says why.
 */
export function openMpiLink(
  options: MpiLinkOptions,
  path: string | undefined = nativeLibrary(),
): MpiLink {
  const symbols = load(path);
  const names = namesOf(options.libraries);
  const { heartbeatMs, silenceMs, openingMs } = options;
  const { bytes, number, text } = withText();
  const times = [heartbeatMs, silenceMs, openingMs] as const;
  const status = symbols.mpi_link_open(names, names.length, ...times, bytes, TEXT_BYTES, number);
  if (status !== 0) throw new BackendError(`Cannot start MPI: ${text(number[0]!)}`);
  return {
    rank: symbols.mpi_link_rank(),
    size: symbols.mpi_link_size(),
    write: (to, head, body) =>
      symbols.mpi_link_write(to, view(head), head.length, view(body), body.length),
    read: (from, target) => symbols.mpi_link_read(from, view(target), target.length),
    look: () => symbols.mpi_link_look(),
    sleep: (atMostMs) => symbols.mpi_link_sleep(Math.ceil(atMostMs)),
    unsent: () => symbols.mpi_link_unsent(),
    ended: (rank) => symbols.mpi_link_ended(rank) !== 0,
    verdict() {
      const length = symbols.mpi_link_verdict(bytes, TEXT_BYTES, number);
      return length === 0 ? undefined : { rank: number[0]!, reason: text(length) };
    },
    abort(rank, reason) {
      const said = new TextEncoder().encode(reason);
      symbols.mpi_link_abort(rank, said, said.length);
    },
    close: (atMostMs) => symbols.mpi_link_close(atMostMs) === 0,
  };
}

/** Views may lie in shared memory too, of which the border makes no difference. */
function view(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>;
}
