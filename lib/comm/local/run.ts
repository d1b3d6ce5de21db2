/**
 * Runs a function as N ranks of one process, a worker each.
 *
 * @module
 */

import { parentPort, Worker } from "node:worker_threads";
import { asError, CommunicationError, ConfigError } from "../../base/errors.ts";
import type { Communicator } from "../communicator.ts";
import { MeetingPlace, type SharedMemory, sharedMemory } from "./meeting_place.ts";

/** What a module that ranks run exports; input and result must be such that workers can be sent them. */
export interface RankModule<Input, Result> {
  /** Does one rank's work. */
  run(world: Communicator, input: Input): Result | Promise<Result>;
}

/** What a rank's worker is told. */
export interface RankOrder {
  /** Its number. */
  readonly rank: number;
  /** Where the ranks meet. */
  readonly memory: SharedMemory;
  /** Address of the module. */
  readonly module: string;
  /** What its function is given. */
  readonly input: unknown;
  /** The longest wait for one call. */
  readonly timeLimitMs: number | undefined;
}

/** What a rank's worker tells while it works: see {@linkcode tellStarter}. */
export interface RankMessage {
  /** Whatever it is. */
  readonly told: unknown;
}

/** What a rank's worker answers. */
export interface RankAnswer {
  /** What its function returned. */
  readonly result?: unknown;
  /** What went wrong, or nothing. */
  readonly failure?: { readonly message: string; readonly hint: string | undefined };
}

/** How ranks are run. */
export interface LocalRunOptions<Input> {
  /** How many. */
  readonly ranks: number;
  /** What each is given. */
  readonly input?: Input;
  /** The longest wait for one call, in milliseconds; ten minutes without. */
  readonly timeLimitMs?: number;
  /** Once one has failed, how long the others may take to notice before they are ended. */
  readonly graceMs?: number;
  /** Is given what ranks tell while they work. */
  readonly onTold?: (rank: number, told: unknown) => void;
  /** Bytes that may be on their way from one rank to another, a power of two. */
  readonly ringBytes?: number;
}

/** Tells the one who started the ranks something, from inside a rank; he gets it in order. */
export function tellStarter(told: unknown): void {
  const message: RankMessage = { told };
  parentPort?.postMessage(message);
}

/** More workers than this exhaust a process before they help it. */
const MOST_RANKS = 256;
const DEFAULT_GRACE_MS = 5000;

type OnTold = (rank: number, told: unknown) => void;

interface Seat {
  readonly worker: Worker;
  /** Resolves when the worker is no more. */
  readonly gone: Promise<void>;
  answer?: RankAnswer;
}

function seat(
  order: RankOrder,
  { place, onTold }: { readonly place: MeetingPlace; readonly onTold: OnTold | undefined },
): Seat {
  const { rank } = order;
  const worker = new Worker(
    new URL("./worker.ts", import.meta.url),
    {
      workerData: order,
      name: `llamero-rank-${rank}`,
    } as ConstructorParameters<typeof Worker>[1],
  );
  const taken: { -readonly [key in keyof Seat]: Seat[key] } = {
    worker,
    gone: new Promise((resolve) => {
      worker.on("exit", (code) => {
        if (taken.answer === undefined) {
          place.abort(rank, `rank ${rank} ended without a result (exit code ${code})`);
          place.end(rank);
        }
        resolve();
      });
    }),
  };
  worker.on("message", (message: RankAnswer | RankMessage) => {
    if ("told" in message) return onTold?.(rank, message.told);
    taken.answer = message;
    // What it left running (timers, servers) ends with it.
    void worker.terminate();
  });
  worker.on("error", (thrown) => {
    place.abort(rank, `rank ${rank} failed: ${asError(thrown).message}`);
  });
  return taken;
}

/** Ends workers that go on although the work has ended; returns the function that stops the watch. */
function endStragglers(seats: readonly Seat[], place: MeetingPlace, options: {
  readonly graceMs: number;
}): () => void {
  let since: number | undefined;
  const timer = setInterval(() => {
    if (place.aborted() === undefined) return;
    since ??= performance.now();
    if (performance.now() - since < options.graceMs) return;
    for (const { worker } of seats) void worker.terminate();
  }, Math.min(100, options.graceMs));
  return () => clearInterval(timer);
}

/**
 * Runs a module's `run` as N ranks and returns their results, by rank.
 *
 * @throws {CommunicationError} Where one fails, ends, keeps silent or calls something else: names it.
 * @throws {ConfigError} For a number of ranks that is none.
 */
export async function runLocal<Result, Input = unknown>(
  module: URL,
  options: LocalRunOptions<Input>,
): Promise<Result[]> {
  const { ranks, input, timeLimitMs, ringBytes, onTold, graceMs = DEFAULT_GRACE_MS } = options;
  if (!Number.isInteger(ranks) || ranks < 1 || ranks > MOST_RANKS) {
    throw new ConfigError(`Cannot run ${ranks} ranks in one process: 1 to ${MOST_RANKS} can be`);
  }
  const memory = sharedMemory(ranks, ringBytes);
  const place = new MeetingPlace(memory);
  const seats = Array.from(
    { length: ranks },
    (_, rank) => seat({ rank, memory, module: module.href, input, timeLimitMs }, { place, onTold }),
  );
  const stop = endStragglers(seats, place, { graceMs });
  try {
    await Promise.all(seats.map(({ gone }) => gone));
  } finally {
    stop();
  }
  const aborted = place.aborted();
  if (aborted === undefined) return seats.map(({ answer }) => answer?.result as Result);
  const hint = seats[aborted.rank]?.answer?.failure?.hint;
  const message = `The work of ${ranks} ranks has ended: ${aborted.reason}`;
  throw new CommunicationError(message, { rank: aborted.rank, hint });
}
