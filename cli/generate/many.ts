/**
 * Continues many texts together.
 *
 * @module
 */

import { chatTemplateOf, encodeMessages } from "../../lib/infer/conversation.ts";
import { generateMany } from "../../lib/infer/generate_many.ts";
import { writeJson } from "../io.ts";
import { continueOptions, type Opened } from "./opened.ts";
import { textFields } from "./report.ts";

/** Writes one JSON object a line, in the order of the prompts. */
export async function continueMany(opened: Opened, texts: readonly string[]): Promise<void> {
  const { model, grammar, values, io, log } = opened;
  const prompts = await encodeAll(opened, texts);
  const ticker = log.progress({ label: "texts", total: texts.length, unit: "texts" });
  try {
    const options = continueOptions(opened);
    const progress = (done: number) => ticker.update(done);
    for await (const one of generateMany(model, { ...options, prompts, grammar, progress })) {
      writeJson(io.stdout, {
        index: one.index,
        ...textFields(model, one, values),
        prompt_tokens: one.promptTokens,
        finish_reason: one.finishReason,
      });
    }
  } finally {
    ticker.finish();
  }
}

async function encodeAll({ model, values }: Opened, texts: readonly string[]) {
  if (!values.chat) return texts.map((text) => model.encodePrompt(text));
  const template = await chatTemplateOf(model);
  const system = values.system === undefined
    ? []
    : [{ role: "system", content: values.system } as const];
  return texts.map((content) =>
    encodeMessages(model, { template, messages: [...system, { role: "user", content }] })
  );
}
