/**
 * `llamero generate`: continues a text with a model.
 *
 * @module
 */

import { UsageError } from "../../lib/base/errors.ts";
import { formatBytes } from "../../lib/base/format.ts";
import { generate, type GeneratedText, PROMPT_ROWS } from "../../lib/infer/generate.ts";
import { LanguageModel } from "../../lib/infer/language_model.ts";
import { type Io, writeJson } from "../io.ts";
import { openBackendFor } from "../open_backend.ts";
import { readText } from "../text_input.ts";
import { Log } from "../ui/log.ts";
import type { GenerateCommandOptions } from "./generate.spec.ts";

/** Models that take longer to read than this are worth a progress line. */
const LARGE_MODEL_BYTES = 256 << 20;

/** Runs `llamero generate`. */
export async function run(values: GenerateCommandOptions, io: Io): Promise<void> {
  const start = performance.now();
  const text = await promptOf(values, io);
  const log = new Log(io, values);
  const signal = io.interruption();
  const backend = openBackendFor(values, log);
  try {
    const model = await openModel(values, { backend, log, signal });
    const ids = model.encodePrompt(text);
    const { maxPositionEmbeddings } = model.decoder.config;
    if (values.context !== undefined && values.context > maxPositionEmbeddings) {
      log.warn(`the model was made for ${maxPositionEmbeddings} positions, not ${values.context}`);
    }
    const loadMs = performance.now() - start;
    const result = await stream(model, { ...values, ids, signal, log, io });
    report(result, { loadMs, values, io, log });
  } finally {
    (await backend.catch(() => undefined))?.close();
  }
}

/** The prompt: of the flag, the file, or stdin, less one line break at the end of the latter two. */
async function promptOf(values: GenerateCommandOptions, io: Io): Promise<string> {
  if (values.prompt !== undefined) return values.prompt;
  const path = values.promptFile ?? "-";
  if (path !== "-" || !io.stdin.terminal) return withoutLineEnd(await readText(path, io));
  throw new UsageError('Cannot run "llamero generate": there is no prompt', {
    hint: 'give one with --prompt "Once upon a time", --prompt-file FILE, or on stdin',
  });
}

/** What editors and `echo` put at the end is not meant to be continued. */
function withoutLineEnd(text: string): string {
  return text.replace(/\r?\n$/, "");
}

interface OpenOptions extends Pick<RunOptions, "log" | "signal"> {
  readonly backend: Parameters<typeof LanguageModel.open>[1]["backend"];
}

async function openModel(
  values: GenerateCommandOptions,
  { backend, log, signal }: OpenOptions,
): Promise<LanguageModel> {
  let ticker: ReturnType<Log["progress"]> | undefined;
  try {
    return await LanguageModel.open(values.model, {
      backend,
      tokenizer: values.tokenizer,
      activations: values.activations,
      signal,
      progress: (done, total) => {
        if (total < LARGE_MODEL_BYTES) return;
        ticker ??= log.progress({ label: "loading", total, format: formatBytes });
        ticker.update(done);
      },
    });
  } finally {
    ticker?.finish();
  }
}

interface RunOptions extends GenerateCommandOptions {
  readonly log: Log;
  readonly io: Io;
  readonly signal: AbortSignal;
}

async function stream(
  model: LanguageModel,
  options: RunOptions & { readonly ids: Uint32Array },
): Promise<GeneratedText> {
  const { io, log, ids } = options;
  const isLong = ids.length > PROMPT_ROWS;
  const ticker = isLong
    ? log.progress({ label: "prompt", total: ids.length, unit: "tokens" })
    : undefined;
  const pieces = generate(model, {
    ...options,
    prompt: ids,
    sampling: options,
    ignoreEnd: options.ignoreEos,
    progress: (done) => ticker?.update(done),
  });
  const shows = !options.json;
  try {
    for (;;) {
      const next = await pieces.next();
      ticker?.finish();
      if (next.done) return next.value;
      if (shows) io.stdout.write(next.value);
    }
  } finally {
    if (shows && io.stdout.terminal) io.stdout.write("\n");
  }
}

interface ReportOptions extends Pick<RunOptions, "io" | "log"> {
  readonly loadMs: number;
  readonly values: GenerateCommandOptions;
}

function report(result: GeneratedText, { loadMs, values, io, log }: ReportOptions): void {
  const { promptMs, decodeMs, decodeSteps } = result.timings;
  const promptRate = perSecond(result.promptTokens, promptMs);
  const decodeRate = perSecond(decodeSteps, decodeMs);
  log.detail(
    `loaded in ${loadMs.toFixed(0)} ms; prompt: ${result.promptTokens} tokens, ` +
      `${promptRate.toFixed(1)} tokens/s; text: ${result.tokens.length} tokens, ` +
      `${decodeRate.toFixed(1)} tokens/s`,
  );
  if (!values.json) return;
  writeJson(io.stdout, {
    text: result.text,
    tokens: result.tokens,
    prompt_tokens: result.promptTokens,
    finish_reason: result.finishReason,
    timings: {
      load_ms: loadMs,
      prompt_ms: promptMs,
      prompt_tokens_per_second: promptRate,
      decode_ms: decodeMs,
      decode_tokens_per_second: decodeRate,
    },
  });
}

/** A rate that is a number even where nothing was done. */
function perSecond(count: number, ms: number): number {
  return count === 0 || ms <= 0 ? 0 : count / ms * 1000;
}
