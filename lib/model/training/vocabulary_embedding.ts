/**
 * The embedding where tensor ranks share the vocabulary: each rank looks up the tokens that it has, and
 * sends every row to the rank whose row of the batch it is. Megatron (Shoeybi et al. 2019, section 3)
 * adds up matrices that are zero where a token is elsewhere; here a row travels once, and not at all
 * where it stays. Rows go back the same way, and are added up in the order of the batch: what comes out
 * has the bits of one rank's.
 *
 * Bytes that a rank sends for a batch: 4 D for each of its tokens in another rank's rows forward, and
 * 4 D for each of its rows whose token is another's backward; of T rows on N ranks 4 T D (N-1)/N² each
 * where tokens and rows are spread evenly.
 *
 * @module
 */

import { DTYPE_CODES } from "../../../kernels/abi.ts";
import type { Address, Backend } from "../../backend/backend.ts";
import type { Communicator } from "../../comm/communicator.ts";
import { evenParts, type Part } from "../../comm/parts.ts";
import type { PlacedBatch } from "./batch.ts";
import { SharedTokens } from "./shared_tokens.ts";
import type { Parameter } from "./trainable.ts";

/** Tags of rows on their way, forward and backward. */
const TAGS = { forward: 0, backward: 1 } as const;

/** What the embedding works with. */
export interface VocabularyEmbeddingOptions {
  /** The ranks that share the vocabulary. */
  readonly ranks: Communicator;
  /** This rank's slice of the table [V, D]. */
  readonly table: Parameter;
  /** Tokens of the whole vocabulary. */
  readonly vocabSize: number;
  /** Elements of a row. */
  readonly width: number;
  /** Buffer of all rows of a batch [T, D]. */
  readonly rows_TD: Address;
  /** Buffer of ids [T]. */
  readonly ids_T: Address;
}

/** An embedding whose tokens tensor ranks share. */
export interface SharedEmbedding {
  /** Writes the embeddings of this rank's rows of a batch to `out`. */
  forward(batch: PlacedBatch, out: Address): void;
  /** Adds gradients of this rank's rows of a batch to those of the tables that have their tokens. */
  backward(batch: PlacedBatch, dy: Address): void;
}

/** Looks up tokens that the ranks share, and adds up their gradients. */
export class VocabularyEmbedding implements SharedEmbedding {
  readonly #backend: Backend;
  readonly #options: VocabularyEmbeddingOptions;
  readonly #shared: SharedTokens;

  /** Works with memory that was planned. */
  constructor(backend: Backend, options: VocabularyEmbeddingOptions) {
    this.#backend = backend;
    this.#options = options;
    const { vocabSize, ranks: { rank, size } } = options;
    this.#shared = new SharedTokens({ vocabSize, rank, size });
  }

  /** See {@linkcode SharedEmbedding.forward}. */
  forward({ tokens }: PlacedBatch, out: Address): void {
    const { table, width, rows_TD, ids_T, ranks } = this.#options;
    const { rank, size } = ranks;
    const rowParts = evenParts(tokens.length, size);
    const mine = this.#shared.ids(tokens);
    const rows = new Float32Array(mine.length * width);
    if (mine.length > 0) {
      this.#backend.upload(ids_T, mine);
      this.#backend.kernels.embedding({
        ...{ out: rows_TD, table: table.weight, ids: ids_T, rows: mine.length, dim: width },
        ...{ table_dtype: DTYPE_CODES.f32, vocab: this.#shared.own },
      });
      this.#backend.download(rows, rows_TD);
    }
    // Rows stand in the order of the batch, so that those of each rank are neighbours.
    let begin = 0;
    const segments = rowParts.map((part) => {
      const count = this.#shared.count(tokens, part, rank) * width;
      return rows.subarray(begin, begin += count);
    });
    const from = this.#exchange(segments, {
      tag: TAGS.forward,
      lengthOf: (peer) => this.#shared.count(tokens, rowParts[rank]!, peer) * width,
    });
    this.#backend.upload(out, this.#merge(tokens, rowParts[rank]!, from));
  }

  /** See {@linkcode SharedEmbedding.backward}. */
  backward({ tokens }: PlacedBatch, dy: Address): void {
    const { table, width, rows_TD, ids_T, ranks } = this.#options;
    const { rank, size } = ranks;
    const rowParts = evenParts(tokens.length, size);
    const own = rowParts[rank]!;
    const gradients = new Float32Array((own.end - own.start) * width);
    this.#backend.download(gradients, dy);
    const segments = rowParts.map((_, owner) => this.#pick(gradients, { tokens, own, owner }));
    const from = this.#exchange(segments, {
      tag: TAGS.backward,
      lengthOf: (peer) => this.#shared.count(tokens, rowParts[peer]!, rank) * width,
    });
    const mine = this.#shared.ids(tokens);
    if (mine.length === 0) return;
    this.#backend.upload(ids_T, mine);
    let at = rows_TD;
    for (const rows of from) {
      if (rows.length > 0) this.#backend.upload(at, rows);
      at += rows.byteLength;
    }
    this.#backend.kernels.embedding_backward({
      ...{ dtable: table.grad, dy: rows_TD, ids: ids_T, rows: mine.length },
      ...{ vocab: this.#shared.own, dim: width },
    });
  }

  /** Sends every rank its segment, and returns what each has sent; the own one comes back as it is. */
  #exchange(
    segments: readonly Float32Array<ArrayBuffer>[],
    { tag, lengthOf }: { readonly tag: number; readonly lengthOf: (peer: number) => number },
  ): Float32Array<ArrayBuffer>[] {
    const { ranks } = this.#options;
    segments.forEach((segment, peer) => {
      if (peer !== ranks.rank && segment.length > 0) ranks.send(segment, peer, { tag });
    });
    return segments.map((segment, peer) => {
      if (peer === ranks.rank) return segment;
      const rows = new Float32Array(lengthOf(peer));
      if (rows.length > 0) ranks.recv(rows, peer, { tag });
      return rows;
    });
  }

  /** Puts rows that came from the owners of their tokens in the order of the batch. */
  #merge(
    tokens: Int32Array,
    { start, end }: Part,
    from: readonly Float32Array<ArrayBuffer>[],
  ): Float32Array<ArrayBuffer> {
    const { width } = this.#options;
    const merged = new Float32Array((end - start) * width);
    const next = from.map(() => 0);
    for (let row = start; row < end; row++) {
      const owner = this.#shared.owner(tokens[row]!);
      const at = next[owner]!;
      merged.set(from[owner]!.subarray(at, at + width), (row - start) * width);
      next[owner] = at + width;
    }
    return merged;
  }

  /** The rows among own ones whose tokens a rank has. */
  #pick(
    rows: Float32Array<ArrayBuffer>,
    { tokens, own, owner }: {
      readonly tokens: Int32Array;
      readonly own: Part;
      readonly owner: number;
    },
  ): Float32Array<ArrayBuffer> {
    const { width } = this.#options;
    const picked = new Float32Array(this.#shared.count(tokens, own, owner) * width);
    let at = 0;
    for (let row = own.start; row < own.end; row++) {
      if (this.#shared.owner(tokens[row]!) !== owner) continue;
      const from = (row - own.start) * width;
      picked.set(rows.subarray(from, from + width), at);
      at += width;
    }
    return picked;
  }
}
