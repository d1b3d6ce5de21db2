/**
 * Comparing what must be the same on several ranks: a processor that computes wrongly without saying so
 * makes replicas drift apart (silent data corruption: Grattafiori et al. 2024, arXiv:2407.21783,
 * section 3.3.4), and nothing else shows it for a long time.
 *
 * Every rank hashes its weights and moments tensor by tensor and gathers the others' hashes. Of three or more the majority is taken to be right; of two that differ neither can be cleared.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Address, Backend } from "../backend/backend.ts";
import { CommunicationError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import type { Communicator } from "../comm/communicator.ts";

/** Numbers that must be the same on all ranks of a group. */
export interface Compared {
  /** What they are, as messages say it: a tensor and which numbers of it. */
  readonly name: string;
  /** Where they lie. */
  readonly address: Address;
  /** How many, in f32. */
  readonly count: number;
}

/** Bytes of a hash: SHA-256, which hardware computes faster than a script any simpler one. */
const HASH_BYTES = 32;
/** Numbers that are read at once. */
const CHUNK = 1 << 18;

/** A difference between ranks. */
export interface Difference {
  /** The first entry in which they differ. */
  readonly entry: number;
  /** Those in the minority; all of them where there is no majority. */
  readonly ranks: readonly number[];
  /** Whether a majority agrees, so that the others are wrong. */
  readonly isDecided: boolean;
}

/**
 * Finds who differs.
 *
 * @param hashes Hashes of all entries by rank, one after the other.
 */
export function differenceOf(hashes: readonly Uint8Array[]): Difference | undefined {
  const [first] = hashes;
  for (let entry = 0; entry < first!.length / HASH_BYTES; entry++) {
    const at = HASH_BYTES * entry;
    const votes = new Map<string, number[]>();
    hashes.forEach((bytes, rank) => {
      const hash = bytes.subarray(at, at + HASH_BYTES).toHex();
      votes.set(hash, [...votes.get(hash) ?? [], rank]);
    });
    if (votes.size === 1) continue;
    const majority = [...votes.values()].find((ranks) => 2 * ranks.length > hashes.length);
    const ranks = [...hashes.keys()].filter((rank) => !majority?.includes(rank));
    return { entry, ranks, isDecided: majority !== undefined };
  }
  return undefined;
}

/** What is compared along one axis of a mesh. */
export interface ComparedAlong {
  /** The ranks that must have the same. */
  readonly ranks: Communicator;
  /** Their ranks in the world. */
  readonly inWorld: readonly number[];
  /** The numbers, in the same order on all of them. */
  readonly entries: readonly Compared[];
}

/** Compares ranks; all ranks of the world go through the same axes in the same order. */
export class ReplicaCheck {
  readonly #backend: Pick<Backend, "download">;
  readonly #world: Communicator;
  readonly #along: readonly ComparedAlong[];

  /** Reserves nothing. */
  constructor(
    backend: Pick<Backend, "download">,
    { world, along }: { readonly world: Communicator; readonly along: readonly ComparedAlong[] },
  ) {
    this.#backend = backend;
    this.#world = world;
    this.#along = along;
  }

  #hashes({ ranks, entries }: ComparedAlong): Uint8Array[] {
    const length = HASH_BYTES * entries.length;
    const all = new Uint8Array(length * ranks.size);
    const values = new Float32Array(CHUNK);
    entries.forEach(({ address, count }, entry) => {
      const hash = createHash("sha256");
      for (let first = 0; first < count; first += CHUNK) {
        const part = values.subarray(0, Math.min(CHUNK, count - first));
        this.#backend.download(part, address + 4 * first);
        hash.update(new Uint8Array(part.buffer, 0, part.byteLength));
      }
      all.set(hash.digest(), length * ranks.rank + HASH_BYTES * entry);
    });
    ranks.allGather(all);
    return Array.from(
      { length: ranks.size },
      (_, rank) => all.subarray(length * rank, length * (rank + 1)),
    );
  }

  /**
   * Compares all ranks after a step.
   *
   * @throws {CommunicationError} On all ranks, in the same words: names those that differ, and in what.
   */
  check(step: number): void {
    for (const along of this.#along) {
      const found = along.ranks.size === 1 ? undefined : differenceOf(this.#hashes(along));
      const told = found && messageOf(found, along, step);
      this.#tell(told === undefined ? "" : told, found && along.inWorld[found.ranks[0]!]);
    }
  }

  /** Lets everybody know what one of several groups has found: the first of them is heard. */
  #tell(told: string, atFault: number | undefined): void {
    const { rank, size } = this.#world;
    const finder = Float64Array.of(told === "" ? 0 : size - rank);
    this.#world.allReduce(finder, { operation: "max" });
    if (finder[0] === 0) return;
    const from = size - finder[0]!;
    const text = new TextEncoder().encode(told);
    const length = Float64Array.of(text.length, atFault ?? 0);
    this.#world.broadcast(length, from);
    const bytes = new Uint8Array(length[0]!);
    if (rank === from) bytes.set(text);
    this.#world.broadcast(bytes, from);
    throw new CommunicationError(new TextDecoder().decode(bytes), {
      rank: length[1]!,
      hint:
        "memory or a processor there is faulty: leave that machine out and go on with --resume, " +
        "from a checkpoint before the last comparison that found no difference",
    });
  }
}

function messageOf(
  { entry, ranks, isDecided }: Difference,
  { inWorld, entries }: ComparedAlong,
  step: number,
): string {
  const named = ranks.map((rank) => inWorld[rank]!);
  const list = named.length === 1
    ? `rank ${named[0]}`
    : `ranks ${named.slice(0, -1).join(", ")} and ${named.at(-1)}`;
  const what = quoted(entries[entry]!.name);
  const cannot = `Cannot go on after step ${step}`;
  if (!isDecided) {
    const ofTwo = named.length === 2 ? "of two" : "without a majority";
    return `${cannot}: ${list} differ in ${what}; which of them is wrong cannot be told ${ofTwo}`;
  }
  const verb = named.length === 1 ? "differs" : "differ";
  const others = `the other ${inWorld.length - named.length}`;
  return `${cannot}: ${list} ${verb} in ${what} from ${others}, which agree`;
}
