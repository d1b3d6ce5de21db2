/**
 * The command line: finds the command, loads its record and then its code, and maps errors to exit
 * codes. Nothing is imported before it is needed, so that `--help` is quick.
 *
 * @module
 */

import { UsageError } from "../lib/base/errors.ts";
import { didYouMean } from "../lib/base/nearest.ts";
import { quoted } from "../lib/base/quoted.ts";
import { COMMANDS, commandWords, loadSpecs, PARENTS } from "./catalog.ts";
import type { AnyCommandSpec } from "./command.ts";
import { isParserError, reportFailure, usageErrorOf } from "./failure.ts";
import { ClosedPipe, type Io } from "./io.ts";
import { enterCallersFolder, processIo } from "./process_io.ts";
import { type Given, resolveValues } from "./values.ts";
import { VERSION } from "./version.ts";

/** Refuses an unknown command before anything is loaded. */
function checkWords(args: readonly string[]): void {
  const [word, sub] = args;
  if (word === undefined || word.startsWith("-")) return;
  const words = commandWords();
  if (!words.includes(word)) {
    throw new UsageError(`Cannot run "llamero": there is no command ${quoted(word)}`, {
      hint: didYouMean(word, words) ?? "llamero --help lists the commands",
    });
  }
  if (!Object.hasOwn(PARENTS, word) || sub === undefined || sub.startsWith("-")) return;
  const subs = Object.keys(COMMANDS).filter((name) => name.startsWith(`${word} `))
    .map((name) => name.slice(word.length + 1));
  if (subs.includes(sub)) return;
  throw new UsageError(`Cannot run "llamero ${word}": there is no command ${quoted(sub)}`, {
    hint: didYouMean(sub, subs) ?? `llamero ${word} --help lists the commands`,
  });
}

/** `help`, `help bench`, `help bench train` are other words for `--help`. */
function withoutHelpWord(args: readonly string[]): readonly string[] {
  return args[0] === "help" ? [...args.slice(1), "--help"] : args;
}

async function runCommand(spec: AnyCommandSpec, given: Given, io: Io): Promise<void> {
  const { values, sources } = resolveValues(spec, given, io.env);
  spec.check?.(values as never);
  const module = await spec.load();
  await module.run(values as never, io, sources as never);
}

/** What a command line calls, as far as it is known: a command, a parent, or the program. */
function calledBy(
  args: readonly string[],
  specs: readonly AnyCommandSpec[],
): { readonly called: string; readonly spec: AnyCommandSpec | undefined } {
  const [word = "", sub] = args;
  const spec = specs.find(({ name }) => name === word || name === `${word} ${sub}`);
  const known = spec?.name ?? (Object.hasOwn(PARENTS, word) ? word : undefined);
  return { called: known === undefined ? "llamero" : `llamero ${known}`, spec };
}

async function dispatch(args: readonly string[], io: Io): Promise<void> {
  checkWords(args);
  const word = args[0]?.startsWith("-") ? undefined : args[0];
  const [specs, { buildProgram }] = await Promise.all([loadSpecs(word), import("./program.ts")]);
  const program = buildProgram(specs, {
    version: `llamero ${VERSION}`,
    io,
    run: (spec, given) => runCommand(spec, given, io),
  });
  if (args.length === 0) program.complain();
  try {
    await program.parse(args);
  } catch (error) {
    if (!isParserError(error) || error.exitCode === 0 || error.code === "commander.help") {
      throw error;
    }
    throw usageErrorOf(error, calledBy(args, specs));
  }
}

/** Runs a command line and returns its exit code; never throws. */
export async function main(args: readonly string[], io: Io): Promise<number> {
  try {
    await dispatch(withoutHelpWord(args), io);
    return 0;
  } catch (error) {
    if (error instanceof ClosedPipe) return 0;
    if (isParserError(error)) return error.exitCode === 0 ? 0 : 2;
    return reportFailure(error, io, args.includes("--verbose"));
  }
}

if (import.meta.main) {
  enterCallersFolder();
  Deno.exit(await main(Deno.args, processIo()));
}
