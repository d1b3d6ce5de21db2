/**
 * `llamero generate`: continues a text with a model, or many, or answers in a chat.
 *
 * @module
 */

import { formatBytes } from "../../lib/base/format.ts";
import { checkDraftModel } from "../../lib/infer/draft_model.ts";
import { TokenGrammar } from "../../lib/infer/grammar/grammar_constraint.ts";
import { LanguageModel } from "../../lib/infer/language_model.ts";
import { chat } from "../generate/chat.ts";
import { continueOne } from "../generate/one.ts";
import { continueMany } from "../generate/many.ts";
import { type Opened, promptText, readGrammar } from "../generate/opened.ts";
import { readPrompts } from "../generate/prompts.ts";
import type { Io } from "../io.ts";
import { openBackendFor } from "../open_backend.ts";
import { Log } from "../ui/log.ts";
import type { GenerateCommandOptions } from "./generate.spec.ts";

/** Models that take longer to read than this are worth a progress line. */
const LARGE_MODEL_BYTES = 256 << 20;

/** Runs `llamero generate`. */
export async function run(values: GenerateCommandOptions, io: Io): Promise<void> {
  const start = performance.now();
  const prompts = values.prompts === undefined ? undefined : await readPrompts(values.prompts, io);
  const asksForMore = values.chat && io.stdin.terminal && values.promptFile === undefined;
  const text = prompts !== undefined || (asksForMore && values.prompt === undefined)
    ? undefined
    : await promptText(values, io);
  const rules = await readGrammar(values, io);
  const log = new Log(io, values);
  const signal = io.interruption();
  const backend = openBackendFor(values, log);
  try {
    const options = { backend, log, signal };
    const model = await openModel(values.model, values, options);
    const draft = values.draft === undefined ? undefined : await openModel(values.draft, values, {
      ...options,
      spareTokenizer: model.checkpoint.tokenizerPath,
    });
    if (draft) checkDraftModel(model, draft);
    warnOfContext(model, values, log);
    const grammar = rules && new TokenGrammar(model, rules);
    const opened: Opened = { model, draft, grammar, values, io, log, signal, start };
    if (prompts) await continueMany(opened, prompts);
    else if (values.chat) await chat(opened, text);
    else await continueOne(opened, text!);
  } finally {
    (await backend.catch(() => undefined))?.close();
  }
}

function warnOfContext(
  model: LanguageModel,
  { context }: GenerateCommandOptions,
  log: Log,
): void {
  const { maxPositionEmbeddings } = model.decoder.config;
  if (context === undefined || context <= maxPositionEmbeddings) return;
  log.warn(`the model was made for ${maxPositionEmbeddings} positions, not ${context}`);
}

interface OpenOptions extends Pick<Opened, "log" | "signal"> {
  readonly backend: Parameters<typeof LanguageModel.open>[1]["backend"];
  /** For a model that has none of its own. */
  readonly spareTokenizer?: string | undefined;
}

async function openModel(
  path: string,
  values: GenerateCommandOptions,
  { backend, spareTokenizer, log, signal }: OpenOptions,
): Promise<LanguageModel> {
  const counting = log.counting({ label: "loading", format: formatBytes });
  try {
    return await LanguageModel.open(path, {
      backend,
      tokenizer: values.tokenizer,
      spareTokenizer,
      activations: values.activations,
      repack: values.repack,
      signal,
      progress: (done, total) => {
        if (total >= LARGE_MODEL_BYTES) counting.progress(done, total);
      },
    });
  } finally {
    counting.finish();
  }
}
