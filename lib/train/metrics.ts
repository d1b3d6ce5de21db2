/**
 * `RUN/metrics.jsonl`: a row of numbers for each step that was kept.
 *
 * @module
 */

import * as fs from "node:fs";
import { writeFileAtomically } from "../base/atomic_file.ts";
import { errorCode, fileError } from "../base/file_error.ts";

/** One step. Only the last three depend on time, and not on the run alone. */
export interface MetricsRow {
  /** Steps done, this one counted. */
  readonly step: number;
  /** Tokens of these steps. */
  readonly tokens: number;
  /** Mean loss of the batch, z-loss counted. */
  readonly loss: number | null;
  /** Norm of the gradients before clipping; `null` where it is not finite. */
  readonly grad_norm: number | null;
  /** Learning rate. */
  readonly lr: number;
  /** Mean loss on the evaluation data, where one was taken. */
  readonly eval_loss?: number;
  /** The same in bits per byte of text. */
  readonly eval_bits_per_byte?: number;
  /** Why the step changed no weight, where it did not. */
  readonly dropped?: string;
  /** Tokens of the batch by the time of the step. */
  readonly tokens_per_second: number;
  /** Share of the machine's arithmetic that the model's made use of. */
  readonly mfu: number;
  /** Milliseconds of the step. */
  readonly step_ms: number;
}

/** Reads rows up to a step; a last line that was torn off is no row. */
export function readMetrics(path: string, upTo: number = Infinity): MetricsRow[] {
  return rowsOf(path).filter(({ step }) => step <= upTo);
}

function rowsOf(path: string): MetricsRow[] {
  let text: string;
  try {
    text = fs.readFileSync(path, "utf8");
  } catch (thrown) {
    // By what reading found: the file may appear at any instant after it.
    if (errorCode(thrown) === "ENOENT") return [];
    throw fileError(thrown, { action: "read", path });
  }
  const rows: MetricsRow[] = [];
  for (const line of text.split("\n")) {
    try {
      const row = JSON.parse(line) as MetricsRow;
      if (Number.isInteger(row?.step)) rows.push(row);
    } catch {
      // A line that a killed process did not finish.
    }
  }
  return rows;
}

/** Rows as they are written, in their order of fields. */
export function formatRow(row: MetricsRow): string {
  return `${JSON.stringify(row)}\n`;
}

/**
 * Appends a row of JSON for each step to `metrics.jsonl`, and drops the rows of steps that a resumed run
 * will take again.
 */
export class MetricsFile {
  /** Where `metrics.jsonl` lies. */
  readonly path: string;
  #descriptor: number | undefined;

  /** Opens a file for the steps after `step`; rows of later ones are dropped. */
  constructor(path: string, step: number) {
    this.path = path;
    this.restart(step);
  }

  /** Drops the rows of the steps after `step`. */
  restart(step: number): void {
    this.close();
    const kept = readMetrics(this.path, step).map(formatRow).join("");
    if (!fs.existsSync(this.path) || fs.readFileSync(this.path, "utf8") !== kept) {
      writeFileAtomically(this.path, kept, { force: true });
    }
    this.#descriptor = this.#try(() => fs.openSync(this.path, "a"));
  }

  /** Appends a row. @throws {LlameroError} Where it cannot be written. */
  append(row: MetricsRow): void {
    this.#try(() => fs.writeSync(this.#descriptor!, formatRow(row)));
  }

  /** Makes what was appended survive a power cut. */
  sync(): void {
    this.#try(() => fs.fsyncSync(this.#descriptor!));
  }

  #try<T>(action: () => T): T {
    try {
      return action();
    } catch (thrown) {
      throw fileError(thrown, { action: "write", path: this.path });
    }
  }

  /** Closes the file. */
  close(): void {
    if (this.#descriptor !== undefined) fs.closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}
