/**
 * Runs the ranks of `llamero train --virtual-ranks N` as workers of this process, and starts all of
 * them again where one fails and that is wanted.
 *
 * @module
 */

import { ConfigError, Interrupted } from "../../lib/base/errors.ts";
import { runLocal } from "../../lib/comm/local/run.ts";
import { withRestarts } from "../../lib/train/run.ts";
import type { RunConfig } from "../../lib/train/run_config.ts";
import type { RunPaths } from "../../lib/train/run_folder.ts";
import type { Io, Output } from "../io.ts";
import type { LogOptions } from "../ui/log.ts";
import type { TrainedSession } from "./train_session.ts";

/** What a virtual rank is given. */
export interface VirtualRankInput {
  /** The run's config. */
  readonly config: RunConfig;
  /** The run's folder. */
  readonly paths: RunPaths;
  /** How much is said. */
  readonly log: LogOptions;
  /** What stderr is. */
  readonly stderr: Pick<Output, "terminal" | "color"> & { readonly columns: number | undefined };
  /** The CUDA library instead of the usual one. */
  readonly cudaLibrary: string | undefined;
  /** Name or path of NCCL instead of the usual ones, or "off". */
  readonly nccl: string | undefined;
  /** One word, which becomes 1 when the run is asked to end. */
  readonly stop: SharedArrayBuffer;
}

/** What a virtual rank returns: an interruption or a config refused is no failure of one rank alone. */
export type VirtualRankResult =
  | { readonly trained: TrainedSession }
  | {
    /** Why all ranks have ended. */
    readonly ended: "interrupted" | "refused";
    /** What the error says. */
    readonly message: string;
    /** What it advises, where it advises something. */
    readonly hint: string | undefined;
  };

/** What the ranks of a process are run for. */
export interface VirtualCall {
  /** The run's config. */
  readonly config: RunConfig;
  /** The run's folder, whose lock is held. */
  readonly paths: RunPaths;
  /** How much is said. */
  readonly values: LogOptions;
  /** Where it is said. */
  readonly io: Io;
  /** Asks the run to save and end. */
  readonly signal: AbortSignal;
  /** Is told of a failure after which all ranks are started again. */
  readonly onRestart: (failure: Error, count: number) => void;
}

const MODULE = new URL("./train_rank.ts", import.meta.url);

/**
 * Trains on virtual ranks.
 *
 * @throws {Interrupted} Where the signal asked for the end; the state is saved.
 * @throws {LlameroError} Where a rank failed more often than it may; names it.
 */
export async function trainVirtual(call: VirtualCall): Promise<TrainedSession> {
  const { config, paths, values: { quiet, verbose }, io, signal } = call;
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const onAbort = () => Atomics.store(stop, 0, 1);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort);
  const { terminal, color } = io.stderr;
  const input: VirtualRankInput = {
    ...{ config, paths, log: { quiet, verbose } },
    stderr: { terminal, color, columns: io.stderr.columns() },
    ...{ cudaLibrary: io.env("LLAMERO_CUDA"), nccl: io.env("LLAMERO_NCCL") },
    stop: stop.buffer as SharedArrayBuffer,
  };
  try {
    return await withRestarts(call, async () => {
      const [first] = await runLocal<VirtualRankResult>(MODULE, {
        ranks: config.settings.virtualRanks,
        input,
        onTold: (_, text) => io.stderr.write(text as string),
      });
      if ("trained" in first!) return first.trained;
      const { ended, message, hint } = first!;
      throw new (ended === "interrupted" ? Interrupted : ConfigError)(message, { hint });
    });
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
