/**
 * What a shell can complete, from the records of the commands: the same for every shell.
 *
 * @module
 */

import { PARENTS } from "../catalog.ts";
import { type AnyCommandSpec, flagOf, takesValue } from "../command.ts";
import { completionOf } from "../describe.ts";

/** What completes a value: words, file names, or nothing. */
export type Completion = ReturnType<typeof completionOf>;

/** One flag of a command. */
export interface FlagWords {
  /** The flag, such as `--kv-type`. */
  readonly flag: string;
  /** The letter of `-x`, where there is one. */
  readonly short?: string | undefined;
  /** One sentence. */
  readonly doc: string;
  /** Placeholder of the value; absent for a switch. */
  readonly value?: string;
  /** What completes the value. */
  readonly completion: Completion;
  /** Whether it may be given again. */
  readonly repeat: boolean;
}

/** One positional argument of a command. */
export interface ArgumentWords {
  /** Placeholder. */
  readonly value: string;
  /** What completes it. */
  readonly completion: Completion;
  /** Whether it takes all that remain. */
  readonly rest: boolean;
}

/** One command. */
export interface CommandWords {
  /** The words that call it. */
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** Its flags, `--help` last. */
  readonly flags: readonly FlagWords[];
  /** Its arguments in order. */
  readonly arguments: readonly ArgumentWords[];
}

/** Everything that a shell can complete. */
export interface ProgramWords {
  /** First words with their summaries. */
  readonly words: readonly (readonly [word: string, summary: string])[];
  /** First words that only have subcommands. */
  readonly parents: readonly string[];
  /** Every command. */
  readonly commands: readonly CommandWords[];
}

function flagsOf(spec: AnyCommandSpec): FlagWords[] {
  const flags: FlagWords[] = [];
  for (const [key, option] of Object.entries(spec.options)) {
    const { doc, short } = option;
    const flag = flagOf(key);
    if (takesValue(option)) {
      const repeat = option.repeat !== undefined;
      flags.push({
        flag,
        short,
        doc,
        value: option.value,
        completion: completionOf(option),
        repeat,
      });
      continue;
    }
    flags.push({ flag, short, doc, completion: "nothing", repeat: false });
    if (!option.negatable) continue;
    flags.push({
      flag: `--no-${flag.slice(2)}`,
      doc: `not: ${doc}`,
      completion: "nothing",
      repeat: false,
    });
  }
  const help = { flag: "--help", short: "h", doc: "show this help", repeat: false } as const;
  return [...flags, { ...help, completion: "nothing" }];
}

/** Gathers what a shell can complete. */
export function programWords(specs: readonly AnyCommandSpec[]): ProgramWords {
  const commands = specs.map((spec) => ({
    name: spec.name,
    summary: spec.summary,
    flags: flagsOf(spec),
    arguments: Object.values(spec.arguments).map((argument) => ({
      value: argument.value,
      completion: completionOf(argument),
      rest: argument.rest === true,
    })),
  }));
  const words = new Map<string, string>();
  const parents = new Set<string>();
  for (const { name, summary } of specs) {
    const [word, sub] = name.split(" ") as [string, string?];
    if (sub !== undefined) parents.add(word);
    words.set(word, sub === undefined ? summary : PARENTS[word]!.summary);
  }
  return { words: [...words], parents: [...parents], commands };
}
