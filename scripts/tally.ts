/**
 * Counts tests from what `deno test` and `cargo test` print.
 *
 * @module
 */

/** How many tests ended how. */
export interface Tally {
  /** Tests that passed. */
  readonly passed: number;
  /** Tests that failed. */
  readonly failed: number;
  /** Names of the tests that were not run; a name carries its reason. */
  readonly ignored: readonly string[];
  /** Names of the tests that failed. */
  readonly names: readonly string[];
  /** The tests of Deno that took longest, longest first, each with what it took. */
  readonly slowest: readonly string[];
}

const DENO_SUMMARY = /^(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed/gm;
const CARGO_SUMMARY = /^test result: \w+\. (\d+) passed; (\d+) failed/gm;
const DENO_FAILED = /^(.+) \.\.\. FAILED(?: \(.*\))?$/gm;
const CARGO_FAILED = /^test (.+) \.\.\. FAILED$/gm;
const DENO_IGNORED = /^(.+) \.\.\. ignored/gm;
const DENO_TIMED = /^(.+) \.\.\. (?:ok|FAILED) \((?:(\d+)m)?(\d+)(m?)s\)$/gm;
const CARGO_IGNORED = /^test (.+) \.\.\. ignored(?:, (.*))?/gm;

/** Counts the tests of one run. A run that failed without saying which test counts as one failure. */
export function tally(output: string, success: boolean): Tally {
  let [passed, failed] = [0, 0];
  for (const pattern of [DENO_SUMMARY, CARGO_SUMMARY]) {
    for (const [, good, bad] of output.matchAll(pattern)) {
      passed += Number(good);
      failed += Number(bad);
    }
  }
  if (!success && failed === 0) failed = 1;
  const cargo = [...output.matchAll(CARGO_IGNORED)];
  const ignored = cargo.length > 0
    ? cargo.map(([, name, reason]) => reason === undefined ? name! : `${name} (${reason})`)
    : [...output.matchAll(DENO_IGNORED)].map(([, name]) => name!);
  const crate = [...output.matchAll(CARGO_FAILED)];
  const broken = crate.length > 0 ? crate : [...output.matchAll(DENO_FAILED)];
  const names = [...new Set(broken.map(([, name]) => name!))];
  return { passed, failed, ignored, names, slowest: slowest(output) };
}

const SHOWN = 8;
/** Tests below this are not worth a line. */
const QUICK_SECONDS = 3;

function slowest(output: string): string[] {
  return [...output.matchAll(DENO_TIMED)]
    .map(([, name, minutes, amount, milli]) => ({
      name,
      seconds: Number(minutes ?? 0) * 60 + Number(amount) / (milli === "" ? 1 : 1000),
    }))
    .filter(({ seconds }) => seconds >= QUICK_SECONDS)
    .sort((a, b) => b.seconds - a.seconds)
    .slice(0, SHOWN)
    .map(({ name, seconds }) => `${name} (${seconds} s)`);
}
