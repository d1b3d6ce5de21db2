/**
 * A generated text as JSON, and its speed as a note.
 *
 * @module
 */

import type { GeneratedText } from "../../lib/infer/generate.ts";
import type { LanguageModel } from "../../lib/infer/language_model.ts";
import type { FinishedText } from "../../lib/infer/text_pieces.ts";
import type { TokenLogProb } from "../../lib/infer/log_probs.ts";
import type { GenerateCommandOptions } from "../commands/generate.spec.ts";
import { writeJson } from "../io.ts";
import type { Opened } from "./opened.ts";

/** Notes the speed, and writes the JSON object where one was asked for. */
export function report(
  result: GeneratedText,
  { model, values, io, log, loadMs }: Omit<Opened, "start"> & { readonly loadMs: number },
): void {
  const { promptMs, decodeMs, decodeSteps } = result.timings;
  const promptRate = perSecond(result.promptTokens - result.cachedTokens, promptMs);
  const decodeRate = perSecond(decodeSteps + result.acceptedTokens, decodeMs);
  const guesses = result.draftedTokens === 0
    ? ""
    : `; ${result.acceptedTokens} of ${result.draftedTokens} guesses were right`;
  const cached = result.cachedTokens === 0 ? "" : `, ${result.cachedTokens} of them cached`;
  log.detail(
    `loaded in ${loadMs.toFixed(0)} ms; prompt: ${result.promptTokens} tokens${cached}, ` +
      `${promptRate.toFixed(1)} tokens/s; text: ${result.tokens.length} tokens, ` +
      `${decodeRate.toFixed(1)} tokens/s${guesses}`,
  );
  if (!values.json) return;
  writeJson(io.stdout, {
    ...textFields(model, result, values),
    prompt_tokens: result.promptTokens,
    finish_reason: result.finishReason,
    ...(values.promptCache === undefined ? {} : { cached_tokens: result.cachedTokens }),
    ...(values.lookup || values.draft !== undefined
      ? { drafted_tokens: result.draftedTokens, accepted_tokens: result.acceptedTokens }
      : {}),
    timings: {
      load_ms: loadMs,
      prompt_ms: promptMs,
      prompt_tokens_per_second: promptRate,
      decode_ms: decodeMs,
      decode_tokens_per_second: decodeRate,
    },
  });
}

/** The fields of a text itself: `text`, `tokens`, and `logprobs` where they were asked for. */
export function textFields(
  model: LanguageModel,
  result: FinishedText,
  { logprobs }: Pick<GenerateCommandOptions, "logprobs">,
): Record<string, unknown> {
  const { text, tokens } = result;
  if (logprobs === undefined) return { text, tokens };
  const shown = ({ id, logProb }: TokenLogProb) => ({
    id,
    token: model.tokenizer.piece(id),
    // JSON has no infinity: a token that cannot come has no log-probability.
    logprob: Number.isFinite(logProb) ? logProb : null,
  });
  const rows = result.logProbs.map((one) => ({ ...shown(one), top: one.top.map(shown) }));
  return { text, tokens, logprobs: rows };
}

/** A rate that is a number even where nothing was done. */
function perSecond(count: number, ms: number): number {
  return count === 0 || ms <= 0 ? 0 : count / ms * 1000;
}
