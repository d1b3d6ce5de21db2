/**
 * Weights whose owners are spread over ranks, brought to where a pass reads them: unit by unit, the next
 * one while this one is computed.
 *
 * In stages 1 and 2 of ZeRO every rank has room for all weights, and each unit is gathered once after an
 * update, during the next forward pass. In stage 3 (Rajbhandari et al. 2020, section 5.3) units take
 * turns in memory: a unit is gathered before its forward and again before its backward pass, and gone
 * when the next one comes. Only the last block, with which the backward pass begins, and a tied
 * embedding are gathered once.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import type { DeviceRanks } from "../comm/device/ranks.ts";
import type { Parameter } from "../model/training/trainable.ts";
import type { Pass } from "../model/training/units.ts";
import type { Ownership, Piece } from "./partition.ts";
import {
  type ComingWeights,
  DeviceWeights,
  HostWeights,
  type WeightCarrier,
} from "./weight_carrier.ts";

/** What weights are brought with. */
export interface UnitWeightsOptions {
  /** All parameters, at the places where passes read them. */
  readonly parameters: readonly Parameter[];
  /** Their places in the list, by units. */
  readonly units: readonly (readonly number[])[];
  /** Who owns what. */
  readonly ownership: Ownership;
  /** Masters of the own pieces, in their order. */
  readonly masters: readonly Address[];
  /** The place that each unit takes where units take turns; absent where all are there. */
  readonly slotOf?: readonly number[] | undefined;
  /** Whether the head reads the embedding. */
  readonly tied: boolean;
  /** Makes copies of parameters that were brought. */
  readonly brought: (indices: readonly number[]) => void;
  /** The owners' GPUs, where they are connected. */
  readonly gpus?: DeviceRanks | undefined;
}

interface Coming {
  readonly unit: number;
  readonly weights: ComingWeights;
}

/** An own piece and its master. */
interface OwnMaster extends Piece {
  readonly master: Address;
}

/** Elements that are on their way at most: those of the largest unit. */
export function gatherElements(lengths: readonly (readonly number[])[]): number {
  return Math.max(...lengths.map((ranks) => ranks.reduce((sum, length) => sum + length, 0)));
}

/** Brings units. All ranks of the ownership enter the same units in the same order. */
export class UnitWeights {
  readonly #backend: Backend;
  readonly #options: UnitWeightsOptions;
  readonly #masters: readonly OwnMaster[];
  readonly #carrier: WeightCarrier;
  /** Units whose weights are where passes read them. */
  readonly #there: Set<number>;
  #coming: Coming | undefined;

  /** Reserves nothing before the first unit is brought, but on connected GPUs. */
  constructor(backend: Backend, options: UnitWeightsOptions) {
    this.#backend = backend;
    this.#options = options;
    const { ownership, masters, units, slotOf } = options;
    this.#masters = ownership.own.map((piece, i) => ({ ...piece, master: masters[i]! }));
    this.#there = new Set(slotOf === undefined ? units.keys() : []);
    const most = gatherElements(ownership.partition.lengths);
    this.#carrier = options.gpus === undefined
      ? new HostWeights(backend, { ranks: ownership.ranks, most })
      : new DeviceWeights(backend, { ranks: options.gpus, most });
  }

  /** Brings a unit that is about to be read, and sends for the next. */
  enter(unit: number, pass: Pass): void {
    const { units, tied } = this.#options;
    const last = units.length - 1;
    // The gradient of an embedding does not need it.
    if (pass === "backward" && unit === 0) return;
    this.#bring(unit);
    if (unit === last && tied) this.#bring(0);
    const next = pass === "forward" ? unit + 1 : unit - 1;
    if (next > 0 && next <= last) this.#sendFor(next);
  }

  #sendFor(unit: number): void {
    const { ownership: { partition } } = this.#options;
    if (this.#coming !== undefined || this.#there.has(unit)) return;
    const own = new Set(this.#options.units[unit]);
    const sent = this.#masters.filter(({ parameter }) => own.has(parameter))
      .map(({ count, master }) => ({ at: master, count }));
    this.#coming = { unit, weights: this.#carrier.send(sent, partition.lengths[unit]!) };
  }

  /** Waits for what is on its way, and forgets it. */
  #drop(): void {
    this.#coming?.weights.wait();
    this.#coming = undefined;
  }

  #bring(unit: number): void {
    const { units, slotOf, brought, ownership: { partition, ranks } } = this.#options;
    if (this.#there.has(unit)) return;
    if (this.#coming?.unit !== unit) this.#drop();
    this.#sendFor(unit);
    const { weights } = this.#coming!;
    weights.wait();
    this.#coming = undefined;
    let at = 0;
    partition.pieces[unit]!.forEach((pieces, rank) => {
      for (const { parameter, first, count } of pieces) {
        const place = at;
        at += count;
        // Where all weights are there, the own ones are their own masters.
        if (rank === ranks.rank && slotOf === undefined) continue;
        const target = this.#options.parameters[parameter]!.weight + 4 * first;
        weights.put(target, { first: place, count });
      }
    });
    if (slotOf !== undefined) {
      for (const other of this.#there) {
        if (slotOf[other] === slotOf[unit]) this.#there.delete(other);
      }
    }
    this.#there.add(unit);
    brought(units[unit]!);
  }

  /** The owners have changed their weights: everybody else's are stale. The first unit is sent for. */
  stepped(): void {
    this.#drop();
    this.#there.clear();
    const first = this.#options.units.findIndex((unit) => unit.length > 0);
    if (first >= 0) this.#sendFor(first);
  }

  /** Brings all weights, where there is room for them. */
  settle(): void {
    const { units, slotOf } = this.#options;
    if (slotOf === undefined) { for (const unit of units.keys()) this.#bring(unit); }
  }

  /** Elements of a parameter were written where passes read them: owners take theirs. */
  written(parameter: number, range: { readonly first: number; readonly count: number }): void {
    this.#drop();
    if (this.#options.slotOf === undefined) return;
    this.#there.clear();
    const { weight } = this.#options.parameters[parameter]!;
    for (const own of this.#masters) {
      if (own.parameter !== parameter) continue;
      const from = Math.max(own.first, range.first);
      const to = Math.min(own.first + own.count, range.first + range.count);
      if (to <= from) continue;
      this.#backend.copy(own.master + 4 * (from - own.first), weight + 4 * from, 4 * (to - from));
    }
  }

  /** Gives back what was taken for what is on its way. */
  close(): void {
    this.#carrier.close();
  }

  /** Reads a parameter's masters [count] from their owners, on all ranks together. */
  read(parameter: number): Float32Array<ArrayBuffer> {
    return this.#options.ownership.gather(parameter, (values, { first }) => {
      const own = this.#masters.find((one) => one.parameter === parameter && one.first === first)!;
      this.#backend.download(values, own.master);
    });
  }
}
