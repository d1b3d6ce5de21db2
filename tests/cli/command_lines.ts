/**
 * Command lines as documents and help show them, parsed by the real program and never run.
 *
 * @module
 */

import { loadSpecs } from "../../cli/catalog.ts";
import type { AnyCommandSpec } from "../../cli/command.ts";
import { buildProgram } from "../../cli/program.ts";
import { resolveValues } from "../../cli/values.ts";
import { memoryIo } from "./run_cli.ts";

const specs = await loadSpecs();

/** The words of a command line as a shell would cut them, up to a pipe or redirection. */
function shellWords(line: string): string[] {
  const words = [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)]
    .map(([, double, single, bare]) => double ?? single ?? bare!);
  const end = words.findIndex((word) => /^(\||>|<|2>|&&)/.test(word));
  return end < 0 ? words : words.slice(0, end);
}

/**
 * The command that a line beginning with `llamero` calls: its options and arguments are parsed and
 * checked down to their values, and nothing is run. Throws what the program would refuse it with.
 */
export async function calledCommand(line: string): Promise<AnyCommandSpec | undefined> {
  let called: AnyCommandSpec | undefined;
  const { io } = memoryIo();
  const program = buildProgram(specs, {
    version: "0",
    io,
    run(spec, given) {
      const { values } = resolveValues(spec, given, () => undefined);
      spec.check?.(values as never);
      called = spec;
      return Promise.resolve();
    },
  });
  await program.parse(shellWords(line).slice(1));
  return called;
}
