/**
 * Starts ranks as processes of this machine, and notices when one of them dies.
 *
 * @module
 */

import { asError, ConfigError } from "../../base/errors.ts";
import { meetingBytes, openMeetingPlace, seatText } from "./seat.ts";

/** How a process has ended. */
export interface ProcessEnd {
  /** Its exit code. */
  readonly code: number;
  /** The signal that ended it, where one did. */
  readonly signal: string | undefined;
}

/** How ranks are started. */
export interface ProcessOptions {
  /** How many. */
  readonly ranks: number;
  /**
   * Starts a process with this text in `SEAT_VARIABLE`, and tells how it has ended; the signal says that
   * others have failed and this one does not notice: it is to be killed.
   */
  readonly start: (
    rank: number,
    options: { readonly seat: string; readonly lost: AbortSignal },
  ) => Promise<ProcessEnd>;
  /** The CUDA library, through which they share memory. */
  readonly library?: string | undefined;
  /** Once one has failed, how long the others may take to notice. */
  readonly graceMs?: number;
}

/** How all of them have ended. */
export interface ProcessEnds {
  /** By rank. */
  readonly ends: readonly ProcessEnd[];
  /** The first that failed, and why; nothing where all ended well. */
  readonly failure: { readonly rank: number; readonly reason: string } | undefined;
}

/** More than any machine has GPUs. */
const MOST_RANKS = 64;
const DEFAULT_GRACE_MS = 15_000;

/** How the name of the file begins in which ranks meet, in the folder for temporary files. */
export const MEETING_PREFIX = "llamero-ranks-";

function meetingFile(ranks: number): string {
  if (Deno.build.os !== "linux") {
    throw new ConfigError(`Cannot start ${ranks} processes for GPUs: only Linux has them`);
  }
  // Not in /dev/shm: Deno opens that to programs with all permissions alone.
  const file = Deno.makeTempFileSync({ prefix: MEETING_PREFIX });
  Deno.truncateSync(file, meetingBytes(ranks));
  return file;
}

/**
 * Starts ranks and waits until all have ended. One that dies without a word is named to the others,
 * who end.
 *
 * @throws {BackendError} Where they cannot share memory.
 * @throws {ConfigError} For more ranks than can be started.
 */
export async function startProcesses(options: ProcessOptions): Promise<ProcessEnds> {
  const { ranks, start, library, graceMs = DEFAULT_GRACE_MS } = options;
  if (!Number.isInteger(ranks) || ranks < 1 || ranks > MOST_RANKS) {
    throw new ConfigError(`Cannot start ${ranks} processes: 1 to ${MOST_RANKS} can be`);
  }
  const file = meetingFile(ranks);
  const lost = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const { place, close } = openMeetingPlace(file, { size: ranks, library });
    const one = async (rank: number): Promise<ProcessEnd> => {
      const seat = seatText({ rank, size: ranks, starter: Deno.pid, file });
      let end: ProcessEnd;
      try {
        end = await start(rank, { seat, lost: lost.signal });
      } catch (thrown) {
        place.abort(rank, `rank ${rank} cannot be started: ${asError(thrown).message}`);
        end = { code: 1, signal: undefined };
      }
      if (!place.ended(rank)) {
        const how = end.signal === undefined ? `with exit code ${end.code}` : `by ${end.signal}`;
        place.abort(rank, `rank ${rank} is gone: its process was ended ${how} without a word`);
        place.end(rank);
      }
      if (place.aborted() !== undefined) timer ??= setTimeout(() => lost.abort(), graceMs);
      return end;
    };
    const ends = await Promise.all(Array.from({ length: ranks }, (_, rank) => one(rank)));
    const failure = place.aborted();
    close();
    return { ends, failure };
  } finally {
    clearTimeout(timer);
    Deno.removeSync(file);
  }
}
