/**
 * Commander's parser and help, built from the records of the commands.
 *
 * @module
 */

import { Argument, Command, Option } from "commander";
import { PARENTS } from "./catalog.ts";
import { type AnyCommandSpec, type AnyOption, flagOf, takesValue } from "./command.ts";
import { optionDoc, optionTerm, usageOf } from "./describe.ts";
import type { Io } from "./io.ts";
import { LAST_GROUP } from "./options.ts";
import { styled } from "./ui/style.ts";
import type { Given } from "./values.ts";

/** What the program does once it knows which command was called with what. */
export type OnCommand = (spec: AnyCommandSpec, given: Given) => Promise<void>;

/** What a program needs besides its commands. */
export interface ProgramOptions {
  /** What `--version` prints. */
  readonly version: string;
  /** Where help and version go. */
  readonly io: Io;
  /** Called with the command that was chosen. */
  readonly run: OnCommand;
}

/** Help wider than this reads badly, however wide the terminal. */
const WIDEST_HELP = 100;

/** The help's wording for each option that we made; commander's own flags speak for themselves. */
const terms = new WeakMap<Option, string>();

const collect = (text: string, before: readonly string[] | undefined) => [...before ?? [], text];

function addOption(command: Command, key: string, option: AnyOption): void {
  const short = option.short === undefined ? "" : `-${option.short}, `;
  const value = takesValue(option)
    ? ` <${option.value}${option.repeat === "many" ? "..." : ""}>`
    : "";
  const made = new Option(short + flagOf(key) + value, optionDoc(option))
    .helpGroup(`${option.group ?? "Options"}:`);
  terms.set(made, optionTerm(key, option));
  if (takesValue(option)) made.argParser(collect);
  command.addOption(made);
  if (takesValue(option) || !option.negatable) return;
  command.addOption(new Option("--no-" + flagOf(key).slice(2)).hideHelp());
}

function given(spec: AnyCommandSpec, command: Command, args: unknown[]): Given {
  const options: Record<string, boolean | readonly string[] | undefined> = {};
  for (const key of Object.keys(spec.options)) {
    // Commander's key of `--beta1` or `--top-k` need not be ours.
    options[key] = command.getOptionValue(new Option(flagOf(key)).attributeName());
  }
  return { options, arguments: args as Given["arguments"] };
}

function examplesOf(spec: AnyCommandSpec, io: Io): string {
  if (spec.examples.length === 0) return "";
  const lines = spec.examples.map((example) =>
    `  ${styled(`# ${example.doc}`, "dim", io.stdout)}\n  ${example.command}\n`
  );
  return `\n${styled("Examples:", "bold", io.stdout)}\n${lines.join("\n")}`;
}

function addCommand(parent: Command, spec: AnyCommandSpec, options: ProgramOptions): void {
  const more = spec.description === undefined ? "" : `\n\n${spec.description}`;
  const command = parent.command(spec.name.split(" ").at(-1)!)
    .summary(spec.summary)
    .description(capital(spec.summary) + "." + more)
    .usage(usageOf(spec))
    .helpGroup(parent.parent === null ? `${spec.group}:` : "Commands:")
    .addHelpText("after", examplesOf(spec, options.io));
  for (const argument of Object.values(spec.arguments)) {
    const name = argument.value + (argument.rest ? "..." : "");
    command.addArgument(new Argument(argument.required ? `<${name}>` : `[${name}]`, argument.doc));
  }
  for (const [key, option] of Object.entries(spec.options)) addOption(command, key, option);
  command.addHelpOption(new Option("-h, --help", "show this help").helpGroup(`${LAST_GROUP}:`));
  command.action(async (...all: unknown[]) => {
    const args = all.slice(0, Object.keys(spec.arguments).length);
    await options.run(spec, given(spec, command, args));
  });
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function newRoot({ version, io }: ProgramOptions): Command {
  const bold = (text: string) => styled(text, "bold", io.stdout);
  return new Command("llamero")
    .description("Takes Llama-family language models through their whole life, without Python.")
    .usage("<command> [options]")
    .helpOption("-h, --help", "show this help")
    .version(version, "-V, --version", "print the version")
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: () => {}, // The caller words the error.
      getOutHelpWidth: () => Math.min(io.stdout.columns() ?? WIDEST_HELP, WIDEST_HELP),
      getErrHelpWidth: () => Math.min(io.stderr.columns() ?? WIDEST_HELP, WIDEST_HELP),
      // The styles here know already whether the stream takes colours.
      getOutHasColors: () => io.stdout.color,
      getErrHasColors: () => io.stderr.color,
    })
    .configureHelp({
      styleTitle: bold,
      optionTerm: (option) => terms.get(option) ?? option.flags,
      subcommandTerm: (command) => command.name(),
      argumentTerm: (argument) => argument.name(),
    })
    .addHelpText("after", "\nllamero <command> --help explains a command.");
}

/** A parser that is ready. */
export interface Program {
  /** Parses a command line and runs what it calls; throws commander's errors as they are. */
  parse(args: readonly string[]): Promise<void>;
  /** Shows the help on stderr, as for a call without a command. */
  complain(): void;
}

/** Builds the parser for some commands. */
export function buildProgram(
  specs: readonly AnyCommandSpec[],
  options: ProgramOptions,
): Program {
  const root = newRoot(options);
  const parents = new Map<string, Command>();
  for (const spec of specs) {
    const [word, sub] = spec.name.split(" ");
    if (sub === undefined) {
      addCommand(root, spec, options);
      continue;
    }
    let parent = parents.get(word!);
    if (parent === undefined) {
      const { group, summary } = PARENTS[word!]!;
      parent = root.command(word!).summary(summary).description(capital(summary) + ".")
        .usage("<command> [options]").helpGroup(`${group}:`).helpCommand(false);
      parents.set(word!, parent);
    }
    addCommand(parent, spec, options);
  }
  return {
    parse: async (args) => void await root.parseAsync([...args], { from: "user" }),
    complain: () => root.help({ error: true }),
  };
}
