/**
 * `llamero train --gpus N`: starts a process for each GPU of this machine, which train as ranks do that
 * `mpirun` starts, and starts all of them again where one is lost and that is wanted.
 *
 * @module
 */

import { existsSync, readFileSync } from "node:fs";
import { cudaDevices } from "../../lib/backend/cuda.ts";
import { BackendError, CommunicationError, ConfigError } from "../../lib/base/errors.ts";
import { type ProcessEnds, startProcesses } from "../../lib/comm/processes/start.ts";
import { SEAT_VARIABLE, seatFrom } from "../../lib/comm/processes/seat.ts";
import { launchFrom } from "../../lib/comm/mpi/launch.ts";
import { parseConfig } from "../../lib/train/config_file.ts";
import { appendEvent, readEvents } from "../../lib/train/events.ts";
import { readMetrics } from "../../lib/train/metrics.ts";
import { askedOf, type RequestLayer } from "../../lib/train/request_layers.ts";
import type { RunPaths } from "../../lib/train/run_folder.ts";
import { ToldElsewhere } from "../failure.ts";
import type { Io } from "../io.ts";
import { type StartAgain, SUPERVISED } from "../supervisor.ts";
import { Log } from "../ui/log.ts";
import type { TrainOptions } from "./train.spec.ts";
import { layersOf } from "./train_prepare.ts";

/** What may be trained on several GPUs. */
export interface GpuCall {
  /** What the command was called with. */
  readonly values: TrainOptions;
  /** Flags and environment. */
  readonly flags: RequestLayer;
  /** The process. */
  readonly io: Io;
  /** The run's folder. */
  readonly paths: RunPaths;
}

/** Interrupted and refused command lines are the same on all ranks, and no reason to start again. */
const SHARED_ENDS: readonly number[] = [2, 130];

/**
 * Trains in a process for each GPU; `false` where this process is to train itself: it has been started
 * for a GPU, or one is all that is wanted.
 *
 * @throws {BackendError} Where GPUs cannot be counted.
 * @throws {ConfigError} Where there are fewer than wanted, or a launcher has started this process.
 * @throws {CommunicationError} Where a rank was lost more often than it may be.
 * @throws {ToldElsewhere} Where a rank has said why all have ended.
 */
export async function trainOnGpus(call: GpuCall): Promise<boolean> {
  const { values: { gpus }, io } = call;
  const environment = (name: string) => io.env(name);
  if (gpus === undefined || seatFrom(environment) !== undefined) return false;
  checkStart(gpus, io);
  if (gpus === 1) return false;
  const { startAgain } = io;
  if (startAgain === undefined) {
    throw new BackendError(`Cannot train on ${gpus} GPUs: this process may start no others`, {
      hint: "deno run --allow-run, or mpirun",
    });
  }
  await withRestarts(call, (args) => startRanks({ io, gpus, startAgain, args }));
  return true;
}

function checkStart(gpus: number, io: Io): void {
  const launch = launchFrom((name) => io.env(name));
  if (launch !== undefined) {
    throw new ConfigError(
      `Cannot start ${gpus} processes in each of ${launch.size}: ${launch.launcher} has started them`,
      { hint: "leave --gpus away: each rank takes the GPU with its number on its machine" },
    );
  }
  let found: number;
  try {
    found = cudaDevices(io.env("LLAMERO_CUDA"));
  } catch (thrown) {
    if (!(thrown instanceof BackendError)) throw thrown;
    const hint = thrown.hint ?? "llamero doctor";
    throw new BackendError(`Cannot train on GPUs: ${thrown.message}`, { hint, cause: thrown });
  }
  if (found >= gpus) return;
  const are = found === 1 ? "1 is" : `${found} are`;
  throw new ConfigError(`Cannot train on ${gpus} GPUs: ${are} visible`, {
    hint: "llamero doctor shows them; CUDA_VISIBLE_DEVICES may hide some",
  });
}

/** What starts the ranks once. */
interface Start {
  readonly io: Io;
  readonly gpus: number;
  readonly startAgain: StartAgain;
  /** The command line, where it is another than this process's. */
  readonly args: readonly string[] | undefined;
}

function startRanks({ io, gpus, startAgain, args }: Start): Promise<ProcessEnds> {
  const signal = io.interruption();
  return startProcesses({
    ranks: gpus,
    library: io.env("LLAMERO_CUDA"),
    start: (_, { seat, lost }) =>
      startAgain(args, {
        env: { [SEAT_VARIABLE]: seat, [SUPERVISED]: "1" },
        ...{ signal, kill: lost },
      }),
  });
}

async function withRestarts(
  call: GpuCall,
  start: (args: readonly string[] | undefined) => Promise<ProcessEnds>,
): Promise<void> {
  const { values, io, paths } = call;
  const log = new Log(io, values);
  let args: readonly string[] | undefined;
  for (let count = 1;; count++) {
    const { ends, failure } = await start(args);
    const codes = ends.map(({ code }) => code);
    if (codes.every((code) => code === 0)) return;
    const shared = codes.find((code) => SHARED_ENDS.includes(code));
    if (shared !== undefined || failure === undefined) {
      throw new ToldElsewhere(shared ?? codes.find(Boolean)!);
    }
    const restarts = restartsOf(call);
    const hasBegun = readEvents(paths.events).some(({ event }) => event === "start");
    if (count > restarts || !hasBegun || io.interruption().aborted) {
      // Rank 0 says what the others have met, but not its own sudden end.
      if (ends[0]!.signal === undefined) throw new ToldElsewhere(codes[0] || 1);
      const { rank, reason } = failure;
      throw new CommunicationError(`The work of ${ends.length} ranks has ended: ${reason}`, {
        rank,
      });
    }
    log.warn(`${failure.reason}; started again, ${count} of ${restarts}`);
    const step = readMetrics(paths.metrics).at(-1)?.step ?? 0;
    appendEvent(paths.events, { event: "restart", step, message: failure.reason });
    args = againOf(call);
  }
}

/** The command line that goes on with a run. */
function againOf({ values, paths }: GpuCall): readonly string[] {
  const output = (["json", "quiet", "verbose"] as const).filter((name) => values[name]);
  const flags = output.map((name) => `--${name}`);
  return ["train", "--out", paths.run, "--resume", "--gpus", String(values.gpus), ...flags];
}

/** How often the run may be started again, as it asks now or is recorded. */
function restartsOf({ values, flags, paths }: GpuCall): number {
  const asked = askedOf(layersOf(values, flags), "restarts");
  if (asked !== undefined || !existsSync(paths.config)) return asked ?? 0;
  return parseConfig(readFileSync(paths.config, "utf8"), paths.config).restarts ?? 0;
}
