/**
 * Continues one text.
 *
 * @module
 */

import { DraftModel } from "../../lib/infer/draft_model.ts";
import { type Drafter, LookupDrafter } from "../../lib/infer/drafter.ts";
import { generate, type GeneratedText, PROMPT_ROWS } from "../../lib/infer/generate.ts";
import { PromptCache } from "../../lib/infer/prompt_cache.ts";
import { continueOptions, type Opened } from "./opened.ts";
import { report } from "./report.ts";

/** Continues a text on stdout. */
export async function continueOne(opened: Opened, text: string): Promise<void> {
  const { model, values, log, start } = opened;
  const prompt = model.encodePrompt(text);
  const promptCache = values.promptCache === undefined
    ? undefined
    : await PromptCache.open(model, values.promptCache, (note) => log.warn(note));
  const drafter = drafterOf(opened, prompt.length);
  const loadMs = performance.now() - start;
  const ticker = prompt.length > PROMPT_ROWS
    ? log.progress({ label: "prompt", total: prompt.length, unit: "tokens" })
    : undefined;
  try {
    const pieces = generate(model, {
      ...continueOptions(opened),
      prompt,
      constraint: opened.grammar?.constraint(prompt),
      promptCache,
      drafter,
      draftTokens: values.draftTokens,
      progress: (done) => ticker?.update(done),
    });
    const result = await show(opened, pieces, () => ticker?.finish());
    report(result, { ...opened, loadMs });
  } finally {
    ticker?.finish();
    drafter?.close?.();
  }
}

/** What guesses, by the flags. */
export function drafterOf(
  { model, draft, values }: Pick<Opened, "model" | "draft" | "values">,
  promptTokens: number,
): Drafter | undefined {
  if (values.lookup) return new LookupDrafter();
  if (draft === undefined) return undefined;
  const { maxPositionEmbeddings } = model.decoder.config;
  const positions = Math.min(
    values.context ?? maxPositionEmbeddings,
    promptTokens + values.maxTokens,
  );
  return new DraftModel(draft, { positions, draftTokens: values.draftTokens });
}

/** Writes pieces as they come, unless JSON was asked for; `begun` is called before the first. */
export async function show(
  { values, io }: Pick<Opened, "values" | "io">,
  pieces: AsyncGenerator<string, GeneratedText, void>,
  begun?: () => void,
): Promise<GeneratedText> {
  const shows = !values.json;
  try {
    for (;;) {
      const next = await pieces.next();
      begun?.();
      if (next.done) return next.value;
      if (shows) io.stdout.write(next.value);
    }
  } finally {
    if (shows && io.stdout.terminal) io.stdout.write("\n");
  }
}
