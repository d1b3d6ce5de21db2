/**
 * `llamero train` on the processes that a launcher has started: rank 0 prepares the run, shows it and
 * keeps its record; the others are told its config and train along.
 *
 * @module
 */

import { existsSync, readFileSync } from "node:fs";
import { ConfigError } from "../../lib/base/errors.ts";
import { checkAgreement } from "../../lib/comm/agreement.ts";
import type { Communicator } from "../../lib/comm/communicator.ts";
import type { World } from "../../lib/comm/open.ts";
import type { RequestedSettings } from "../../lib/train/config_file.ts";
import type { RunConfig } from "../../lib/train/run_config.ts";
import type { RunPaths } from "../../lib/train/run_folder.ts";
import type { Output } from "../io.ts";
import { Log } from "../ui/log.ts";
import { VERSION } from "../version.ts";
import type { TrainOptions } from "./train.spec.ts";
import { openRunTokenizer, trainHere } from "./train_session.ts";

/** The other ranks are silent; what ends them is told as every command's error is. */
const NOWHERE: Output = {
  terminal: false,
  color: false,
  columns: () => undefined,
  write: () => {},
};

/**
 * Checks that all ranks are the same program and were asked the same.
 *
 * @throws {ConfigError} Where one was not; names it.
 */
export function checkSameCommand(
  world: Communicator,
  values: TrainOptions,
  settings: RequestedSettings,
): void {
  if (world.size === 1) return;
  const { config, resume, out } = values;
  checkAgreement(world, {
    "version": VERSION,
    "command line": JSON.stringify([settings, config, resume, out]),
    "config file": config !== undefined && existsSync(config) ? readFileSync(config) : "",
  });
}

/** Tells the other ranks what rank 0 has made of it. */
export function tellConfig(world: Communicator, config: RunConfig): void {
  const bytes = new TextEncoder().encode(JSON.stringify(config));
  world.broadcast(Float64Array.of(bytes.length), 0);
  world.broadcast(bytes, 0);
}

function hearConfig(world: Communicator): RunConfig {
  const length = new Float64Array(1);
  world.broadcast(length, 0);
  const bytes = new Uint8Array(length[0]!);
  world.broadcast(bytes, 0);
  return JSON.parse(new TextDecoder().decode(bytes)) as RunConfig;
}

/** What a rank beside the first is told. */
export interface Follower {
  /** All ranks. */
  readonly world: World;
  /** The run's folder, which this rank sees too. */
  readonly paths: RunPaths;
  /** Asks the run to save and end. */
  readonly signal: AbortSignal;
}

/**
 * Trains as a rank beside the first.
 *
 * @throws {ConfigError} Where this machine does not see the run's folder.
 * @throws {Interrupted} Where a rank was asked to end; the state is saved.
 */
export async function follow({ world, paths, signal }: Follower): Promise<void> {
  const { communicator, localRanks } = world;
  const config = hearConfig(communicator);
  if (!existsSync(paths.config)) {
    const fault =
      `rank ${communicator.rank} does not see ${paths.config}, which rank 0 has written`;
    throw new ConfigError(`Cannot train on ${communicator.size} ranks: ${fault}`, {
      hint: "--out must be in a folder that all machines share",
    });
  }
  const io = { stderr: NOWHERE };
  const log = new Log(io, { quiet: true, verbose: false });
  const tokenizer = await openRunTokenizer(config, paths);
  await trainHere({
    ...{ config, paths, tokenizer, io, log, signal, localRanks },
    world: communicator,
  });
}
