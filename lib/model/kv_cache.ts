/**
 * Keys and values of every layer and cached position, in pages on a backend.
 *
 * One book of pages serves all layers: page p of a sequence is page p in each layer's keys and
 * values. Layout per layer, keys then values: [pages, kv heads, page size, head dim].
 *
 * @module
 */

import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Address, Backend } from "../backend/backend.ts";
import { ConfigError } from "../base/errors.ts";
import { bytesOf, DTYPE_BLOCKS } from "../tensor/dtype.ts";
import type { ModelConfig } from "./config.ts";
import { KvPages, type KvSequence } from "./kv_pages.ts";

/** Element types that keys and values can be cached in. */
export type KvType = "f32" | "f16" | "q8_0";

/** Positions per page: few enough that a short text wastes little, many enough for long runs. */
export const KV_PAGE_SIZE = 64;

/** What a cache is sized by. */
export interface KvCacheOptions {
  /** Positions that all sequences together can have, when each fills its pages. */
  readonly positions: number;
  /** Element type. @default {"f32"} */
  readonly type?: KvType | undefined;
}

/** Bytes that a cache of so many positions takes, its pages rounded up. @throws {ConfigError} As {@linkcode KvCache}. */
export function kvCacheBytes(config: ModelConfig, options: KvCacheOptions): number {
  const pages = Math.ceil(options.positions / KV_PAGE_SIZE);
  return 2 * config.numHiddenLayers * pages * pageBytes(config, options.type ?? "f32");
}

function pageBytes(config: ModelConfig, type: KvType): number {
  const { elements } = DTYPE_BLOCKS[type];
  if (config.headDim % elements !== 0) {
    throw new ConfigError(
      `Cannot cache keys and values in ${type}: heads are ${config.headDim} wide, ` +
        `a multiple of ${elements} was wanted`,
      { hint: "take --kv-type f16" },
    );
  }
  return bytesOf(type, config.numKeyValueHeads * KV_PAGE_SIZE * config.headDim);
}

/** The cache of one decoder: the book of its pages and the memory behind it. */
export class KvCache {
  /** Which sequence has which pages; positions are appended through the cache, not the book. */
  readonly pages: KvPages;
  /** Element type. */
  readonly type: KvType;
  /** Code of the element type for kernels. */
  readonly dtypeCode: number;
  /** Bytes of all layers. */
  readonly bytes: number;
  readonly #backend: Backend;
  readonly #pageBytes: number;
  /** Keys of layer 0, values of layer 0, keys of layer 1, … */
  readonly #memory: Address[] = [];

  /**
   * Reserves the memory.
   *
   * @throws {ConfigError} When heads do not fill the blocks of the type.
   * @throws {BackendError} When there is no memory left.
   */
  constructor(backend: Backend, config: ModelConfig, options: KvCacheOptions) {
    this.type = options.type ?? "f32";
    this.dtypeCode = DTYPE_CODES[this.type];
    this.bytes = kvCacheBytes(config, options);
    this.#backend = backend;
    this.#pageBytes = pageBytes(config, this.type);
    const pageCount = Math.ceil(options.positions / KV_PAGE_SIZE);
    try {
      for (let half = 0; half < 2 * config.numHiddenLayers; half++) {
        this.#memory.push(backend.alloc(pageCount * this.#pageBytes));
      }
    } catch (error) {
      this.close();
      throw error;
    }
    this.pages = new KvPages({ pageCount, pageSize: KV_PAGE_SIZE });
  }

  /** Address of a layer's keys. */
  keys(layer: number): Address {
    return this.#memory[2 * layer]!;
  }

  /** Address of a layer's values. */
  values(layer: number): Address {
    return this.#memory[2 * layer + 1]!;
  }

  /**
   * Makes room for `count` more positions of a sequence; a page shared with another sequence is
   * copied first. @throws {RangeError} When the pool has too few pages.
   */
  append(sequence: KvSequence, count: number): void {
    const copied = this.pages.append(sequence, count);
    if (copied === undefined) return;
    for (const base of this.#memory) {
      this.#backend.copy(
        base + copied.to * this.#pageBytes,
        base + copied.from * this.#pageBytes,
        this.#pageBytes,
      );
    }
  }

  /** Bytes that one page takes in the keys, or the values, of one layer. */
  get bytesPerPage(): number {
    return this.#pageBytes;
  }

  /** Copies a sequence's pages out of half `half`: 2l for the keys of layer l, 2l + 1 for the values. */
  *readPages(sequence: KvSequence, half: number): Generator<Uint8Array, void, void> {
    const page = new Uint8Array(this.#pageBytes);
    for (const number of sequence.pages) {
      this.#backend.download(page, this.#memory[half]! + number * this.#pageBytes);
      yield page;
    }
  }

  /** Fills page `index` of a sequence, in the half that {@linkcode KvCache.readPages} counts. */
  writePage(
    sequence: KvSequence,
    place: { readonly half: number; readonly index: number },
    page: Uint8Array,
  ): void {
    const at = sequence.pages[place.index]! * this.#pageBytes;
    this.#backend.upload(this.#memory[place.half]! + at, page);
  }

  /** Gives the memory back; does nothing the second time. */
  close(): void {
    for (const address of this.#memory.splice(0)) this.#backend.free(address);
  }
}
