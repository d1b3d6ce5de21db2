/**
 * Weights of block types interleaved by sixteen rows, in which form kernels read them with nothing
 * but loads and products: token by token as fast as memory gives them.
 *
 * A matrix is repacked when it is first multiplied, and its original is let go: weights that were
 * read into memory are repacked where they lie, mapped ones into memory of their own, after which
 * their pages leave the process. The bits of a product do not change.
 *
 * @module
 */

import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Address, Backend, MappedFile } from "../backend/backend.ts";
import { BackendError } from "../base/errors.ts";
import { formatMemory } from "../base/format.ts";
import { bytesOf, type DType } from "../tensor/dtype.ts";
import { aligned } from "./memory_plan.ts";
import type { Weight, WeightPart } from "./linear.ts";

/**
 * Which weights are repacked: `off` none, so that mapped files are used without a copy; `on` every
 * matrix whose type has the layout; `auto` those that gain by it and for which there is memory.
 */
export type Repack = "auto" | "on" | "off";

/** Block types with an interleaved layout; q8_0 is as fast where it lies. */
export const REPACKED_DTYPES: ReadonlySet<DType> = new Set<DType>([
  ...["q4_0", "q4_1", "q5_0", "q5_1"] as const,
  ...["q2_k", "q3_k", "q4_k", "q5_k", "q6_k"] as const,
]);

/** Those that WebAssembly's narrow vectors read slower interleaved than in rows. */
const SLOWER_IN_WASM: ReadonlySet<DType> = new Set<DType>(["q6_k"]);
/** Rows that are interleaved; what has fewer stays as it is. */
const GROUP_ROWS = 16;
/** Under `auto` a second copy of a matrix, where its original has to stay, takes at most this. */
const SECOND_COPY_BYTES = 64 << 20;
/** Copies of mapped weights are gathered in allocations of this size; what is not used is not resident. */
const SLAB_BYTES = 64 << 20;

/** What is repacked, and what must not be touched. */
export interface RepackOptions {
  /** Which weights. */
  readonly repack: Exclude<Repack, "off">;
  /** The mapped files that weights may lie in. */
  readonly files: Iterable<MappedFile>;
  /** The table that token ids are looked up in: its rows must stay rows. */
  readonly embedding: Address;
}

/** The repacked weights of one decoder; made by its loader. */
export class RepackedWeights {
  readonly #backend: Backend;
  readonly #options: RepackOptions;
  readonly #files: readonly MappedFile[];
  readonly #parts = new Map<Weight, readonly WeightPart[]>();
  readonly #allocations: Address[] = [];
  /** Where the next copy of a mapped weight goes. */
  #slab = { next: 0, end: 0 };

  #bytes = 0;

  /** Nothing is repacked yet. */
  constructor(backend: Backend, options: RepackOptions) {
    this.#backend = backend;
    this.#options = options;
    this.#files = [...options.files];
  }

  /**
   * The parts of a weight as they are multiplied with quantized activations; the first call repacks
   * them.
   *
   * @throws {BackendError} When all were to be repacked and there is no memory for it.
   */
  partsOf(weight: Weight): readonly WeightPart[] {
    let parts = this.#parts.get(weight);
    if (parts === undefined) {
      parts = weight.parts.map((part) => this.#repacked(part, weight.inDim));
      this.#parts.set(weight, parts);
    }
    return parts;
  }

  /** Bytes of what has been repacked. */
  get bytes(): number {
    return this.#bytes;
  }

  #repacked(part: WeightPart, inDim: number): WeightPart {
    const { dtype, outDim, address } = part;
    if (!REPACKED_DTYPES.has(dtype) || outDim < GROUP_ROWS) return part;
    const auto = this.#options.repack === "auto";
    if (auto && this.#backend.name === "wasm" && SLOWER_IN_WASM.has(dtype)) return part;
    const bytes = bytesOf(dtype, outDim * inDim);
    const file = this.#files.find((file) => {
      return address >= file.address && address + bytes <= file.address + file.bytes;
    });
    const target = this.#target(file, address, bytes);
    if (target === undefined) return part;
    this.#backend.kernels.repack({
      out: target,
      x: address,
      dtype: DTYPE_CODES[dtype],
      rows: outDim,
      dim: inDim,
    });
    this.#bytes += bytes;
    if (file !== undefined) {
      this.#backend.wait();
      file.forget(address, bytes);
    }
    return { dtype, outDim, address: target, repacked: true };
  }

  /** Where a part is repacked to, or `undefined` where it stays as it is. */
  #target(file: MappedFile | undefined, address: Address, bytes: number): Address | undefined {
    const { repack, embedding } = this.#options;
    if (file === undefined && address !== embedding) return address;
    if (file === undefined && repack === "auto" && bytes > SECOND_COPY_BYTES) return undefined;
    try {
      return file === undefined ? this.#alloc(bytes) : this.#fromSlab(bytes);
    } catch (cause) {
      if (!(cause instanceof BackendError)) throw cause;
      if (repack === "auto") return undefined;
      throw new BackendError(
        `Cannot repack a matrix of ${formatMemory(bytes)}: there is no memory left for it`,
        { cause, hint: "use --repack auto, which leaves it as it is" },
      );
    }
  }

  #alloc(bytes: number): Address {
    const memory = this.#backend.alloc(bytes);
    this.#allocations.push(memory);
    return memory;
  }

  /** Room beside other copies, so that only the last huge page of a slab is not full. */
  #fromSlab(bytes: number): Address {
    if (this.#slab.end - this.#slab.next < bytes) {
      const size = Math.max(bytes, SLAB_BYTES);
      const next = this.#alloc(size);
      this.#slab = { next, end: next + size };
    }
    const target = this.#slab.next;
    this.#slab.next += aligned(bytes);
    return target;
  }

  /** Gives the copies back. */
  close(): void {
    this.#parts.clear();
    this.#slab = { next: 0, end: 0 };
    for (const memory of this.#allocations.splice(0)) this.#backend.free(memory);
  }
}
