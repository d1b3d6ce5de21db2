/**
 * What the ways of generating share: the opened model, and the prompt of the command line.
 *
 * @module
 */

import { UsageError } from "../../lib/base/errors.ts";
import type { Grammar } from "../../lib/infer/grammar/grammar.ts";
import type { TokenGrammar } from "../../lib/infer/grammar/grammar_constraint.ts";
import type { LanguageModel } from "../../lib/infer/language_model.ts";
import type { GenerateCommandOptions } from "../commands/generate.spec.ts";
import type { Io } from "../io.ts";
import { readText } from "../text_input.ts";
import type { Log } from "../ui/log.ts";

/** A model that is ready, and what the user asked of it. */
export interface Opened {
  /** The model that the text is continued with. */
  readonly model: LanguageModel;
  /** The model that guesses. */
  readonly draft: LanguageModel | undefined;
  /** What the texts have to follow. */
  readonly grammar: TokenGrammar | undefined;
  /** The command line. */
  readonly values: GenerateCommandOptions;
  /** The process. */
  readonly io: Io;
  /** Notes and progress. */
  readonly log: Log;
  /** Ends the work. */
  readonly signal: AbortSignal;
  /** When the command began, by `performance.now()`. */
  readonly start: number;
}

/** The prompt: of the flag, the file, or stdin, less one line break at the end of the latter two. */
export async function promptText(
  values: Pick<GenerateCommandOptions, "prompt" | "promptFile">,
  io: Io,
): Promise<string> {
  if (values.prompt !== undefined) return values.prompt;
  const path = values.promptFile ?? "-";
  // What editors and `echo` put at the end is not meant to be continued.
  if (path !== "-" || !io.stdin.terminal) return (await readText(path, io)).replace(/\r?\n$/, "");
  throw new UsageError('Cannot run "llamero generate": there is no prompt', {
    hint: 'give one with --prompt "Once upon a time", --prompt-file FILE, or on stdin',
  });
}

/** The grammar of the flags, read before a model is. @throws {ConfigError} When it cannot be followed. */
export async function readGrammar(
  values: Pick<GenerateCommandOptions, "grammar" | "jsonSchema">,
  io: Io,
): Promise<Grammar | undefined> {
  if (values.grammar !== undefined) {
    const { parseGbnf } = await import("../../lib/infer/grammar/gbnf.ts");
    return parseGbnf(await grammarText(values.grammar, io));
  }
  if (values.jsonSchema === undefined) return undefined;
  const { parseJsonSchema } = await import("../../lib/infer/grammar/json_schema.ts");
  return parseJsonSchema(await grammarText(values.jsonSchema, io));
}

/** A text in which a grammar can stand: its most characters, all of four bytes. */
async function grammarText(path: string, io: Io): Promise<string> {
  const { GRAMMAR_LIMITS } = await import("../../lib/infer/grammar/grammar.ts");
  return await readText(path, io, { most: 4 * GRAMMAR_LIMITS.source });
}

/** How texts are continued, by the flags. */
export function continueOptions({ values, signal }: Pick<Opened, "values" | "signal">): {
  readonly maxTokens: number;
  readonly sampling: GenerateCommandOptions;
  readonly seed: number;
  readonly stop: readonly string[];
  readonly ignoreEnd: boolean;
  readonly logProbs: number | undefined;
  readonly context: number | undefined;
  readonly kvType: GenerateCommandOptions["kvType"];
  readonly signal: AbortSignal;
} {
  const { maxTokens, seed, stop, ignoreEos, logprobs, context, kvType } = values;
  return {
    maxTokens,
    sampling: values,
    seed,
    stop,
    ignoreEnd: ignoreEos,
    logProbs: logprobs,
    context,
    kvType,
    signal,
  };
}
