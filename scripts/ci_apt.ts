/**
 * Debian's packages, for the checks of a machine where nobody installed anything.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { runStep, say } from "./step.ts";

/** Never removes what somebody chose: another package that is in the way stays. */
const INSTALL = ["install", "--no-remove", "--no-install-recommends"];
const ATTEMPTS = 3;

/** Why nothing can be installed here, or nothing. */
function refusal(): string | undefined {
  if (!existsSync("/usr/bin/apt-get")) return "no apt-get here";
  if (Deno.uid() !== 0) return "not root, and nothing is installed by other means";
  return undefined;
}

async function apt(...args: string[]): Promise<boolean> {
  const { passed, output } = await runStep({
    name: "apt-get",
    command: ["apt-get", "-q", "-y", ...args],
    env: { DEBIAN_FRONTEND: "noninteractive" },
    minutes: 10,
  });
  if (!passed) say(output.trim().split("\n").slice(-3).join("\n"));
  return passed;
}

/**
 * Installs packages; returns why they could not be, or nothing.
 *
 * @param packages What is needed.
 * @param welcome Asked afterwards what else is tried, without a word where it is not there.
 */
export async function installPackages(
  packages: readonly string[],
  welcome: () => readonly string[] = () => [],
): Promise<string | undefined> {
  const refused = refusal();
  if (refused !== undefined) return refused;
  say(`installing ${packages.join(" ")}`);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    if (await apt("update") && await apt(...INSTALL, ...packages)) {
      await apt(...INSTALL, ...welcome());
      return undefined;
    }
    await new Promise((resolve) => setTimeout(resolve, attempt * 5000));
  }
  return "apt-get could not install it";
}
