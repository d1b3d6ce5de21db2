/** Runs a program of `rank_programs.ts` on some ranks. */

import { type LocalRunOptions, runLocal } from "../../lib/comm/local/run.ts";
import { PATIENCE_MS } from "../time_limits.ts";
import type { ProgramInput } from "./rank_programs.ts";

const MODULE = new URL("./rank_programs.ts", import.meta.url);

/** Results by rank. */
export function onRanks<Result>(
  ranks: number,
  input: ProgramInput,
  options: Partial<LocalRunOptions<never>> = {},
): Promise<Result[]> {
  return runLocal<Result>(MODULE, { timeLimitMs: PATIENCE_MS, ...options, ranks, input });
}
