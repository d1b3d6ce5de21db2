/**
 * The commands, in the order of the help. To add one: a line here, `<name>.spec.ts` and `<name>.ts`
 * in `cli/commands` (a space in the name is an underscore in the file).
 *
 * @module
 */

import type { AnyCommandSpec, CommandGroup } from "./command.ts";

/** A command whose words call nothing by themselves, such as `bench`. */
export interface ParentCommand {
  /** Heading in the root help. */
  readonly group: CommandGroup;
  /** One line for the list of commands. */
  readonly summary: string;
}

/** Imports the record of a command. */
export type SpecLoader = () => Promise<{ readonly spec: AnyCommandSpec }>;

/** Commands that only have subcommands. */
export const PARENTS: Readonly<Record<string, ParentCommand>> = {
  tokenize: { group: "Text and tokenizers", summary: "train and apply tokenizers" },
  bench: { group: "Measurement", summary: "measure speed against the machine's limits" },
  eval: { group: "Measurement", summary: "measure what a model knows" },
};

/** Every command by name. */
export const COMMANDS: Readonly<Record<string, SpecLoader>> = {
  "tokenize train": () => import("./commands/tokenize_train.spec.ts"),
  "tokenize pack": () => import("./commands/tokenize_pack.spec.ts"),
  "tokenize encode": () => import("./commands/tokenize_encode.spec.ts"),
  "tokenize decode": () => import("./commands/tokenize_decode.spec.ts"),
  "tokenize info": () => import("./commands/tokenize_info.spec.ts"),
  train: () => import("./commands/train.spec.ts"),
  generate: () => import("./commands/generate.spec.ts"),
  convert: () => import("./commands/convert.spec.ts"),
  quantize: () => import("./commands/quantize.spec.ts"),
  importance: () => import("./commands/importance.spec.ts"),
  inspect: () => import("./commands/inspect.spec.ts"),
  presets: () => import("./commands/presets.spec.ts"),
  probe: () => import("./commands/probe.spec.ts"),
  "bench generate": () => import("./commands/bench_generate.spec.ts"),
  "bench train": () => import("./commands/bench_train.spec.ts"),
  "bench kernels": () => import("./commands/bench_kernels.spec.ts"),
  "eval perplexity": () => import("./commands/eval_perplexity.spec.ts"),
  doctor: () => import("./commands/doctor.spec.ts"),
  completions: () => import("./commands/completions.spec.ts"),
  man: () => import("./commands/man.spec.ts"),
};

/** Imports the records of the commands whose first word is `word`, or of all. */
export async function loadSpecs(word?: string): Promise<AnyCommandSpec[]> {
  const wanted = Object.entries(COMMANDS)
    .filter(([name]) => word === undefined || name.split(" ")[0] === word);
  const modules = await Promise.all(wanted.map(([, load]) => load()));
  return modules.map((module) => module.spec);
}

/** The first words of all commands. */
export function commandWords(): string[] {
  return [...new Set(Object.keys(COMMANDS).map((name) => name.split(" ")[0]!))];
}
