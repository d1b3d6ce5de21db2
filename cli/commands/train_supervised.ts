/**
 * `llamero train --restarts N` under a supervisor: the run lives in a child process, and goes on from
 * its last checkpoint in another where that one is killed.
 *
 * @module
 */

import { existsSync, readFileSync } from "node:fs";
import { launchFrom } from "../../lib/comm/mpi/launch.ts";
import { parseConfig } from "../../lib/train/config_file.ts";
import { appendEvent } from "../../lib/train/events.ts";
import { readMetrics } from "../../lib/train/metrics.ts";
import { askedOf, type RequestLayer } from "../../lib/train/request_layers.ts";
import type { RunPaths } from "../../lib/train/run_folder.ts";
import { ToldElsewhere } from "../failure.ts";
import type { Io } from "../io.ts";
import { canSupervise, supervise } from "../supervisor.ts";
import { Log } from "../ui/log.ts";
import type { TrainOptions } from "./train.spec.ts";
import { layersOf } from "./train_prepare.ts";

/** What may be supervised. */
export interface SupervisedCall {
  /** What the command was called with. */
  readonly values: TrainOptions;
  /** Flags and environment. */
  readonly flags: RequestLayer;
  /** The process. */
  readonly io: Io;
  /** The run's folder. */
  readonly paths: RunPaths;
}

/**
 * Trains in a child process where restarts are wanted and possible; `false` where this process is to
 * train itself.
 *
 * @throws {ToldElsewhere} Where the last child failed, which has said why.
 */
export async function trainSupervised(call: SupervisedCall): Promise<boolean> {
  const { values, io, paths } = call;
  // Ranks of a launcher are started again by it: one alone could not join the others.
  if (!canSupervise(io) || launchFrom((name) => io.env(name)) !== undefined) return false;
  const restarts = restartsOf(call);
  if (restarts === 0) return false;
  const log = new Log(io, values);
  const output = (["json", "quiet", "verbose"] as const).filter((name) => values[name]);
  const code = await supervise(io.startAgain!, {
    again: () =>
      existsSync(paths.config)
        ? ["train", "--out", paths.run, "--resume", ...output.map((name) => `--${name}`)]
        : undefined,
    restarts,
    signal: io.interruption(),
    onRestart: ({ signal }, count) => {
      const message = `the process was ended by ${signal}`;
      log.warn(`${message}; started again, ${count} of ${restarts}`);
      if (!existsSync(paths.run)) return;
      const step = readMetrics(paths.metrics).at(-1)?.step ?? 0;
      appendEvent(paths.events, { event: "restart", step, message });
    },
  });
  if (code !== 0) throw new ToldElsewhere(code);
  return true;
}

/** How often the run may be started again, as it asks now or is recorded. */
function restartsOf({ values, flags, paths }: SupervisedCall): number {
  const asked = askedOf(layersOf(values, flags), "restarts");
  if (asked !== undefined || !values.resume || !existsSync(paths.config)) return asked ?? 0;
  return parseConfig(readFileSync(paths.config, "utf8"), paths.config).restarts ?? 0;
}
