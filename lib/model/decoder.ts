/**
 * The decoder: one forward pass over rows of any number of sequences, for every model of the
 * family. LLaMA 1 to 3.2, TinyLlama and PaLM differ in their config alone.
 *
 * The same row gives the same bits token by token and in one batch, alone and beside other
 * sequences, on any number of threads: no kernel's sums depend on the rows around it.
 *
 * @module
 */

import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Backend } from "../backend/backend.ts";
import { BackendError } from "../base/errors.ts";
import { formatMemory } from "../base/format.ts";
import { BatchBuilder, batchBytes, type BatchLimits, type Span } from "./batch.ts";
import { blockBufferBytes, type BlockBuffers, type BlockRun, runBlock } from "./blocks.ts";
import type { ModelConfig } from "./config.ts";
import type { DecoderWeights } from "./decoder_weights.ts";
import { Head, headBufferBytes, type HeadBuffers, headChunkRows } from "./head.ts";
import { KV_PAGE_SIZE, KvCache, kvCacheBytes, type KvType } from "./kv_cache.ts";
import { type Activations, type ProductObserver, Products } from "./linear.ts";
import { type DecoderSource, type LoadOptions, loadWeights } from "./load_weights.ts";
import { plannedBytes, PlannedMemory } from "./memory_plan.ts";
import { ropeAngles, type RopeLayout } from "./rope.ts";

/** How a decoder is loaded and multiplies. */
export interface DecoderOptions extends LoadOptions {
  /** What weights are multiplied by. @default {"auto"} */
  readonly activations?: Activations | undefined;
}

/** What a session's memory is planned by. */
export interface SessionOptions {
  /** Most rows of one forward pass. */
  readonly rows: number;
  /** Positions that all sequences together can have, each rounded up to whole pages. */
  readonly positions: number;
  /** Most sequences of one forward pass. @default {1} */
  readonly sequences?: number | undefined;
  /** Positions that one text can have, for a rope scaling that asks. @default {the config's} */
  readonly textPositions?: number | undefined;
  /** Element type of cached keys and values. @default {"f32"} */
  readonly kvType?: KvType | undefined;
  /** Sees the inputs of every product of the blocks. */
  readonly observe?: ProductObserver | undefined;
}

type Buffers = BlockBuffers & HeadBuffers;
type BufferName = keyof Buffers | "quantized" | "headQuantized" | "batch";

/** A model's weights on a backend; sessions run it. */
export class Decoder {
  /** Whose kernels run. */
  readonly backend: Backend;
  /** Sizes and constants. */
  readonly config: ModelConfig;
  /** Order of the rows of q and k. */
  readonly ropeLayout: RopeLayout;
  /** What weights are multiplied by. */
  readonly activations: Activations;
  /** Where its weights lie on the backend. */
  readonly weights: DecoderWeights;

  private constructor(
    backend: Backend,
    source: Pick<DecoderSource, "config" | "ropeLayout">,
    parts: { readonly weights: DecoderWeights; readonly activations: Activations },
  ) {
    this.backend = backend;
    this.config = source.config;
    this.ropeLayout = source.ropeLayout;
    this.weights = parts.weights;
    this.activations = parts.activations;
  }

  /**
   * Brings a checkpoint's weights to a backend.
   *
   * @throws {FormatError} When a tensor has a type that cannot be multiplied.
   * @throws {BackendError} When the backend has too little memory.
   */
  static async load(
    backend: Backend,
    source: DecoderSource,
    options: DecoderOptions = {},
  ): Promise<Decoder> {
    const weights = await loadWeights(backend, source, options);
    return new Decoder(backend, source, { weights, activations: options.activations ?? "auto" });
  }

  /** A decoder over weights that lie in the backend's memory already, such as those in training. */
  static over(
    backend: Backend,
    source: Pick<DecoderSource, "config" | "ropeLayout">,
    weights: DecoderWeights,
  ): Decoder {
    return new Decoder(backend, source, { weights, activations: "f32" });
  }

  /** Reserves the memory of a session. @throws {BackendError} When there is none left. */
  session(options: SessionOptions): DecoderSession {
    return new DecoderSession(this, options);
  }

  /** Gives the weights' memory back; sessions must not be used afterwards. */
  close(): void {
    this.weights.close();
  }
}

/** Bytes of a session, known before it is opened: its activations and its cache. */
export function sessionBytes(
  config: ModelConfig,
  options: SessionOptions,
): { readonly activations: number; readonly cache: number } {
  return {
    activations: plannedBytes(bufferBytes(config, limitsOf(options))),
    cache: kvCacheBytes(config, { positions: options.positions, type: options.kvType }),
  };
}

function limitsOf(options: SessionOptions): BatchLimits {
  return {
    rows: options.rows,
    sequences: options.sequences ?? 1,
    pages: Math.ceil(options.positions / KV_PAGE_SIZE),
  };
}

function bufferBytes(config: ModelConfig, limits: BatchLimits): Record<BufferName, number> {
  return {
    ...blockBufferBytes(config, limits.rows),
    ...headBufferBytes(config, headChunkRows(config, limits.rows)),
    batch: batchBytes(limits, config.headDim),
  };
}

/** Takes the memory of a session, all of it or none; the cache first, as it is the most. */
function reserve(
  { backend, config }: Decoder,
  options: SessionOptions,
): [PlannedMemory<BufferName>, KvCache] {
  const { positions, kvType: type } = options;
  let cache: KvCache | undefined;
  try {
    cache = new KvCache(backend, config, { positions, type });
    return [new PlannedMemory(backend, bufferBytes(config, limitsOf(options))), cache];
  } catch (cause) {
    cache?.close();
    if (!(cause instanceof BackendError)) throw cause;
    const bytes = sessionBytes(config, options);
    throw new BackendError(
      `Cannot run ${positions} positions: they take ${formatMemory(bytes.cache)} of cache and ` +
        `${formatMemory(bytes.activations)} of activations, and the ${backend.name} backend ` +
        "has not that much memory",
      { cause, hint: "take a smaller --context, or --kv-type f16" },
    );
  }
}

/** A decoder with a cache and room for activations: what runs. */
export class DecoderSession {
  /** The network that the session runs. */
  readonly decoder: Decoder;
  /** Keys and values; sequences are opened, forked, trimmed and closed in its book of pages. */
  readonly cache: KvCache;
  /** From hidden states to logits. */
  readonly head: Head;
  /** Most rows of one forward pass. */
  readonly rows: number;
  /** Most sequences of one forward pass. */
  readonly sequences: number;
  /** Positions that one text can have. */
  readonly textPositions: number;
  readonly #memory: PlannedMemory<BufferName>;
  readonly #builder: BatchBuilder;
  readonly #products: Products;

  /** Made by {@linkcode Decoder.session}. */
  constructor(decoder: Decoder, options: SessionOptions) {
    const { backend, config, activations, weights } = decoder;
    const limits = limitsOf(options);
    this.decoder = decoder;
    this.rows = limits.rows;
    this.sequences = limits.sequences;
    this.textPositions = options.textPositions ?? config.maxPositionEmbeddings;
    [this.#memory, this.cache] = reserve(decoder, options);
    const { at } = this.#memory;
    this.#builder = new BatchBuilder(backend, {
      address: at.batch,
      limits,
      angles: ropeAngles(config, this.textPositions),
      vocabSize: config.vocabSize,
    });
    this.#products = new Products(backend, {
      activations,
      scratch: at.quantized,
      observe: options.observe,
      places: weights.places,
    });
    this.head = new Head(backend, {
      config,
      weights,
      products: new Products(backend, {
        activations,
        scratch: at.headQuantized,
        places: weights.places,
      }),
      buffers: at,
      hidden_TD: at.hidden_TD,
      rows: limits.rows,
    });
  }

  /** Appends tokens to their sequences and computes their hidden states, for the head. */
  forward(spans: readonly Span[]): void {
    for (const _ of this.layers(spans));
  }

  /**
   * {@linkcode DecoderSession.forward} in steps of one layer, so that a caller can look at the world
   * between them; ended early, the spans are rolled back.
   */
  *layers(spans: readonly Span[]): Generator<void, void, void> {
    const { backend, config, ropeLayout, weights } = this.decoder;
    const batch = this.#builder.build(spans, this.cache);
    let done = false;
    try {
      backend.kernels.embedding({
        out: this.#memory.at.hidden_TD,
        table: weights.embedding.address,
        ids: batch.ids_T,
        table_dtype: DTYPE_CODES[weights.embedding.dtype],
        rows: batch.rows,
        vocab: config.vocabSize,
        dim: config.hiddenSize,
      });
      const run: BlockRun = {
        backend,
        config,
        blocks: weights.blocks,
        ropeLayout,
        products: this.#products,
        buffers: this.#memory.at,
        cache: this.cache,
        batch,
      };
      for (let layer = 0; layer < config.numHiddenLayers; layer++) {
        if (layer > 0) yield;
        runBlock(run, layer);
      }
      done = true;
    } finally {
      if (!done) {
        for (const { sequence, tokens } of spans) {
          this.cache.pages.rollBack(sequence, tokens.length);
        }
      }
    }
  }

  /** Gives cache and activations back; does nothing the second time. */
  close(): void {
    this.cache.close();
    this.#memory.close();
  }
}
