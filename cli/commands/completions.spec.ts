/**
 * The record of `llamero completions`.
 *
 * @module
 */

import type { CommandSpec } from "../command.ts";

/** The shells that are known. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** What `llamero completions` is called with. */
export interface CompletionsArguments {
  /** Whose syntax to print. */
  readonly shell: (typeof SHELLS)[number];
}

/** The record of `llamero completions`. */
export const spec: CommandSpec<unknown, CompletionsArguments> = {
  name: "completions",
  group: "This program",
  summary: "print a completion script for a shell",
  arguments: {
    shell: { value: "SHELL", required: true, choices: SHELLS, doc: "bash, zsh or fish" },
  },
  options: {},
  examples: [
    {
      command: "llamero completions bash > ~/.local/share/bash-completion/completions/llamero",
      doc: "for bash",
    },
    { command: 'llamero completions zsh > "${fpath[1]}/_llamero"', doc: "for zsh" },
    {
      command: "llamero completions fish > ~/.config/fish/completions/llamero.fish",
      doc: "for fish",
    },
  ],
  load: () => import("./completions.ts"),
};
