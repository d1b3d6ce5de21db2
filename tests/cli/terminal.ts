/**
 * A terminal in memory: what a person would see after carriage returns and erased lines.
 *
 * @module
 */

import type { Output } from "../../cli/io.ts";

/** A terminal in memory, or a pipe where `terminal` is false. */
export class Screen implements Output {
  readonly terminal: boolean;
  readonly color = false;
  readonly #width: number;
  /** Everything that was written, controls included. */
  written = "";

  /** Makes one of a width in columns. */
  constructor(terminal: boolean, width = 80) {
    this.terminal = terminal;
    this.#width = width;
  }

  columns(): number | undefined {
    return this.terminal ? this.#width : undefined;
  }

  write(data: string | Uint8Array): void {
    this.written += typeof data === "string" ? data : new TextDecoder().decode(data);
  }

  /** The lines as they stand. */
  get lines(): string[] {
    return this.written.split("\n").map((line) => line.split("\r\x1b[K").at(-1)!);
  }
}
