/**
 * Notes on stderr by level, and the progress line that they must not tear.
 *
 * @module
 */

import type { Io, Output } from "../io.ts";
import { Progress, type ProgressOptions } from "./progress.ts";
import { styled } from "./style.ts";

/** How much is said: warnings always. */
export interface LogOptions {
  /** No notes and no progress. */
  readonly quiet: boolean;
  /** More notes. */
  readonly verbose: boolean;
}

/** What a piece of work tells while it runs. */
export interface Ticker {
  /** Says how many are done; the note stands at the line's end. */
  update(done: number, note?: string): void;
  /** Ends it and takes the line away. */
  finish(): void;
}

/** Work whose total comes with its first news. */
export interface Counting {
  /** Says how many of how many are done. */
  readonly progress: (done: number, total: number) => void;
  /** Ends it and takes the line away; does nothing the second time. */
  finish(): void;
}

/** Writes notes and at most one progress line at a time to stderr. */
export class Log {
  readonly #output: Output;
  readonly #options: LogOptions;
  #progress: Progress | undefined;

  /** Makes a log on the stderr of `io`. */
  constructor(io: Pick<Io, "stderr">, options: LogOptions) {
    this.#output = io.stderr;
    this.#options = options;
  }

  /** Something is not as wanted and the work goes on. */
  warn(text: string): void {
    this.#line(`${styled("warning:", "yellow", this.#output)} ${text}`);
  }

  /** What a user likes to know; not with `--quiet`. */
  note(text: string): void {
    if (!this.#options.quiet) this.#line(text);
  }

  /** What explains a decision; only with `--verbose`. */
  detail(text: string): void {
    if (this.#options.verbose) this.#line(styled(text, "dim", this.#output));
  }

  /** Shows progress until `finish` is called; nothing with `--quiet`. */
  progress(options: ProgressOptions): Ticker {
    if (this.#options.quiet) return { update() {}, finish() {} };
    this.#progress?.clear();
    const progress = this.#progress = new Progress(this.#output, options);
    return {
      update: (done, note) => progress.update(done, note),
      finish: () => {
        progress.clear();
        if (this.#progress === progress) this.#progress = undefined;
      },
    };
  }

  /** Progress of work that tells how much there is only when it begins; shown from then on. */
  counting(options: Omit<ProgressOptions, "total">): Counting {
    let ticker: Ticker | undefined;
    return {
      progress: (done, total) => {
        ticker ??= this.progress({ ...options, total });
        ticker.update(done);
      },
      finish: () => ticker?.finish(),
    };
  }

  #line(text: string): void {
    this.#progress?.clear();
    this.#output.write(`${text}\n`);
  }
}
