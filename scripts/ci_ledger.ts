/**
 * What a run of the checks has counted so far, and what could not run.
 *
 * @module
 */

import { runStep, say, type Step, stepLine, type StepResult } from "./step.ts";
import { tally } from "./tally.ts";

/** Counts steps and tests, and keeps what could not run. */
export class Ledger {
  #passed = 0;
  #failed = 0;
  readonly #notRun: string[] = [];
  readonly #broken: string[] = [];

  /** Counts a step that has run as one, and shows what it printed where it failed. */
  count(result: StepResult): void {
    if (result.passed) this.#passed++;
    else this.#failed++;
    say(stepLine(result));
    if (result.passed) return;
    say(indented(result.output));
    this.#broken.push(`${result.name}: ${lastLine(result.output)}`);
  }

  /** Runs a step and counts it as one. */
  async step(step: Step): Promise<StepResult> {
    const result = await runStep(step);
    this.count(result);
    return result;
  }

  /** Runs a step that runs tests, and counts these. */
  async tests(step: Step): Promise<void> {
    const result = await runStep(step);
    const { passed, failed, ignored, names, slowest } = tally(result.output, result.passed);
    this.#passed += passed;
    this.#failed += failed;
    say(`${stepLine(result)}: ${passed} passed, ${failed} failed, ${ignored.length} ignored`);
    for (const line of notRunLines(ignored)) say(`      not run: ${line}`);
    for (const name of slowest) say(`      slow: ${name}`);
    if (result.passed) return;
    say(indented(failures(result.output)));
    const named = names.length > 0 ? names : [lastLine(result.output)];
    for (const name of named) this.#broken.push(`${result.name}: ${name}`);
  }

  /** Keeps that something could not run, and why. */
  notRun(what: string, reason: string): void {
    this.#notRun.push(`${what}: ${reason}`);
    say(`--    ${what}: could not run: ${reason}`);
  }

  /** Prints what could not run, what failed and the closing line; returns whether nothing failed. */
  close(): boolean {
    if (this.#notRun.length > 0) say(`\ncould not run here:\n${indented(this.#notRun.join("\n"))}`);
    // Named once more: of a long log often only the end is kept.
    if (this.#broken.length > 0) say(`\nfailed:\n${indented(this.#broken.join("\n"))}`);
    say(`${this.#passed} passed, ${this.#failed} failed`);
    return this.#failed === 0;
  }
}

/** Reasons that more tests have than this are named once, with how many have them. */
const MOST_ALIKE = 3;

/** Tests that were ignored, each on a line; many of one reason on one line. */
export function notRunLines(ignored: readonly string[]): string[] {
  const reasonOf = (name: string): string =>
    /[(;] ?ignored: (.*?)\)*$/.exec(name)?.[1] ?? "no reason";
  return [...Map.groupBy(ignored, reasonOf)].flatMap(([reason, names]) =>
    names.length > MOST_ALIKE ? [`${names.length} tests: ${reason}`] : names
  );
}

/** From where a test runner explains its failures; all of it where it does not. */
function failures(output: string): string {
  const start = output.search(/^(?: ERRORS |failures:)$/m);
  return output.slice(Math.max(0, start));
}

function lastLine(output: string): string {
  return output.trimEnd().split("\n").at(-1) ?? "";
}

function indented(text: string): string {
  return text.trimEnd().replace(/^/gm, "      ");
}
