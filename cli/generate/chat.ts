/**
 * A chat: one message and its answer, or a conversation on a terminal.
 *
 * @module
 */

import { ConfigError } from "../../lib/base/errors.ts";
import { chatTemplateOf, Conversation } from "../../lib/infer/conversation.ts";
import type { Io } from "../io.ts";
import { drafterOf, show } from "./one.ts";
import { continueOptions, type Opened } from "./opened.ts";
import { report } from "./report.ts";

/** Answers a message, or, without one, every line that is typed. */
export async function chat(opened: Opened, message: string | undefined): Promise<void> {
  const { model, values, start } = opened;
  const template = await chatTemplateOf(model);
  const drafter = drafterOf(opened, model.decoder.config.maxPositionEmbeddings);
  const conversation = new Conversation(model, {
    template,
    ...continueOptions(opened),
    system: values.system,
    grammar: opened.grammar,
    drafter,
    draftTokens: values.draftTokens,
  });
  try {
    const loadMs = performance.now() - start;
    if (message === undefined) return await converse(opened, conversation);
    const result = await show(opened, conversation.say(message));
    report(result, { ...opened, loadMs });
  } finally {
    conversation.close();
    drafter?.close?.();
  }
}

/** Answers line by line until the input ends or says `/exit`. */
async function converse(opened: Opened, conversation: Conversation): Promise<void> {
  const { io, log, start } = opened;
  const loadMs = performance.now() - start;
  log.note("a line is a message; /reset forgets the conversation, /exit or Ctrl-D ends it");
  for await (const line of typedLines(io)) {
    const message = line.trim();
    if (message === "/exit") return;
    if (message === "/reset") conversation.reset();
    else if (message !== "") {
      try {
        report(await show(opened, conversation.say(message)), { ...opened, loadMs });
      } catch (error) {
        // What was said too long can be said shorter: the conversation goes on without it.
        if (!(error instanceof ConfigError)) throw error;
        log.warn(error.message);
      }
    }
  }
}

/** Lines as they are typed, each asked for by a prompt. */
async function* typedLines(io: Io): AsyncGenerator<string, void, void> {
  const ask = () => io.stderr.write("> ");
  let rest = "";
  ask();
  const text = io.stdin.readable().pipeThrough(new TextDecoderStream());
  for await (const part of text) {
    const lines = (rest + part).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      yield line;
      ask();
    }
  }
  if (rest !== "") yield rest;
}
