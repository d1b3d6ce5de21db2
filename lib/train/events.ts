/**
 * `RUN/events.jsonl`: what happened besides steps, with the time: starts, saves, spikes, failures.
 * Nothing is ever taken out of it.
 *
 * @module
 */

import * as fs from "node:fs";
import { appendLine } from "../base/append_line.ts";
import { fileError } from "../base/file_error.ts";
import type { CommunicationReport } from "./communication.ts";

/** Something that happened. */
export type RunEvent =
  | { readonly event: "start"; readonly step: number; readonly backend: string }
  | {
    readonly event: "lost";
    /** Steps whose work was lost, because the process ended before it was saved. */
    readonly steps: number;
    /** Milliseconds of the session that ended so, until its last step. */
    readonly session_ms: number;
  }
  | { readonly event: "save"; readonly step: number; readonly stall_ms: number }
  | { readonly event: "damaged"; readonly message: string }
  | { readonly event: "dropped"; readonly step: number; readonly reason: string }
  | {
    readonly event: "spike";
    readonly step: number;
    readonly reason: string;
    readonly rewind_to: number;
    readonly skip_step: number;
    readonly skip_batches: number;
  }
  | ({ readonly event: "communication"; readonly step: number } & CommunicationReport)
  | { readonly event: "restart"; readonly step: number; readonly message: string }
  | { readonly event: "end"; readonly step: number; readonly session_ms: number };

/** An event with the time at which it was written (ISO 8601). */
export type TimedEvent = RunEvent & { readonly time: string };

/** Appends an event. @throws {LlameroError} Where it cannot be written. */
export function appendEvent(path: string, event: RunEvent): void {
  const row: TimedEvent = { time: new Date().toISOString(), ...event };
  try {
    appendLine(path, JSON.stringify(row));
  } catch (thrown) {
    throw fileError(thrown, { action: "write", path });
  }
}

/** All events of a run in order. */
export function readEvents(path: string): TimedEvent[] {
  if (!fs.existsSync(path)) return [];
  return fs.readFileSync(path, "utf8").split("\n").flatMap((line) => {
    try {
      return line === "" ? [] : [JSON.parse(line) as TimedEvent];
    } catch {
      return []; // A line that a killed process did not finish.
    }
  });
}

/** Milliseconds of all sessions of a run that have ended. */
export function sessionMs(events: readonly TimedEvent[]): number {
  return events.reduce(
    (sum, event) => sum + (event.event === "end" || event.event === "lost" ? event.session_ms : 0),
    0,
  );
}
