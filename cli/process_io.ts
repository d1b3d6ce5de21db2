/**
 * The process as an {@linkcode Io}: blocking writes in order, a closed pipe told apart from failure,
 * interruption as a signal that the work can look at.
 *
 * @module
 */

import { Interrupted } from "../lib/base/errors.ts";
import { fileError } from "../lib/base/file_error.ts";
import { ClosedPipe, type Io, type Output } from "./io.ts";
import { type ChildEnd, type StartAgain, SUPERVISED } from "./supervisor.ts";

/** A pipe that another program made non-blocking is full: waits this long before trying again. */
const FULL_PIPE_WAIT_MS = 2;
/** POSIX's PIPE_BUF: so many bytes go into such a pipe whole or not at all. Of more, an unknown part
 * would be there when Deno says that it is full, and would be written twice. */
const WHOLE_WRITE = Deno.build.os === "linux" ? 4096 : Deno.build.os === "windows" ? 2 ** 20 : 512;

const encoder = new TextEncoder();
const pause = new Int32Array(new SharedArrayBuffer(4));

function writeAll(stream: { writeSync(data: Uint8Array): number }, data: Uint8Array): void {
  for (let at = 0; at < data.length;) {
    try {
      at += stream.writeSync(data.subarray(at, at + WHOLE_WRITE));
    } catch (error) {
      if (error instanceof Deno.errors.BrokenPipe) throw new ClosedPipe();
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      Atomics.wait(pause, 0, 0, FULL_PIPE_WAIT_MS);
    }
  }
}

function columns(): number | undefined {
  try {
    return Deno.consoleSize().columns;
  } catch {
    return undefined; // A console without a size, such as a serial line.
  }
}

/** What is said beside the results is no reason to lose them: on stderr every failure is passed over. */
function output(stream: typeof Deno.stdout | typeof Deno.stderr, failed: "end" | "ignore"): Output {
  const terminal = stream.isTerminal();
  return {
    terminal,
    color: terminal && !Deno.noColor,
    columns: () => terminal ? columns() : undefined,
    write(data) {
      try {
        writeAll(stream, typeof data === "string" ? encoder.encode(data) : data);
      } catch (error) {
        if (failed === "ignore") return;
        throw error instanceof ClosedPipe
          ? error
          : fileError(error, { action: "write", path: "stdout" });
      }
    },
  };
}

/**
 * Signals that ask a process to stop; Windows knows but the first. The third is what batch systems send
 * some time before the end (`--signal=USR1@300`), and the one that mpirun passes on without killing.
 */
const STOPPING: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT"]
  : ["SIGINT", "SIGTERM", "SIGUSR1"];

const interrupted = () => new Interrupted("Interrupted");

function interruption(): AbortSignal {
  const controller = new AbortController();
  let discard = () => {};
  // Imported here because it costs start-up time, and before the signal because that cannot wait.
  void import("../lib/base/unfinished.ts").then((outputs) => discard = outputs.discardUnfinished);
  const onSignal = () => {
    if (controller.signal.aborted) {
      discard();
      Deno.exit(130);
    }
    controller.abort(interrupted());
  };
  for (const signal of STOPPING) Deno.addSignalListener(signal, onSignal);
  if (environment(SUPERVISED) !== undefined) onOrphaned(() => controller.abort(interrupted()));
  return controller.signal;
}

/** Between two looks at whether the supervisor still lives. */
const SUPERVISOR_POLL_MS = 1000;

/** Calls back once this process's parent is no more: a child that nobody waits for must not go on. */
function onOrphaned(orphaned: () => void): void {
  const parent = Deno.ppid;
  const timer = setInterval(() => {
    if (Deno.ppid === parent) return;
    clearInterval(timer);
    orphaned();
  }, SUPERVISOR_POLL_MS);
  Deno.unrefTimer(timer);
}

/** An environment variable that is set and may be read. */
function environment(name: string): string | undefined {
  try {
    return Deno.env.get(name) || undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    throw error;
  }
}

/** Makes the {@linkcode Io} of this process. */
export function processIo(): Io {
  let signal: AbortSignal | undefined;
  return {
    stdout: output(Deno.stdout, "end"),
    stderr: output(Deno.stderr, "ignore"),
    stdin: { terminal: Deno.stdin.isTerminal(), readable: () => Deno.stdin.readable },
    env: environment,
    interruption: () => signal ??= interruption(),
    startAgain: mayRun() ? startAgain : undefined,
  };
}

function mayRun(): boolean {
  const permission = { name: "run", command: Deno.execPath() } as const;
  return Deno.permissions.querySync(permission).state === "granted";
}

/** What a child may do: what the program's own task in deno.json allows it. */
const PERMISSIONS = ["read", "write", "env", "ffi", "sys", "run"].map((name) => `--allow-${name}`);

async function startAgain(
  ...[args, { env, signal, kill }]: Parameters<StartAgain>
): Promise<ChildEnd> {
  const runs = Deno.build.standalone ? [] : ["run", ...PERMISSIONS, Deno.mainModule];
  const child = new Deno.Command(Deno.execPath(), {
    args: [...runs, ...args ?? Deno.args],
    env,
    // A terminal's Ctrl-C reaches this process alone, which passes it on: once, not twice.
    detached: true,
  }).spawn();
  const onAbort = () => child.kill("SIGINT");
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort);
  const onKill = () => child.kill("SIGKILL");
  kill?.addEventListener("abort", onKill);
  try {
    const { code, signal: ended } = await child.status;
    return { code, signal: ended ?? undefined };
  } finally {
    signal.removeEventListener("abort", onAbort);
    kill?.removeEventListener("abort", onKill);
  }
}

/**
 * Goes to the folder that the user called from. `deno task` starts its commands in the folder of
 * deno.json and leaves the caller's in `INIT_CWD`; only a process that stands there follows it,
 * because an outer task of another project sets the variable for everything below it.
 */
export function enterCallersFolder(): void {
  const caller = environment("INIT_CWD");
  if (caller === undefined) return;
  const root = new URL("../", import.meta.url);
  if (root.protocol !== "file:") return;
  const here = Deno.cwd();
  if (here !== caller && sameFolder(here, root)) Deno.chdir(caller);
}

function sameFolder(path: string, folder: URL): boolean {
  try {
    return Deno.realPathSync(path) === Deno.realPathSync(folder);
  } catch {
    return false;
  }
}
