/**
 * Runs a command line in memory, so that tests see exit code, stdout and stderr without a process.
 *
 * @module
 */

import { type Io, type Output } from "../../cli/io.ts";
import { main } from "../../cli/main.ts";

/** What a command line left behind. */
export interface Outcome {
  /** The exit code. */
  readonly code: number;
  /** Everything written to stdout. */
  readonly stdout: string;
  /** Everything written to stderr. */
  readonly stderr: string;
}

/** What a command line finds around it. */
export interface Surroundings {
  /** What stdin holds; a terminal where it is absent. */
  readonly stdin?: string | Uint8Array;
  /** The environment; nothing else is set. */
  readonly env?: Readonly<Record<string, string>>;
  /** Aborts as an interrupt would. */
  readonly signal?: AbortSignal;
}

class Memory implements Output {
  readonly terminal = false;
  readonly color = false;
  #decoder = new TextDecoder();
  #text = "";

  columns(): undefined {}

  write(data: string | Uint8Array): void {
    this.#text += typeof data === "string" ? data : this.#decoder.decode(data, { stream: true });
  }

  end(): string {
    return this.#text + this.#decoder.decode();
  }
}

/** Makes an {@linkcode Io} in memory; `ended` gives what was written. */
export function memoryIo(
  { stdin, env = {}, signal }: Surroundings = {},
): { io: Io; ended: () => Omit<Outcome, "code"> } {
  const [stdout, stderr] = [new Memory(), new Memory()];
  const bytes = typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin;
  const io: Io = {
    stdout,
    stderr,
    stdin: {
      terminal: bytes === undefined,
      readable: () => ReadableStream.from(bytes === undefined ? [] : [bytes]),
    },
    env: (name) => env[name] || undefined,
    interruption: () => signal ?? new AbortController().signal,
  };
  return { io, ended: () => ({ stdout: stdout.end(), stderr: stderr.end() }) };
}

/** Runs `llamero <args>` in memory. */
export async function runCli(
  args: readonly string[],
  surroundings: Surroundings = {},
): Promise<Outcome> {
  const { io, ended } = memoryIo(surroundings);
  const code = await main(args, io);
  return { code, ...ended() };
}
