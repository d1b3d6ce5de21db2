/** Starts ranks as processes with `mpirun`, where it is. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";
import { nativeLibrary } from "../../../lib/backend/native.ts";

/** How commands are told who they are by whom; other launchers have other names. */
const RANK = "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}";
const RANK_MAIN = new URL("./rank_main.ts", import.meta.url).pathname;

function found(command: string): boolean {
  try {
    return new Deno.Command(command, { args: ["--version"], stdout: "null", stderr: "null" })
      .outputSync().success;
  } catch {
    return false;
  }
}

function libraryIsHere(): boolean {
  try {
    return Deno.statSync(nativeLibrary() ?? "").isFile;
  } catch {
    return false;
  }
}

/** Flags of Open MPI for tests: more ranks than cores, started by anybody. */
export const MPIRUN: readonly string[] = [
  ...["--oversubscribe", "--bind-to", "none"],
  ...(Deno.uid() === 0 ? ["--allow-run-as-root"] : []),
];

/** Why a launcher cannot start two processes that do nothing, or nothing: some machines forbid it. */
export function whyLauncherFails(launcher: readonly string[]): string | undefined {
  const [program, ...args] = launcher;
  const { success, stderr } = new Deno.Command("timeout", {
    args: ["60", program!, ...args, "-n", "2", "true"],
    stdin: "null",
    stdout: "null",
  }).outputSync();
  if (success) return undefined;
  const said = new TextDecoder().decode(stderr).trim().split("\n").find((line) => /\w/.test(line));
  return `${program} starts no processes here: ${said ?? "it does not end"}`;
}

function whyNoMpi(): string | undefined {
  if (!found("mpirun")) return "mpirun is not here";
  if (!libraryIsHere()) return "the native library is not built";
  return found("timeout") ? whyLauncherFails(["mpirun", ...MPIRUN]) : "timeout is not here";
}

/** Why ranks cannot be processes here, or nothing. */
export const NO_MPI: string | undefined = whyNoMpi();

/** How one rank ended. */
export interface RankEnd<Result = never> {
  /** Its exit code, where its shell lived to tell. */
  readonly code: number | undefined;
  /** What it printed on stderr. */
  readonly said: string;
  /** What it returned. */
  readonly result: Result | undefined;
}

/** How ranks are started. */
export interface LaunchOptions {
  /** How many. */
  readonly ranks: number;
  /** Variables that ranks find in their environment, in the place of the launcher's. */
  readonly variables?: Readonly<Record<string, string>>;
  /** What stands before each rank's command. */
  readonly around?: readonly string[];
  /** More flags of the launcher. */
  readonly flags?: readonly string[];
  /** The launcher, with what stands before it and its flags; `mpirun` without. */
  readonly launcher?: readonly string[];
  /** Called when the ranks run; `running` says whether they still do. */
  readonly meanwhile?: (folder: string, running: () => boolean) => Promise<void>;
}

/** A run of ranks that has ended. */
export interface Launched<Result = never> {
  /** How each rank ended, by rank. */
  readonly ends: RankEnd<Result>[];
  /** What the launcher printed. */
  readonly launcher: string;
  /** What ranks printed on stdout. */
  readonly stdout: string;
}

function read(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

function endOf<Result>(folder: string, rank: number): RankEnd<Result> {
  const text = (name: string) => new TextDecoder().decode(read(join(folder, `${rank}.${name}`)));
  const result = read(join(folder, `${rank}.result`));
  const code = text("code").trim();
  return {
    code: code === "" ? undefined : Number(code),
    said: text("said"),
    result: result && deserialize(result) as Result,
  };
}

/** A shell around each rank tells how it ended; signals of the launcher reach both, and it waits. */
const AROUND = `trap : TERM
"$@" 2> "$FOLDER/${RANK}.said"; code=$?
echo $code > "$FOLDER/${RANK}.code"; exit $code`;

interface CommandOptions extends LaunchOptions {
  /** What each rank runs. */
  readonly command: readonly string[];
  /** A folder in which ranks leave how they ended. */
  readonly folder: string;
}

async function start<Result>(options: CommandOptions): Promise<Launched<Result>> {
  const { ranks, variables = {}, around = [], flags = [], command, folder, meanwhile } = options;
  const changed = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  const [program, ...before] = options.launcher ?? ["mpirun", ...MPIRUN];
  const child = new Deno.Command(program!, {
    args: [
      ...[...before, ...flags, "-n", String(ranks)],
      ...["bash", "-c", AROUND, "rank", "env", ...changed, ...around, ...command],
    ],
    env: { FOLDER: folder },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let running = true;
  void child.status.then(() => running = false);
  const [{ stdout, stderr }] = await Promise.all([
    child.output(),
    meanwhile?.(folder, () => running),
  ]);
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return {
    ends: Array.from({ length: ranks }, (_, rank) => endOf<Result>(folder, rank)),
    launcher: text(stderr),
    stdout: text(stdout),
  };
}

async function inFolder<T>(body: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "llamero-mpi-"));
  try {
    return await body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs `llamero` on every rank, waits for their end, and tells how each ended. */
export function launchLlamero(args: readonly string[], options: LaunchOptions): Promise<Launched> {
  const main = new URL("../../../cli/main.ts", import.meta.url).pathname;
  const command = [Deno.execPath(), "run", "--no-check", "-A", main, ...args];
  return inFolder((folder) => start({ ...options, command, folder }));
}

/** Runs the `run` of a module on every rank, waits for their end, and tells how each ended. */
export function launch<Result = never>(
  module: URL,
  options: LaunchOptions & {
    /** What the module's function is given. */
    readonly input: unknown;
    /** Options of `openWorld`. */
    readonly world?: Readonly<Record<string, number>>;
  },
): Promise<Launched<Result>> {
  return inFolder((folder) => {
    writeFileSync(join(folder, "input"), serialize(options.input));
    const rank = [Deno.execPath(), "run", "-A", RANK_MAIN, folder, module.href];
    const command = [...rank, JSON.stringify(options.world ?? {})];
    return start<Result>({ ...options, command, folder });
  });
}
