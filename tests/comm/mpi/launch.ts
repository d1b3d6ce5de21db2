/** Starts ranks as processes with `mpirun`, where it is. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";
import { nativeLibrary } from "../../../lib/backend/native.ts";

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

/** Why ranks cannot be processes here, or nothing. */
export const NO_MPI: string | undefined = !found("mpirun")
  ? "mpirun is not here"
  : !libraryIsHere()
  ? "the native library is not built"
  : undefined;

/** Flags of Open MPI for tests: more ranks than cores, started by anybody. */
export const MPIRUN: readonly string[] = [
  ...["--oversubscribe", "--bind-to", "none"],
  ...(Deno.uid() === 0 ? ["--allow-run-as-root"] : []),
];

/** How one rank ended. */
export interface RankEnd<Result> {
  /** Its exit code, where its shell lived to tell. */
  readonly code: number | undefined;
  /** What it printed about its end. */
  readonly said: string;
  /** What it returned. */
  readonly result: Result | undefined;
}

/** How ranks are started. */
export interface LaunchOptions {
  /** How many. */
  readonly ranks: number;
  /** The module whose `run` they run. */
  readonly module: URL;
  /** What that is given. */
  readonly input: unknown;
  /** Options of `openWorld`. */
  readonly world?: Readonly<Record<string, number>>;
  /** Variables that ranks find in their environment, in the place of the launcher's. */
  readonly variables?: Readonly<Record<string, string>>;
  /** More flags of `mpirun`. */
  readonly flags?: readonly string[];
  /** The command of `mpirun`, with what stands before it. */
  readonly mpirun?: readonly string[];
  /** Called when the ranks run, with the folder in which they leave their process ids. */
  readonly meanwhile?: (folder: string) => Promise<void>;
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
"$@" 2> "$FOLDER/$OMPI_COMM_WORLD_RANK.said"; code=$?
echo $code > "$FOLDER/$OMPI_COMM_WORLD_RANK.code"; exit $code`;

/** Starts ranks, waits for their end, and tells how each ended, with what `mpirun` said. */
export async function launch<Result>(
  options: LaunchOptions,
): Promise<{ readonly ends: RankEnd<Result>[]; readonly launcher: string; readonly ms: number }> {
  const { ranks, module, input, world = {}, variables = {}, flags = [], meanwhile } = options;
  const changed = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  const folder = mkdtempSync(join(tmpdir(), "llamero-mpi-"));
  try {
    writeFileSync(join(folder, "input"), serialize(input));
    const rank = ["env", ...changed, Deno.execPath(), "run", "-A", RANK_MAIN, folder, module.href];
    const [command = "mpirun", ...before] = options.mpirun ?? ["mpirun"];
    const began = performance.now();
    const child = new Deno.Command(command, {
      args: [
        ...[...before, ...MPIRUN, ...flags, "-n", String(ranks)],
        ...["bash", "-c", AROUND, "rank", ...rank, JSON.stringify(world)],
      ],
      env: { FOLDER: folder },
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const [{ stdout, stderr }] = await Promise.all([child.output(), meanwhile?.(folder)]);
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return {
      ends: Array.from({ length: ranks }, (_, rank) => endOf<Result>(folder, rank)),
      launcher: text(stdout) + text(stderr),
      ms: performance.now() - began,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
