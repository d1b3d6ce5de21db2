/**
 * The gradient of an embedding that is the head too, sent off while blocks are still computed.
 *
 * It is complete last, when the tokens of the batch have been looked up backward; but all of it, except
 * the rows of these tokens, is what it will be once the head is done. In a small model it is most of all
 * gradients. So all rows travel after the head, and the few rows of the tokens that any replica has looked
 * up in its last micro-batch travel again at the end, as they are then: every element's sum is of the
 * same numbers in the same order as if nothing had been sent early.
 *
 * Bytes besides those of one all-reduce of V D elements: the tokens' numbers, and another all-reduce of
 * their rows, of which there are at most replicas times tokens of a micro-batch.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import type { Communicator, Handle } from "../comm/communicator.ts";
import type { Parameter } from "../model/training/trainable.ts";
import { cutsOf, startInPieces, together } from "./in_pieces.ts";

/** What the gradient is added up with. */
export interface TiedGradientOptions {
  /** The embedding [V, D]. */
  readonly parameter: Parameter;
  /** The replicas. */
  readonly replicas: Communicator;
}

/** The last micro-batch of a replica. */
export interface LastBatch {
  /** Its tokens: as many on every replica. */
  readonly tokens: Int32Array<ArrayBuffer>;
  /** Whether the head has made a gradient of it, or of a micro-batch before it. */
  readonly hasGradient: boolean;
}

/** Adds up the gradient of a tied embedding over replicas. */
export class TiedGradient {
  readonly #backend: Pick<Backend, "download" | "upload">;
  readonly #options: TiedGradientOptions;
  readonly #values: Float32Array<ArrayBuffer>;
  #last: LastBatch | undefined;
  #tokens: { readonly all: Int32Array; readonly handle: Handle<void> } | undefined;
  #whole: Handle<void> | undefined;
  #again:
    | { readonly rows: readonly number[]; readonly values: Float32Array<ArrayBuffer> }
    | undefined;
  #rows: Handle<void> | undefined;

  /** Takes the room that the gradient needs on its way. */
  constructor(backend: Pick<Backend, "download" | "upload">, options: TiedGradientOptions) {
    this.#backend = backend;
    this.#options = options;
    this.#values = new Float32Array(options.parameter.count);
  }

  /** The last micro-batch of a step is about to be computed. */
  begin(last: LastBatch): void {
    this.#last = last;
  }

  /** The head is done: sends all rows off as they are now. */
  headDone(): void {
    const { parameter: { grad }, replicas } = this.#options;
    const { tokens, hasGradient } = this.#last!;
    const all = new Int32Array(tokens.length * replicas.size);
    all.set(tokens, tokens.length * replicas.rank);
    this.#tokens = { all, handle: replicas.startAllGather(all) };
    // What is left of an earlier step is cleared when the embedding's turn comes.
    const pieces = [...cutsOf(this.#values.length)].map(({ first, end }) => {
      const piece = this.#values.subarray(first, end);
      if (hasGradient) this.#backend.download(piece, grad + 4 * first);
      else piece.fill(0);
      return replicas.startAllReduce(piece);
    });
    this.#whole = together(pieces);
  }

  /** The gradient is complete: sends off the rows that anybody has looked up. */
  done(): void {
    const { parameter, replicas } = this.#options;
    const { all, handle } = this.#tokens!;
    handle.wait();
    const rows = [...new Set(all)].sort((a, b) => a - b);
    const columns = parameter.spec.shape[1]!;
    const values = new Float32Array(rows.length * columns);
    this.#eachRow({ rows, values }, (row, at) => this.#backend.download(row, at));
    this.#again = { rows, values };
    this.#rows = startInPieces(replicas, values);
  }

  /** Waits for all rows and writes the sums where the gradient was. */
  finish(): void {
    this.#whole!.wait();
    this.#backend.upload(this.#options.parameter.grad, this.#values);
    this.#rows!.wait();
    this.#eachRow(this.#again!, (row, at) => this.#backend.upload(at, row));
  }

  #eachRow(
    { rows, values }: {
      readonly rows: readonly number[];
      readonly values: Float32Array<ArrayBuffer>;
    },
    visit: (row: Float32Array<ArrayBuffer>, at: number) => void,
  ): void {
    const { grad, spec } = this.#options.parameter;
    const columns = spec.shape[1]!;
    rows.forEach((row, i) => {
      visit(values.subarray(i * columns, (i + 1) * columns), grad + 4 * row * columns);
    });
  }
}
