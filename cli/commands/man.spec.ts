/**
 * The record of `llamero man`.
 *
 * @module
 */

import type { CommandSpec } from "../command.ts";

/** The record of `llamero man`. */
export const spec: CommandSpec<unknown> = {
  name: "man",
  group: "This program",
  summary: "print the manual page, in roff",
  arguments: {},
  options: {},
  examples: [
    { command: "llamero man | man -l -", doc: "read it" },
    { command: "llamero man > ~/.local/share/man/man1/llamero.1", doc: "install it" },
  ],
  load: () => import("./man.ts"),
};
