/**
 * The seat of a rank that is a process of its own on this machine: where the ranks meet, and which of
 * them it is. The starter tells it by an environment variable.
 *
 * @module
 */

import { mapSharedFile } from "../../backend/shared_file.ts";
import { ConfigError } from "../../base/errors.ts";
import { quoted } from "../../base/quoted.ts";
import { MeetingPlace, memorySizes } from "../local/meeting_place.ts";
import type { Environment } from "../mpi/launch.ts";

/** The environment variable with a rank's seat. */
export const SEAT_VARIABLE = "LLAMERO_RANK_SEAT";

/** A rank's seat. */
export interface ProcessSeat {
  /** This rank, from 0. */
  readonly rank: number;
  /** How many there are. */
  readonly size: number;
  /** The process that has started them. */
  readonly starter: number;
  /** The file that all of them have mapped. */
  readonly file: string;
}

/** The seat as the variable has it. */
export function seatText({ rank, size, starter, file }: ProcessSeat): string {
  return `${rank}/${size}/${starter}/${file}`;
}

/** The seat of this process, or nothing. @throws {ConfigError} For a variable that is none. */
export function seatFrom(environment: Environment): ProcessSeat | undefined {
  const text = environment(SEAT_VARIABLE);
  if (text === undefined) return undefined;
  const [, rank, size, starter, file] = /^(\d{1,3})\/(\d{1,3})\/(\d{1,9})\/(.+)$/.exec(text) ?? [];
  if (file !== undefined && Number(rank) < Number(size)) {
    return { rank: Number(rank), size: Number(size), starter: Number(starter), file };
  }
  throw new ConfigError(`Cannot tell which rank this is: ${SEAT_VARIABLE} is ${quoted(text)}`, {
    hint: `unset ${SEAT_VARIABLE}: llamero train --gpus N sets it`,
  });
}

/** Bytes of the file in which so many ranks meet. */
export function meetingBytes(size: number): number {
  const { control, rings } = memorySizes(size);
  return alignedTo64(control) + rings;
}

function alignedTo64(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
}

/** Opens the place where the processes of a file meet. @throws {BackendError} Where it cannot be. */
export function openMeetingPlace(
  file: string,
  { size, library }: { readonly size: number; readonly library?: string | undefined },
): { readonly place: MeetingPlace; close(): void } {
  const sizes = memorySizes(size);
  const shared = mapSharedFile(file, { bytes: meetingBytes(size), library });
  const memory = {
    ...{ size, ringBytes: sizes.ring, control: shared.bytes, rings: shared.bytes },
    ringsAt: alignedTo64(sizes.control),
  };
  const place = new MeetingPlace(memory, {
    sleep: (word, options) => shared.sleep(4 * word, options),
    wake: (word) => shared.wake(4 * word),
  });
  return { place, close: () => shared.close() };
}
