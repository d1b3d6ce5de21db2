/**
 * Weights where token by token reads them fastest.
 *
 * Matrices of block types are interleaved by sixteen rows, in which form kernels read them with
 * nothing but loads and products. That happens when a matrix is first multiplied. Matrices of other
 * types that lie in a mapped file are copied into memory of huge pages, from which they are read a
 * fifth faster, but only once so many tokens have been computed that copying pays.
 *
 * The original is let go: weights that were read into memory are repacked where they lie, and the
 * pages of mapped ones leave the process. The bits of a product do not change.
 *
 * @module
 */

import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Address, Backend, MappedFile } from "../backend/backend.ts";
import { BackendError } from "../base/errors.ts";
import { formatMemory } from "../base/format.ts";
import { bytesOf, type DType } from "../tensor/dtype.ts";
import type { Weight, WeightPart, WeightPlaces, WeightUse } from "./linear.ts";
import { WeightSlabs } from "./weight_slabs.ts";

/**
 * Which weights are repacked: `off` none, so that mapped files are used without a copy; `on` every
 * matrix whose type has the layout; `auto` those that gain by it and for which there is memory.
 */
export type Repack = "auto" | "on" | "off";

/** Block types with an interleaved layout; q8_0 is as fast where it lies. */
const REPACKED_DTYPES: ReadonlySet<DType> = new Set<DType>([
  ...["q4_0", "q4_1", "q5_0", "q5_1"] as const,
  ...["q2_k", "q3_k", "q4_k", "q5_k", "q6_k"] as const,
]);

/** Those that WebAssembly's narrow vectors read slower interleaved than in rows. */
const SLOWER_IN_WASM: ReadonlySet<DType> = new Set<DType>(["q6_k"]);
/** Rows that are interleaved; what has fewer stays as it is. */
const GROUP_ROWS = 16;
/** Under `auto` a second copy of a matrix, where its original has to stay, takes at most this. */
const SECOND_COPY_BYTES = 64 << 20;
/** Rows of inputs at most for which reading the weight is what takes the time. */
const FEW_ROWS = 8;
/** Products of few rows after which a mapped weight is moved: what it saves by then is what it costs. */
const MOVED_AFTER = 64;
/** Products over which the moves of all weights are spread: no single token waits for many. */
const SPREAD = 32;

/** What is repacked or moved, and what must not be touched. */
export interface SettledOptions {
  /** Which weights are repacked. */
  readonly repack: Exclude<Repack, "off">;
  /** The mapped files that weights may lie in. */
  readonly files: Iterable<MappedFile>;
  /** The table that token ids are looked up in: its rows must stay rows. */
  readonly embedding: Address;
}

/** One weight as it is found. */
interface Place {
  parts: readonly WeightPart[];
  /** Whether blocks are interleaved where they are to be. */
  repacked: boolean;
  /** Products of few rows until it is moved. */
  left: number;
}

/** The weights of one decoder as they are repacked and moved; made by its loader. */
export class SettledWeights implements WeightPlaces {
  readonly #backend: Backend;
  readonly #options: SettledOptions;
  readonly #files: readonly MappedFile[];
  readonly #places = new Map<Weight, Place>();
  readonly #slabs: WeightSlabs;
  #repackedBytes = 0;
  #movedBytes = 0;

  /** Nothing is repacked or moved yet. */
  constructor(backend: Backend, options: SettledOptions) {
    this.#backend = backend;
    this.#options = options;
    this.#files = [...options.files];
    this.#slabs = new WeightSlabs(backend);
  }

  /**
   * The parts of a weight as they are multiplied now.
   *
   * @throws {BackendError} When all were to be repacked and there is no memory for it.
   */
  partsOf(weight: Weight, { rows, quantized }: WeightUse): readonly WeightPart[] {
    let place = this.#places.get(weight);
    if (place === undefined) {
      const left = MOVED_AFTER + this.#places.size % SPREAD;
      place = { parts: weight.parts, repacked: false, left };
      this.#places.set(weight, place);
    }
    if (quantized && !place.repacked) {
      place.parts = place.parts.map((part) => this.#repacked(part, weight.inDim));
      place.repacked = true;
    }
    if (rows <= FEW_ROWS && place.left-- === 1) {
      place.parts = place.parts.map((part) => this.#moved(part, weight.inDim));
    }
    return place.parts;
  }

  /** Bytes of what has been repacked. */
  get repackedBytes(): number {
    return this.#repackedBytes;
  }

  /** Bytes of what has been moved as it is. */
  get movedBytes(): number {
    return this.#movedBytes;
  }

  #repacked(part: WeightPart, inDim: number): WeightPart {
    const { dtype, outDim, address } = part;
    if (!REPACKED_DTYPES.has(dtype) || outDim < GROUP_ROWS) return part;
    const auto = this.#options.repack === "auto";
    if (auto && this.#backend.name === "wasm" && SLOWER_IN_WASM.has(dtype)) return part;
    const bytes = bytesOf(dtype, outDim * inDim);
    const file = this.#fileOf(address, bytes);
    const target = this.#target(file, address, bytes);
    if (target === undefined) return part;
    this.#backend.kernels.repack({
      out: target,
      x: address,
      dtype: DTYPE_CODES[dtype],
      rows: outDim,
      dim: inDim,
    });
    this.#repackedBytes += bytes;
    this.#letGo(file, address, bytes);
    return { dtype, outDim, address: target, repacked: true };
  }

  #moved(part: WeightPart, inDim: number): WeightPart {
    const { dtype, outDim, address } = part;
    const bytes = bytesOf(dtype, outDim * inDim);
    const file = this.#fileOf(address, bytes);
    if (file === undefined || !isSmallBesideFreeMemory(file.bytes)) return part;
    const target = this.#reserve(() => this.#slabs.take(bytes));
    if (target === undefined) return part;
    this.#backend.copy(target, address, bytes);
    this.#movedBytes += bytes;
    this.#letGo(file, address, bytes);
    return { dtype, outDim, address: target };
  }

  /** Where a part is repacked to, or `undefined` where it stays as it is. */
  #target(file: MappedFile | undefined, address: Address, bytes: number): Address | undefined {
    const { repack, embedding } = this.#options;
    if (file === undefined && address !== embedding) return address;
    if (file === undefined && repack === "auto" && bytes > SECOND_COPY_BYTES) return undefined;
    const target = this.#reserve(() => {
      return file === undefined ? this.#slabs.alloc(bytes) : this.#slabs.take(bytes);
    });
    if (target !== undefined || repack === "auto") return target;
    throw new BackendError(
      `Cannot repack a matrix of ${formatMemory(bytes)}: there is no memory left for it`,
      { hint: "use --repack auto, which leaves it as it is" },
    );
  }

  /** Memory, or `undefined` where there is none left. */
  #reserve(alloc: () => Address): Address | undefined {
    try {
      return alloc();
    } catch (error) {
      if (error instanceof BackendError) return undefined;
      throw error;
    }
  }

  #fileOf(address: Address, bytes: number): MappedFile | undefined {
    return this.#files.find((file) => {
      return address >= file.address && address + bytes <= file.address + file.bytes;
    });
  }

  #letGo(file: MappedFile | undefined, address: Address, bytes: number): void {
    if (file === undefined) return;
    this.#backend.wait();
    file.forget(address, bytes);
  }

  /** Gives the copies back. */
  close(): void {
    this.#places.clear();
    this.#slabs.close();
  }
}

/**
 * Whether so many bytes are less than half of what the machine has free: pages of a file go when
 * others need memory, copies do not.
 */
function isSmallBesideFreeMemory(bytes: number): boolean {
  const permission = Deno.permissions.querySync({ name: "sys", kind: "systemMemoryInfo" });
  return permission.state === "granted" && bytes <= Deno.systemMemoryInfo().available / 2;
}
