/**
 * How fast a decoder takes a prompt and gives a text, run after run.
 *
 * Tokens are drawn at random and fed as they are: speed does not depend on them, and sampling is not
 * what is measured.
 *
 * @module
 */

import { EventLoop } from "../base/event_loop.ts";
import { RandomStream } from "../base/random.ts";
import type { Decoder, DecoderSession } from "../model/decoder.ts";
import type { KvType } from "../model/kv_cache.ts";
import { weightBytes } from "../model/linear.ts";
import { bytesOf } from "../tensor/dtype.ts";
import { PROMPT_ROWS } from "./generate.ts";

/** What is measured. */
export interface BenchOptions {
  /** Length of the prompt; its tokens are drawn at random. */
  readonly promptTokens: number;
  /** Tokens after it, one at a time. */
  readonly maxTokens: number;
  /** Runs that count, after one that does not. */
  readonly repeat: number;
  /** Seed of the tokens. @default {0} */
  readonly seed?: number | undefined;
  /** Element type of cached keys and values. @default {"f32"} */
  readonly kvType?: KvType | undefined;
  /** Stops between layers. */
  readonly signal?: AbortSignal | undefined;
  /** Called after every run with the runs that are done. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

/** Milliseconds of one run. */
export interface BenchRun {
  /** The whole prompt, with the logits of its last token. */
  readonly promptMs: number;
  /** All tokens after it, with the logits of each. */
  readonly decodeMs: number;
}

/** Runs a prompt and a text several times. @throws {BackendError} When there is too little memory. */
export async function benchGenerate(decoder: Decoder, options: BenchOptions): Promise<BenchRun[]> {
  const { promptTokens, maxTokens, repeat } = options;
  const random = new RandomStream(options.seed ?? 0, 0);
  const tokens = Array.from(
    { length: promptTokens + maxTokens },
    (_, i) => Math.floor(random.uniform(i) * decoder.config.vocabSize),
  );
  const session = decoder.session({
    rows: Math.max(1, Math.min(PROMPT_ROWS, promptTokens)),
    positions: promptTokens + maxTokens,
    textPositions: promptTokens + maxTokens,
    kvType: options.kvType,
  });
  const work = { session, eventLoop: new EventLoop(options.signal) };
  try {
    const runs: BenchRun[] = [];
    for (let run = 0; run <= repeat; run++) {
      const sequence = session.cache.pages.open();
      const feed = (from: number, rows: number) =>
        forward(work, { sequence, tokens: tokens.slice(from, from + rows) });
      const start = performance.now();
      for (let at = 0; at < promptTokens; at += session.rows) {
        await feed(at, Math.min(session.rows, promptTokens - at));
      }
      const middle = performance.now();
      for (let at = promptTokens; at < tokens.length; at++) await feed(at, 1);
      const end = performance.now();
      session.cache.pages.close(sequence);
      // The first run wakes threads, compiles, and brings weights into the cache of files.
      if (run > 0) runs.push({ promptMs: middle - start, decodeMs: end - middle });
      options.progress?.(run, repeat);
    }
    return runs;
  } finally {
    session.close();
  }
}

interface Work {
  readonly session: DecoderSession;
  readonly eventLoop: EventLoop;
}

type Rows = Parameters<DecoderSession["layers"]>[0][number];

async function forward({ session, eventLoop }: Work, span: Rows): Promise<void> {
  for (const _ of session.layers([span])) {
    const turn = eventLoop.turn();
    if (turn !== undefined) await turn;
  }
  for (const chunk of session.head.chunks([span.tokens.length - 1])) chunk.logits();
}

/** What a prompt and a token cost on paper. */
export interface GenerateCost {
  /** Operations of a prompt: two per weight and token, and those of attention. */
  readonly promptFlops: number;
  /** Bytes that a token after it reads, on average: all weights, and the cache up to it. */
  readonly tokenBytes: number;
}

/**
 * Counts operations and bytes; the embedding is looked up, and the head runs for one token.
 *
 * Attention takes 4 H E operations per pair of positions and layer.
 */
export function generateCost(
  decoder: Decoder,
  options: Pick<BenchOptions, "promptTokens" | "maxTokens" | "kvType">,
): GenerateCost {
  const { config, weights } = decoder;
  const { promptTokens: T, maxTokens, kvType } = options;
  const { headDim: E, numAttentionHeads: H, numKeyValueHeads: K, numHiddenLayers } = config;
  const matrices = weights.blocks.flatMap((block) => [
    block.qkv,
    block.attentionOutput,
    block.gateUp,
    block.down,
  ]);
  const count = matrices.reduce((sum, { inDim, outDim }) => sum + inDim * outDim, 0);
  const cacheBytes = bytesOf(kvType ?? "f32", 2 * K * E * numHiddenLayers);
  const bytes = [...matrices, weights.head].reduce((sum, weight) => sum + weightBytes(weight), 0);
  const cached = T + (maxTokens + 1) / 2;
  return {
    promptFlops: 2 * (count * T + weights.head.inDim * weights.head.outDim) +
      numHiddenLayers * 4 * H * E * (T * (T + 1) / 2),
    tokenBytes: bytes + cached * cacheBytes,
  };
}
