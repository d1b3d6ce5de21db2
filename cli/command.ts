/**
 * What a command is: one record from which parsing, help, completions and the man page come.
 *
 * The record of the command `bench generate` stands in `cli/commands/bench_generate.spec.ts` as
 * `export const spec: CommandSpec<Options, Arguments>`; its code stands in `bench_generate.ts` as
 * `run(options, io, sources)` and is imported only when the command runs. A record is cheap to
 * import: it takes nothing from `lib/` but types and `lib/base`.
 *
 * The key of an option is its flag in camelCase: `maxTokens` is `--max-tokens`. Value order:
 * flag > environment > default; `sources` tells which it was.
 *
 * @module
 */

import type { Io } from "./io.ts";

/** Heading under which the root help lists a command. */
export type CommandGroup =
  | "Text and tokenizers"
  | "Training"
  | "Models"
  | "Generation"
  | "Measurement"
  | "This program";

/** What every option says of itself. */
export interface OptionCommon {
  /** One sentence for the help, without a full stop. */
  readonly doc: string;
  /** Heading in the command's help; "Options" without one. */
  readonly group?: string;
  /** One letter, for `-x`. */
  readonly short?: string;
}

/** An option without a value. */
export interface SwitchOption extends OptionCommon {
  /** A switch has none. */
  readonly value?: never;
  /** What holds where the option is absent; `false` without one. */
  readonly default?: boolean;
  /** Whether `--no-x` exists too. */
  readonly negatable?: boolean;
}

/** What an option with a value says of itself; `E` is one value and `T` what the command gets. */
export interface ValueCommon<E, T> extends OptionCommon {
  /** Placeholder of the value, such as `N`; FILE, DIR, PATH and PREFIX complete to file names. */
  readonly value: string;
  /** What holds where the option is absent; `undefined` without one. */
  readonly default?: T;
  /** The default in words, where the value itself says little. */
  readonly defaultDoc?: string;
  /** Environment variable that is read where the flag is absent. */
  readonly env?: string;
  /** Whether the command cannot run without it. */
  readonly required?: boolean;
  /** Whether it may be given several times (`"each"`), each time with several values (`"many"`). */
  readonly repeat?: "each" | "many";
  /** The values that are allowed. */
  readonly choices?: readonly (E & string)[];
  /** Turns the text into the value; throws `InvalidValue` of `cli/option_values.ts`. */
  readonly parse?: (text: string) => E;
}

/** An option with a value. Only text needs no parser; a closed set of words needs its choices. */
export type ValueOption<E, T> =
  & ValueCommon<E, T>
  & (string extends E ? unknown
    : [E] extends [string] ? { readonly choices: readonly E[] }
    : { readonly parse: (text: string) => E });

/** One value of an option: an element where the command gets an array. */
export type Element<T> = T extends readonly (infer E)[] ? E : T;

/** The option that yields a `T`: a switch for a boolean, an option with a value for the rest. */
export type OptionSpec<T> = [T] extends [boolean] ? SwitchOption : ValueOption<Element<T>, T>;

/** The options that yield an `O`. */
export type OptionSpecs<O> = {
  readonly [K in keyof O]-?: OptionSpec<Exclude<O[K], undefined>>;
};

/** A positional argument; an array takes all that remain and must be the last. */
export interface ArgumentSpec {
  /** One sentence for the help, without a full stop. */
  readonly doc: string;
  /** Placeholder in the help, such as `FILE`; the same names complete as those of options. */
  readonly value: string;
  /** Whether the command cannot run without it. */
  readonly required?: boolean;
  /** Whether it takes all the arguments that remain; the command gets an array. */
  readonly rest?: boolean;
  /** The values that are allowed. */
  readonly choices?: readonly string[];
}

/** The arguments that yield an `A`, in order. */
export type ArgumentSpecs<A> = { readonly [K in keyof A]-?: ArgumentSpec };

/** One line of the help that can be run as it stands. */
export interface Example {
  /** The command, beginning with `llamero`. */
  readonly command: string;
  /** What it does. */
  readonly doc: string;
}

/** Where the value of each option came from; an argument that was given counts as a flag. */
export type Sources<O> = Readonly<Record<keyof O, OptionSource>>;

/** Where the value of an option came from. */
export type OptionSource = "flag" | "environment" | "default";

/** The module with a command's code. */
export interface CommandModule<V> {
  /** Does the work; throws one of `lib/base/errors.ts` where it cannot. */
  run(values: V, io: Io, sources: Sources<V>): Promise<void> | void;
}

/** One command: everything that is known of it outside its code. */
export interface CommandSpec<O, A = unknown> {
  /** The words that call it, such as `generate` or `bench generate`. */
  readonly name: string;
  /** Heading in the root help. */
  readonly group: CommandGroup;
  /** One line for the list of commands, without a full stop. */
  readonly summary: string;
  /** What the help and the man page say below the summary. */
  readonly description?: string;
  /** Positional arguments in order. */
  readonly arguments: ArgumentSpecs<A>;
  /** Options in the order of the help. */
  readonly options: OptionSpecs<O>;
  /** Commands that work, for the help. */
  readonly examples: readonly Example[];
  /** Refuses combinations of values with a `UsageError`, before the code is imported. */
  check?(values: O & A): void;
  /** Imports the code. */
  load(): Promise<CommandModule<O & A>>;
}

/** An option of a command of any kind. */
export type AnyOption = SwitchOption | ValueCommon<unknown, unknown>;

/** A command of any kind, as what walks over all of them sees it. */
export interface AnyCommandSpec
  extends Omit<CommandSpec<never>, "options" | "arguments" | "check" | "load"> {
  /** Positional arguments in order. */
  readonly arguments: Readonly<Record<string, ArgumentSpec>>;
  /** Options in the order of the help. */
  readonly options: Readonly<Record<string, AnyOption>>;
  /** Refuses combinations of values. */
  check?(values: never): void;
  /** Imports the code. */
  load(): Promise<CommandModule<never>>;
}

/** The flag of an option: `maxTokens` is `--max-tokens`. */
export function flagOf(key: string): string {
  return "--" + key.replace(/[A-Z]/g, (letter) => "-" + letter.toLowerCase());
}

/** Whether an option takes a value. */
export function takesValue(option: AnyOption): option is ValueCommon<unknown, unknown> {
  return option.value !== undefined;
}
