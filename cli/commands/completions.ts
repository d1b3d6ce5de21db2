/**
 * `llamero completions`: a completion script for a shell.
 *
 * @module
 */

import { loadSpecs } from "../catalog.ts";
import { bashCompletion } from "../completion/bash.ts";
import { fishCompletion } from "../completion/fish.ts";
import { programWords } from "../completion/words.ts";
import { zshCompletion } from "../completion/zsh.ts";
import type { Io } from "../io.ts";
import type { CompletionsArguments } from "./completions.spec.ts";

const WRITERS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

/** Prints the completion script of one shell. */
export async function run({ shell }: CompletionsArguments, io: Io): Promise<void> {
  io.stdout.write(WRITERS[shell](programWords(await loadSpecs())));
}
