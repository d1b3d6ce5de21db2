/**
 * Opens the world of the processes that `startProcesses` has started on this machine.
 *
 * @module
 */

import { CommunicationError } from "../../base/errors.ts";
import type { Communicator } from "../communicator.ts";
import { Engine } from "../engine.ts";
import { worldOf } from "../group.ts";
import type { MeetingPlace } from "../local/meeting_place.ts";
import { LocalTransport } from "../local/transport.ts";
import type { Message } from "../transport.ts";
import { openMeetingPlace, type ProcessSeat } from "./seat.ts";

/** Between two looks at whether the starter still lives. */
const LOOK_MS = 500;

/** The transport of a process: it ends when the one who started it is gone. */
class ProcessTransport extends LocalTransport {
  readonly #starter: number;
  #looked = performance.now();

  constructor(place: MeetingPlace, { rank, starter }: ProcessSeat) {
    super(place, rank);
    this.#starter = starter;
  }

  override poll(deliver: (from: number, message: Message) => void): void {
    super.poll(deliver);
    if (performance.now() - this.#looked < LOOK_MS) return;
    this.#looked = performance.now();
    if (Deno.ppid === this.#starter) return;
    throw new CommunicationError(`Rank ${this.rank} ends: the process that started it is gone`);
  }
}

/** An open world of processes. */
export interface ProcessWorld {
  /** The communicator of all ranks. */
  readonly communicator: Communicator;
  /**
   * Sends what is left and waits until all others end their part.
   *
   * @throws {CommunicationError} Where one of them fails before that.
   */
  close(): void;
  /** Ends the work of all ranks. */
  fail(reason: string): void;
}

/** Takes a seat. @throws {BackendError} Where its memory cannot be opened. */
export function openProcesses(
  seat: ProcessSeat,
  { library, timeLimitMs }: {
    readonly library?: string | undefined;
    readonly timeLimitMs: number;
  },
): ProcessWorld {
  const { rank, size, file } = seat;
  const { place } = openMeetingPlace(file, { size, library });
  const transport = new ProcessTransport(place, seat);
  const engine = new Engine(transport, { timeLimitMs });
  const everybodyEnded = () =>
    Array.from({ length: size }, (_, other) => place.ended(other)).every((ended) => ended);
  return {
    communicator: worldOf(engine),
    close() {
      engine.flush();
      place.end(rank);
      const deadline = performance.now() + timeLimitMs;
      while (!everybodyEnded()) {
        engine.progress();
        if (performance.now() > deadline) {
          const late = `other ranks have not ended for ${timeLimitMs / 1000} s`;
          throw new CommunicationError(`Rank ${rank} cannot end: ${late}`, { rank });
        }
        transport.sleep(LOOK_MS);
      }
    },
    fail(reason) {
      place.abort(rank, reason);
      place.end(rank);
    },
  };
}
