/**
 * The house rules, all of them: what `deno task check` runs.
 *
 *     deno task check [NAME…]
 *
 * @module
 */

import { runStep, say, type Step, stepLine, type StepResult } from "./step.ts";

const deno = Deno.execPath();
const script = (name: string, ...args: string[]): [string, ...string[]] => [
  deno,
  "run",
  "--allow-read",
  "--allow-run",
  "--allow-env",
  "--allow-sys",
  `scripts/${name}.ts`,
  ...args,
];

/** The steps, quick ones first. */
export const CHECKS: readonly Step[] = [
  { name: "format", command: [deno, "fmt", "--check"] },
  { name: "lint", command: [deno, "lint"] },
  { name: "lengths", command: script("check_lengths") },
  { name: "kernel table", command: script("generate_abi", "--check") },
  { name: "wasm is built from these sources", command: script("build_wasm", "--check") },
  { name: "types", command: [deno, "check", "-q", "--doc", ".", "README.md"] },
  { name: "docs", command: script("check_docs") },
];

/** Steps that run at the same time. */
const SIDE_BY_SIDE = 2;

/** Runs the checks and reports each as it ends. */
export async function runChecks(
  checks: readonly Step[],
  report: (result: StepResult) => void,
): Promise<StepResult[]> {
  const waiting = [...checks];
  const results: StepResult[] = [];
  const work = async () => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      const result = await runStep(step);
      results.push(result);
      report(result);
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, work));
  return results;
}

/** Prints how a step went, and what it printed where it failed. */
function reportStep(result: StepResult): void {
  say(stepLine(result));
  if (!result.passed) say(result.output.trimEnd().replace(/^/gm, "      "));
}

if (import.meta.main) {
  const named = Deno.args;
  const chosen = CHECKS.filter(({ name }) => named.length === 0 || named.includes(name));
  const results = await runChecks(chosen, reportStep);
  const failed = results.filter((result) => !result.passed).length;
  say(`${results.length - failed} passed, ${failed} failed`);
  if (failed > 0 || chosen.length === 0) Deno.exit(1);
}
