/**
 * A session of a run on this rank, shown where this rank is the one that shows.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { quotedPath } from "../../lib/base/quoted.ts";
import type { Communicator } from "../../lib/comm/communicator.ts";
import { repeatedShares } from "../../lib/data/shares.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled_tokenizer.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import type { MetricsRow } from "../../lib/train/metrics.ts";
import { trainSession } from "../../lib/train/run.ts";
import { type RunConfig, withBackend } from "../../lib/train/run_config.ts";
import { checkpointName, latestStep, type RunPaths } from "../../lib/train/run_folder.ts";
import { writeRunConfig } from "../../lib/train/run_start.ts";
import { runTokenizerOf } from "../../lib/train/run_tokenizer.ts";
import type { TrainState } from "../../lib/train/state.ts";
import type { Io } from "../io.ts";
import { VERSION } from "../version.ts";
import { openBackendFor } from "../open_backend.ts";
import type { Log } from "../ui/log.ts";
import { Watch } from "./train_watch.ts";

/** What a rank trains with. */
export interface RankCall {
  /** The run's config. */
  readonly config: RunConfig;
  /** The run's folder, whose lock is held. */
  readonly paths: RunPaths;
  /** The run's tokenizer, for samples and evaluation in bits per byte. */
  readonly tokenizer: CompiledTokenizer;
  /** Where notes go; nowhere on ranks that do not show. */
  readonly log: Log;
  /** Whether a person looks at stderr. */
  readonly io: Pick<Io, "stderr">;
  /** Asks the run to save and end. */
  readonly signal: Pick<AbortSignal, "aborted">;
  /** All ranks; this process alone without. */
  readonly world?: Communicator | undefined;
  /** How many of them are on this machine. */
  readonly localRanks?: number | undefined;
  /** The GPU that it computes on, where it is to have one. */
  readonly gpu?: GpuChoice | undefined;
}

/** A rank's GPU. */
export interface GpuChoice {
  /** Whether nothing else will do. */
  readonly wanted: boolean;
  /** Which of this machine's ranks takes it. */
  readonly localRank: number;
  /** The CUDA library instead of the usual one. */
  readonly library: string | undefined;
  /** Name or path of NCCL instead of the usual ones, or "off". */
  readonly nccl: string | undefined;
}

/** What a session came to. */
export interface TrainedSession {
  /** The state at the end. */
  readonly state: TrainState;
  /** The last row of metrics, on the rank that shows. */
  readonly last: MetricsRow | undefined;
}

/** Opens the tokenizer of a run; where it has moved, that of its latest checkpoint. */
export function openRunTokenizer(
  { settings }: Pick<RunConfig, "settings">,
  paths: RunPaths,
): Promise<CompiledTokenizer> {
  const latest = latestStep(paths);
  const own = latest === undefined ? undefined : join(paths.checkpoints, checkpointName(latest));
  const path = existsSync(settings.tokenizer) || own === undefined ? settings.tokenizer : own;
  return openTokenizer(path);
}

/** Trains a session. @throws {LlameroError} See `trainSession`. */
export async function trainHere(call: RankCall): Promise<TrainedSession> {
  const { config, paths, tokenizer, log, io, signal, world, localRanks = 1, gpu } = call;
  let watch: Watch | undefined;
  try {
    const state = await trainSession({
      ...{ config, paths, signal, world, localRanks, nccl: gpu?.nccl, version: VERSION },
      tokenizer: runTokenizerOf(tokenizer),
      openBackend: () => {
        const { backend, threads } = config.settings;
        const ours = gpu?.wanted ? "cuda" as const : backend;
        return openBackendFor({ backend: ours, threads, ranks: localRanks, cuda: gpu }, log);
      },
      observe: (session) => {
        writeRunConfig(paths, withBackend(config, session.backend.name));
        for (const { name, epochs } of repeatedShares(session.data.shares)) {
          log.warn(`${quotedPath(name)} is seen ${epochs.toFixed(1)} times, more than 4`);
        }
        return watch = new Watch(session, { config, paths, tokenizer, log, io });
      },
    });
    return { state, last: watch?.last };
  } finally {
    watch?.close();
  }
}
