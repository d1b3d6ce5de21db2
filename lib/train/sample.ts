/**
 * Text by a model in training: the decoder run over the weights where they are.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { Scheduler } from "../infer/scheduler.ts";
import type { ModelConfig } from "../model/config.ts";
import { Decoder } from "../model/decoder.ts";
import { DecoderWeights } from "../model/decoder_weights.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { WholeWeights } from "./whole_weights.ts";

/** What a sample is made with. */
export interface SampleOptions {
  /** Where the weights lie. */
  readonly backend: Backend;
  /** The model's config. */
  readonly config: ModelConfig;
  /** Text to ids and back. */
  readonly tokenizer: Tokenizer;
  /** What is continued; may be empty where the tokenizer has a begin token. */
  readonly prompt: string;
  /** Most tokens. */
  readonly tokens: number;
  /** Seed of the draws. */
  readonly seed: number;
}

/** How samples are drawn: as `llamero generate` draws by default. */
const SAMPLING = { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05, repeatPenalty: 1 } as const;

/**
 * Continues a prompt with the weights as they are now; an empty text where nothing can begin one.
 *
 * @param placed Where the weights lie.
 */
export async function sampleText(
  placed: WholeWeights["placed"],
  options: SampleOptions,
): Promise<string> {
  const { backend, config, tokenizer, tokens, seed } = options;
  const encoded = tokenizer.encode(options.prompt, { bos: tokenizer.addBos });
  const begin = tokenizer.bosId ?? config.bosTokenId ?? tokenizer.eosId;
  const prompt = encoded.length > 0 ? encoded : begin === undefined ? [] : [begin];
  if (prompt.length === 0) return "";
  const weights = new DecoderWeights(config, { placed, readBytes: 0, close: () => {} });
  const decoder = Decoder.over(backend, { config, ropeLayout: "half" }, weights);
  const context = Math.min(config.maxPositionEmbeddings, prompt.length + tokens);
  const session = decoder.session({ rows: prompt.length, positions: context });
  try {
    const scheduler = new Scheduler(session, { context });
    const endIds = [...new Set([...config.eosTokenIds, ...tokenizer.endIds])];
    const text = scheduler.add({ prompt, maxTokens: tokens, sampling: SAMPLING, seed, endIds });
    while (scheduler.busy) await scheduler.step();
    return tokenizer.decode([...prompt, ...text.tokens], { skipSpecial: true });
  } finally {
    session.close();
  }
}
