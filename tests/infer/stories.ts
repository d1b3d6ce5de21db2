/**
 * The real model of the tests, stories260K, and what llama2.c says that it writes.
 *
 * @module
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MODELS } from "../fixtures.ts";
import { storiesTokenizerBin } from "../tokenizer/stories_tokenizer.ts";

/** Folder of the model. */
export const STORIES: string = join(MODELS, "stories260K");

/** A prompt and its greedy continuation by llama2.c. */
export interface ExpectedStory {
  /** The prompt's text. */
  readonly prompt: string;
  /** Its token ids. */
  readonly prompt_ids: readonly number[];
  /** The tokens that follow, the one that ended the text among them. */
  readonly new_ids: readonly number[];
  /** Whether the last of them is the begin token, which ends a text here. */
  readonly stopped_at_bos: boolean;
  /** Prompt and continuation. */
  readonly text: string;
}

/** Why tests on the model cannot run here; nothing where they can. */
export const NO_STORIES: string | undefined = existsSync(join(STORIES, "expected.json"))
  ? undefined
  : `no ${STORIES}`;

/** Its tokenizer, as a file of llama2.c's format; gone when the tests are. */
export const STORIES_TOKENIZER: string = NO_STORIES === undefined ? await writeTokenizer() : "";

async function writeTokenizer(): Promise<string> {
  const path = Deno.makeTempFileSync({ prefix: "tok512-", suffix: ".bin" });
  globalThis.addEventListener("unload", () => Deno.removeSync(path));
  writeFileSync(path, await storiesTokenizerBin());
  return path;
}

/** Reads the expected continuations. */
export function expectedStories(): readonly ExpectedStory[] {
  return JSON.parse(readFileSync(join(STORIES, "expected.json"), "utf8")).prompts;
}
