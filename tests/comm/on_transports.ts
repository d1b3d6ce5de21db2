/**
 * Registers a test once per transport, so that each proves the same sentence: ranks as workers of
 * this process, and as processes that `mpirun` starts.
 *
 * @module
 */

import assert from "node:assert/strict";
import { CommunicationError } from "../../lib/base/errors.ts";
import { PATIENCE_MS } from "../time_limits.ts";
import { launch, NO_MPI, type RankEnd } from "./mpi/launch.ts";
import { onRanks } from "./on_ranks.ts";
import type { ProgramInput } from "./rank_programs.ts";

const MODULE = new URL("./rank_programs.ts", import.meta.url);
const SAID = /^(?:error|llamero): (.*)$/m;

/** How the ranks of a test are run. */
export interface TransportOptions {
  /** Bytes that may be on their way, where the transport has such a limit. */
  readonly ringBytes?: number;
  /** The longest wait for one call. */
  readonly timeLimitMs?: number;
}

/** What a test on a transport gets. */
export interface OnTransport {
  /** The transport's name. */
  readonly name: "local" | "mpi";
  /** Runs a program of `rank_programs.ts`; results by rank. */
  run<Result>(ranks: number, input: ProgramInput, options?: TransportOptions): Promise<Result[]>;
}

/** What a rank said when it failed, or nothing. */
export function messageOf(end: RankEnd<unknown>): string | undefined {
  return end.said.match(SAID)?.[1];
}

async function onProcesses<Result>(
  ranks: number,
  input: ProgramInput,
  { timeLimitMs = PATIENCE_MS }: TransportOptions = {},
): Promise<Result[]> {
  const { ends, launcher } = await launch<Result>(MODULE, {
    ...{ ranks, input, world: { timeLimitMs } },
  });
  const failed = ends.find((end) => messageOf(end) !== undefined);
  if (failed !== undefined) throw new CommunicationError(messageOf(failed)!);
  for (const { code, said } of ends) assert.equal(code, 0, said + launcher);
  return ends.map(({ result }) => result!);
}

const TRANSPORTS: readonly OnTransport[] = [
  { name: "local", run: onRanks },
  { name: "mpi", run: onProcesses },
];

/** Registers `name` for each transport; one that is not here is listed with the reason. */
export function onTransports(
  name: string,
  body: (on: OnTransport) => Promise<void>,
  options: { readonly only?: "local" | "mpi" } = {},
): void {
  for (const transport of TRANSPORTS) {
    if (options.only !== undefined && options.only !== transport.name) continue;
    const reason = transport.name === "mpi" ? NO_MPI : undefined;
    const full = `${name} (${transport.name})`;
    if (reason === undefined) Deno.test(full, () => body(transport));
    else Deno.test({ name: `${full} (ignored: ${reason})`, ignore: true, fn: () => {} });
  }
}
