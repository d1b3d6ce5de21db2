/**
 * The embedding where ranks with a GPU each share the vocabulary: rows go from GPU to GPU as
 * `vocabulary_embedding.ts` sends them, and kernels put them in order. Gathering rows by their numbers is
 * what the kernel `embedding` does: of a table, and of rows that have arrived.
 *
 * @module
 */

import { DTYPE_CODES } from "../../../kernels/abi.ts";
import type { Address, Backend } from "../../backend/backend.ts";
import type { DeviceMessage } from "../../backend/device_link.ts";
import type { DeviceRanks } from "../../comm/device/ranks.ts";
import { evenParts, type Part } from "../../comm/parts.ts";
import type { PlacedBatch } from "./batch.ts";
import { SharedTokens } from "./shared_tokens.ts";
import type { SharedEmbedding, VocabularyEmbeddingOptions } from "./vocabulary_embedding.ts";

/** What the embedding works with. */
export interface DeviceEmbeddingOptions extends Omit<VocabularyEmbeddingOptions, "ranks"> {
  /** The ranks that share the vocabulary. */
  readonly ranks: DeviceRanks;
  /** Buffer of this rank's rows of a batch, by the owners of their tokens [T/N, D]. */
  readonly byOwner_TD: Address;
}

/** Rows that stand by ranks: how many each has. */
type Counts = readonly number[];

const totalOf = (counts: Counts) => counts.reduce((sum, count) => sum + count, 0);
const before = (counts: Counts, rank: number) => totalOf(counts.slice(0, rank));

/** Looks up tokens that the ranks share, and adds up their gradients, on their GPUs. */
export class DeviceEmbedding implements SharedEmbedding {
  readonly #backend: Backend;
  readonly #options: DeviceEmbeddingOptions;
  readonly #shared: SharedTokens;

  /** Works with memory that was planned. */
  constructor(backend: Backend, options: DeviceEmbeddingOptions) {
    this.#backend = backend;
    this.#options = options;
    const { vocabSize, ranks: { rank, size } } = options;
    this.#shared = new SharedTokens({ vocabSize, rank, size });
  }

  /** See {@linkcode SharedEmbedding.forward}. */
  forward({ tokens }: PlacedBatch, out: Address): void {
    const { table, rows_TD, byOwner_TD } = this.#options;
    const { mine, byRows, byOwners, own } = this.#counts(tokens);
    if (mine.length > 0) {
      this.#pick({ out: rows_TD, from: table.weight, of: this.#shared.own, ids: mine });
    }
    this.#exchange({ at: rows_TD, counts: byRows }, { at: byOwner_TD, counts: byOwners });
    const next = byOwners.map((_, owner) => before(byOwners, owner));
    const ids = Int32Array.from(tokens.subarray(own.start, own.end), (token) => {
      return next[this.#shared.owner(token)]!++;
    });
    if (ids.length > 0) this.#pick({ out, from: byOwner_TD, of: ids.length, ids });
  }

  /** See {@linkcode SharedEmbedding.backward}. */
  backward({ tokens }: PlacedBatch, dy: Address): void {
    const { table, width, rows_TD, ids_T, byOwner_TD } = this.#options;
    const { mine, byRows, byOwners, own } = this.#counts(tokens);
    const owners = Array.from(tokens.subarray(own.start, own.end), (token) => {
      return this.#shared.owner(token);
    });
    const ids = Int32Array.from(
      byOwners.flatMap((_, owner) => owners.flatMap((one, row) => one === owner ? [row] : [])),
    );
    if (ids.length > 0) this.#pick({ out: byOwner_TD, from: dy, of: ids.length, ids });
    this.#exchange({ at: byOwner_TD, counts: byOwners }, { at: rows_TD, counts: byRows });
    if (mine.length === 0) return;
    this.#backend.upload(ids_T, mine);
    this.#backend.kernels.embedding_backward({
      ...{ dtable: table.grad, dy: rows_TD, ids: ids_T, rows: mine.length },
      ...{ vocab: this.#shared.own, dim: width },
    });
  }

  /** This rank's tokens of a batch, by the ranks of their rows; its rows, by the owners of their tokens. */
  #counts(tokens: Int32Array): {
    readonly mine: Int32Array<ArrayBuffer>;
    readonly byRows: Counts;
    readonly byOwners: Counts;
    readonly own: Part;
  } {
    const { rank, size } = this.#options.ranks;
    const parts = evenParts(tokens.length, size);
    const own = parts[rank]!;
    return {
      mine: this.#shared.ids(tokens),
      byRows: parts.map((part) => this.#shared.count(tokens, part, rank)),
      byOwners: parts.map((_, owner) => this.#shared.count(tokens, own, owner)),
      own,
    };
  }

  /** out[i] = from[ids[i]], of so many rows. */
  #pick({ out, from, of: vocab, ids }: {
    readonly out: Address;
    readonly from: Address;
    readonly of: number;
    readonly ids: Int32Array<ArrayBuffer>;
  }): void {
    const { width: dim, ids_T } = this.#options;
    this.#backend.upload(ids_T, ids);
    this.#backend.kernels.embedding({
      ...{ out, table: from, ids: ids_T, rows: ids.length, dim, vocab },
      table_dtype: DTYPE_CODES.f32,
    });
  }

  /** Sends every rank its rows; kernels that follow find what all have sent, by rank. */
  #exchange(
    sent: { readonly at: Address; readonly counts: Counts },
    received: { readonly at: Address; readonly counts: Counts },
  ): void {
    const { ranks, width } = this.#options;
    const row = 4 * width;
    const place = ({ at, counts }: typeof sent, peer: number) => (
      { address: at + row * before(counts, peer), bytes: row * counts[peer]! }
    );
    const own = place(sent, ranks.rank);
    if (own.bytes > 0) {
      this.#backend.copy(place(received, ranks.rank).address, own.address, own.bytes);
    }
    const messages = sent.counts.flatMap((_, peer): DeviceMessage[] =>
      peer === ranks.rank ? [] : [
        { way: "send", peer, ...place(sent, peer) },
        { way: "receive", peer, ...place(received, peer) },
      ]
    );
    ranks.exchange(messages).join();
  }
}
