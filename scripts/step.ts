/**
 * One step of a check: a program that is run, timed and judged by its exit code.
 *
 * @module
 */

import { ROOT } from "./source_files.ts";

/** A program to run. */
export interface Step {
  /** What it checks. */
  readonly name: string;
  /** The program and its arguments. */
  readonly command: readonly [string, ...string[]];
  /** Where it runs; the repository's folder without it. */
  readonly cwd?: string;
  /** Environment variables to set besides those of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** After how many minutes it is ended. */
  readonly minutes?: number;
}

/** What became of a step. */
export interface StepResult {
  /** What it checked. */
  readonly name: string;
  /** Whether the program ended with 0. */
  readonly passed: boolean;
  /** How long it took. */
  readonly seconds: number;
  /** Everything that it printed, without colours. */
  readonly output: string;
}

const LONGEST_MINUTES = 15;
const encode = new TextEncoder();

// deno-lint-ignore no-control-regex -- these are the escapes that colour a terminal
const COLOURS = /\x1b\[[0-9;]*m/g;

/** Runs a step to its end, without stdin. */
export async function runStep(step: Step): Promise<StepResult> {
  const start = performance.now();
  const minutes = step.minutes ?? LONGEST_MINUTES;
  const [program, ...args] = step.command;
  let [passed, text] = [false, ""];
  try {
    const result = await new Deno.Command(program, {
      args,
      cwd: step.cwd ?? ROOT,
      env: { ...step.env },
      stdin: "null",
      signal: AbortSignal.timeout(minutes * 60_000),
    }).output();
    passed = result.success;
    const decoder = new TextDecoder();
    text = decoder.decode(result.stdout) + decoder.decode(result.stderr);
    if (result.signal !== null) text += `\nended by ${result.signal}, ${minutes} minutes allowed\n`;
  } catch (error) {
    text = `${program}: ${error instanceof Error ? error.message : error}\n`;
  }
  const seconds = (performance.now() - start) / 1000;
  return { name: step.name, passed, seconds, output: text.replace(COLOURS, "") };
}

/** One line that says how a step went. */
export function stepLine({ name, passed, seconds }: StepResult): string {
  return `${passed ? "ok  " : "FAIL"}  ${name}  (${seconds.toFixed(1)} s)`;
}

/** Writes to stdout at once, so that a log is in order. */
export function say(text: string): void {
  for (let bytes = encode.encode(`${text}\n`); bytes.length > 0;) {
    bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
  }
}
