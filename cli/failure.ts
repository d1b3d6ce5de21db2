/**
 * What the user reads when a command fails, and the exit code: 1 the work failed, 2 the command
 * line or a config is wrong, 130 interrupted.
 *
 * @module
 */

import { asError, LlameroError, UsageError } from "../lib/base/errors.ts";
import { didYouMean } from "../lib/base/nearest.ts";
import { quoted } from "../lib/base/quoted.ts";
import { type AnyCommandSpec, flagOf, takesValue } from "./command.ts";
import type { Io } from "./io.ts";
import { styled } from "./ui/style.ts";

/** The error that commander throws, told by its shape so that commander need not be imported. */
export interface ParserError {
  /** Such as `commander.unknownOption`. */
  readonly code: string;
  /** What commander would print. */
  readonly message: string;
  /** 0 for help and version. */
  readonly exitCode: number;
}

/** Whether commander threw it. */
export function isParserError(error: unknown): error is ParserError {
  return error instanceof Error &&
    String((error as { code?: unknown }).code).startsWith("commander.");
}

/** The command has failed on several ranks alike, and another one of them says why. */
export class ToldElsewhere extends Error {
  /** The name of this class. */
  override name = "ToldElsewhere";
  /** The exit code of the one who says it. */
  readonly exitCode: number;

  /** Ends with the exit code of another rank. */
  constructor(exitCode: number) {
    super("another rank says why");
    this.exitCode = exitCode;
  }
}

function flagsOf(spec: AnyCommandSpec): string[] {
  const flags = ["--help"];
  for (const [key, option] of Object.entries(spec.options)) {
    flags.push(flagOf(key));
    if (!takesValue(option) && option.negatable) flags.push(`--no-${flagOf(key).slice(2)}`);
  }
  return flags;
}

/** Words commander's complaint about a call of `called` as a {@linkcode UsageError}. */
export function usageErrorOf(
  error: ParserError,
  { called, spec }: { readonly called: string; readonly spec: AnyCommandSpec | undefined },
): UsageError {
  const named = /'([^']*)'/.exec(error.message)?.[1] ?? "";
  const help = `${called} --help shows how it is called`;
  switch (error.code) {
    case "commander.unknownOption": {
      const near = didYouMean(named.split("=")[0]!, spec === undefined ? [] : flagsOf(spec));
      return new UsageError(`Cannot run "${called}": there is no option ${quoted(named)}`, {
        hint: near ?? help,
      });
    }
    case "commander.optionMissingArgument": {
      const flag = named.replace(/[<>]/g, "");
      return new UsageError(`Cannot run "${called}": ${flag} lacks its value`, { hint: help });
    }
    case "commander.missingArgument":
      return new UsageError(`Cannot run "${called}": ${named.toUpperCase()} is missing`, {
        hint: help,
      });
    case "commander.excessArguments": {
      const words = / but got \d+: (.*)\.$/s.exec(error.message)?.[1] ?? "";
      const most = Object.keys(spec?.arguments ?? {}).length;
      const wanted = most === 0 ? "none" : `at most ${most}`;
      return new UsageError(
        `Cannot run "${called}": it got the arguments ${quoted(words)}, and wanted ${wanted}`,
        { hint: help },
      );
    }
    default:
      return new UsageError(error.message.replace(/^error: /, ""), { hint: help });
  }
}

const PERMISSION_HINT = "deno needs this permission to run the command; README lists them all";

function hintOf(error: Error, verbose: boolean): string | undefined {
  if (error instanceof LlameroError) return error.hint;
  if (error instanceof Deno.errors.NotCapable) return PERMISSION_HINT;
  return verbose ? undefined : "run it again with --verbose for the stack";
}

function messageOf(error: Error): string {
  // An error of the operating system or of Deno's permissions says enough; others are our mistakes.
  const expected = error instanceof LlameroError ||
    Object.values(Deno.errors).some((kind) => error instanceof kind);
  return expected ? error.message : `${error.name}: ${error.message}`;
}

/** Prints `llamero: <message>` and the hint, and the stack where asked; returns the exit code. */
export function reportFailure(thrown: unknown, io: Io, verbose: boolean): number {
  if (thrown instanceof ToldElsewhere) return thrown.exitCode;
  const error = asError(thrown);
  const label = styled("llamero:", "red", io.stderr);
  io.stderr.write(`${label} ${messageOf(error)}\n`);
  const hint = hintOf(error, verbose);
  if (hint !== undefined) io.stderr.write(`${styled("hint:", "yellow", io.stderr)} ${hint}\n`);
  for (let at: unknown = error; verbose && at instanceof Error; at = at.cause) {
    io.stderr.write(`${at.stack ?? at.message}\n`);
  }
  return error instanceof LlameroError ? error.exitCode : 1;
}
