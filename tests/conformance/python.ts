/**
 * Reference implementations that are Python packages, where a Python has them: `LLAMERO_PYTHON` names
 * one (default `python3`).
 *
 * @module
 */

import { spawnSync } from "node:child_process";

const PYTHON = Deno.env.get("LLAMERO_PYTHON") || "python3";

/** Runs a program on a JSON value; gives the JSON value that it prints. */
export function runPython(program: string, input: unknown): unknown {
  const { status, stdout, stderr } = spawnSync(PYTHON, ["-c", program], {
    input: JSON.stringify(input),
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`${PYTHON} failed:\n${stderr}`);
  return JSON.parse(stdout);
}

function lacks(name: string): string | undefined {
  const { status, error } = spawnSync(PYTHON, ["-c", `import ${name}`]);
  if (error !== undefined) return `no ${PYTHON}`;
  return status === 0 ? undefined : `${PYTHON} has no package ${name}`;
}

/** Registers a test that needs a Python package; without it the test is ignored with the reason. */
export function testWithPython(
  packageName: string,
  name: string,
  body: () => void | Promise<void>,
): void {
  const reason = lacks(packageName);
  if (reason === undefined) Deno.test(name, body);
  else Deno.test({ name: `${name} (ignored: ${reason})`, ignore: true, fn: () => {} });
}
