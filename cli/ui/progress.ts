/**
 * How far long work has come: one redrawn line on a terminal, a plain line now and then elsewhere.
 *
 * @module
 */

import { formatCount, formatDuration } from "../../lib/base/format.ts";
import type { Output } from "../io.ts";

/** What a {@linkcode Progress} counts. */
export interface ProgressOptions {
  /** What is being done, such as `loading`. */
  readonly label: string;
  /** How many there are in all; unknown without it. */
  readonly total?: number;
  /** What is counted, such as `tokens`. */
  readonly unit?: string;
  /** How a count is written; thousands as K, M, B without it. */
  readonly format?: (count: number) => string;
  /** Milliseconds since any fixed moment; the process's own clock without it. */
  readonly now?: () => number;
}

/** Milliseconds between two drawings on a terminal. */
const REDRAW_MS = 100;
/** Milliseconds between two plain lines elsewhere. */
const LINE_MS = 10_000;
/** Width of the bar in columns. */
const BAR = 24;
const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
const CLEAR_LINE = "\r\x1b[K";

function bar(share: number): string {
  const eighths = Math.round(share * BAR * 8);
  const drawn = "█".repeat(eighths >> 3) + EIGHTHS[eighths & 7];
  return drawn + " ".repeat(BAR - drawn.length);
}

/** Work that reports how far it has come. */
export class Progress {
  readonly #output: Output;
  readonly #options: ProgressOptions;
  readonly #now: () => number;
  readonly #start: number;
  #drawnAt: number;
  #shown = false;
  #done = 0;
  #note = "";

  /** Begins at zero; draws nothing yet. */
  constructor(output: Output, options: ProgressOptions) {
    this.#output = output;
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#start = this.#now();
    this.#drawnAt = output.terminal ? -Infinity : this.#start;
  }

  /** Says how many are done, and draws where it is time to; the note stands at the line's end. */
  update(done: number, note = ""): void {
    this.#done = done;
    this.#note = note;
    const now = this.#now();
    if (now - this.#drawnAt < (this.#output.terminal ? REDRAW_MS : LINE_MS)) return;
    this.#drawnAt = now;
    this.#draw(now);
  }

  /** Takes the line from the terminal, so that something else can be written. */
  clear(): void {
    if (!this.#shown) return;
    this.#output.write(CLEAR_LINE);
    this.#shown = false;
    this.#drawnAt = -Infinity;
  }

  #draw(now: number): void {
    if (!this.#output.terminal) return this.#output.write(`${this.#line(now)}\n`);
    const columns = (this.#output.columns() ?? 80) - 1;
    this.#output.write(CLEAR_LINE + this.#line(now).slice(0, columns));
    this.#shown = true;
  }

  #line(now: number): string {
    const { label, total, unit = "", format = formatCount } = this.#options;
    const seconds = (now - this.#start) / 1000;
    const rate = seconds > 0 ? this.#done / seconds : 0;
    const named = unit === "" ? "" : ` ${unit}`;
    const parts = [label];
    if (total !== undefined && total > 0) {
      const share = Math.min(1, this.#done / total);
      if (this.#output.terminal) parts.push(bar(share));
      parts.push(`${Math.floor(share * 100)}%`.padStart(4));
      parts.push(`${format(this.#done)}/${format(total)}${named}`);
    } else {
      parts.push(`${format(this.#done)}${named}`);
    }
    if (rate > 0) parts.push(`${format(rate)}${named}/s`);
    if (rate > 0 && total !== undefined && total > this.#done) {
      parts.push(`${formatDuration((total - this.#done) / rate * 1000)} left`);
    }
    if (this.#note !== "") parts.push(this.#note);
    return parts.join("  ");
  }
}
