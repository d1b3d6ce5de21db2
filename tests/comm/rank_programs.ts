/** What the ranks of the tests do; each test names one of these. */

import { appendFileSync, statSync } from "node:fs";
import type { Communicator } from "../../lib/comm/communicator.ts";
import { Mesh, parseMesh } from "../../lib/comm/mesh.ts";

/** Numbers of very different sizes, so that another order of sums gives other bits. */
export function numbersOf(rank: number, length: number): Float32Array {
  const values = new Float32Array(length);
  let state = (rank + 1) * 2654435761 >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = (state / 2 ** 31 - 1) * 2 ** ((state >>> 8) % 20 - 10);
  }
  return values;
}

/** Stands still without looking at anything. */
function hold(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/** What a rank is given. */
export interface ProgramInput {
  /** Which program. */
  readonly program: string;
  /** The lengths of its vectors, where it has such. */
  readonly lengths?: readonly number[];
  /** When a rank dies. */
  readonly killAfterMs?: number;
  /** How long a rank computes between two calls. */
  readonly computeMs?: number;
  /** A mesh, as users write it. */
  readonly mesh?: string;
  /** A file to count in. */
  readonly clock?: string;
}

type Sizes = Required<Pick<ProgramInput, "lengths">>;

const programs: Readonly<Record<string, (world: Communicator, input: never) => unknown>> = {
  allReduce(world: Communicator, { lengths }: Sizes) {
    return lengths.map((length) => {
      const data = numbersOf(world.rank, length);
      world.allReduce(data);
      return data;
    });
  },

  maximum(world: Communicator) {
    const data = Float64Array.of(world.rank, 1 - world.rank, world.rank === 1 ? NaN : 0);
    world.allReduce(data, { operation: "max" });
    return data;
  },

  scatterAndGather(world: Communicator, { lengths }: Sizes) {
    return lengths.map((length) => {
      const data = numbersOf(world.rank, length);
      const own = world.reduceScatter(data).slice();
      world.allGather(data);
      return { own, data };
    });
  },

  unevenParts(world: Communicator) {
    const lengths = Array.from({ length: world.size }, (_, rank) => rank * 3);
    const length = lengths.reduce((sum, part) => sum + part, 0);
    const data = numbersOf(world.rank, length);
    const own = world.reduceScatter(data, { lengths }).slice();
    world.allGather(data, { lengths });
    return { own, data };
  },

  broadcasts(world: Communicator, { lengths }: Sizes) {
    return lengths.flatMap((length) =>
      Array.from({ length: world.size }, (_, root) => {
        const data = numbersOf(world.rank, length);
        world.broadcast(data, root);
        return data;
      })
    );
  },

  crossing(world: Communicator, { lengths }: Sizes) {
    // Everybody sends to everybody before anyone receives: more than the rings hold.
    const { rank, size } = world;
    const peers = Array.from({ length: size }, (_, peer) => peer).filter((peer) => peer !== rank);
    return lengths.map((length) => {
      for (const peer of peers) world.send(numbersOf(rank * size + peer, length), peer);
      return peers.map((peer) => {
        const data = new Float32Array(length);
        world.recv(data, peer);
        return { peer, data };
      });
    });
  },

  tags(world: Communicator) {
    if (world.rank === 0) {
      for (const tag of [5, 7, 5]) world.send(Int32Array.of(tag, world.size), 1, { tag });
      return [];
    }
    const [first, second, other] = [new Int32Array(2), new Int32Array(2), new Int32Array(2)];
    const later = world.startRecv(other, 0, { tag: 7 });
    world.recv(first, 0, { tag: 5 });
    world.recv(second, 0, { tag: 5 });
    later.wait();
    return [first[0], second[0], other[0]];
  },

  outOfOrder(world: Communicator, { lengths }: Sizes) {
    const vectors = lengths.map((length) => numbersOf(world.rank, length));
    const handles = vectors.map((data) => world.startAllReduce(data));
    const order = [...handles.keys()];
    if (world.rank % 2 === 1) order.reverse();
    for (const at of order) handles[at]!.wait();
    return vectors;
  },

  computingBetween(world: Communicator) {
    const data = numbersOf(world.rank, 100_000);
    const handle = world.startAllReduce(data);
    while (!handle.done()) hold(1);
    return data;
  },

  barrier(world: Communicator, { clock }: { readonly clock: string }) {
    const seen: number[] = [];
    for (let turn = 1; turn <= 5; turn++) {
      hold((world.rank * 7 + turn * 3) % 11);
      // Every rank that comes makes it longer by a byte.
      appendFileSync(clock, "x");
      world.barrier();
      seen.push(statSync(clock).size - turn * world.size);
      world.barrier();
    }
    return seen;
  },

  split(world: Communicator) {
    const half = world.split({ color: world.rank % 2, key: -world.rank, name: "half" });
    const sum = Float32Array.of(world.rank);
    half.allReduce(sum);
    const pair = half.split({ color: Math.floor(half.rank / 2), name: "pair" });
    const inPair = Float32Array.of(world.rank);
    pair.allReduce(inPair);
    return { rank: half.rank, size: half.size, sum: sum[0], pair: pair.size, inPair: inPair[0] };
  },

  mesh(world: Communicator, { mesh }: { readonly mesh: string }) {
    const { axes, replicas, coordinates } = new Mesh(world, parseMesh(mesh));
    const groups = Object.entries({ ...axes, replicas }).map(([name, group]) => {
      const ranks = new Int32Array(group.size);
      ranks[group.rank] = world.rank;
      group.allGather(ranks);
      return [name, [...ranks]] as const;
    });
    return { coordinates, groups: Object.fromEntries(groups) };
  },

  traffic(world: Communicator) {
    world.allReduce(new Float32Array(8000));
    world.reduceScatter(new Float32Array(8000));
    world.allGather(new Float32Array(8000));
    world.broadcast(new Float32Array(8000), 0);
    world.barrier();
    return world.traffic();
  },

  throwing(world: Communicator) {
    if (world.rank === 1) throw new RangeError("no such luck");
    world.barrier();
  },

  throwingLater(world: Communicator) {
    if (world.rank === 1) {
      setTimeout(() => {
        throw new Error("in a timer");
      }, 20);
    }
    return new Promise((resolve) => setTimeout(resolve, 200)).then(() => world.barrier());
  },

  leaving(world: Communicator) {
    if (world.rank === 1) {
      hold(50);
      (globalThis as unknown as { close(): void }).close();
    }
    world.allReduce(new Float32Array(5000));
  },

  killed(world: Communicator, { killAfterMs = 0 }: ProgramInput) {
    const end = performance.now() + killAfterMs;
    const dying = world.rank === world.size - 1;
    while (true) {
      const handle = world.startAllReduce(new Float32Array(5000));
      while (!handle.done()) if (dying && performance.now() > end) Deno.exit(9);
      world.barrier();
    }
  },

  endless(world: Communicator, { computeMs = 0 }: ProgramInput) {
    while (true) {
      world.allReduce(new Float32Array(5000));
      // The last rank is the one that others wait for, or that is gone.
      if (world.rank < world.size - 1) hold(computeMs);
    }
  },

  finishingEarly(world: Communicator) {
    if (world.rank !== 1) world.allReduce(new Float32Array(5000));
  },

  silent(world: Communicator) {
    if (world.rank === 1) hold(60_000);
    world.allReduce(new Float32Array(5000));
  },

  otherSizes(world: Communicator) {
    world.allReduce(new Float32Array(world.rank === 1 ? 600 : 500));
  },

  otherParts(world: Communicator) {
    world.reduceScatter(new Float32Array(4), { lengths: world.rank === 1 ? [1, 3] : [2, 2] });
  },

  otherCalls(world: Communicator) {
    if (world.rank === 1) world.allGather(new Float32Array(500));
    else world.allReduce(new Float32Array(500));
  },

  otherRoots(world: Communicator) {
    world.broadcast(new Float32Array(3), world.rank === 1 ? 1 : 0);
    world.barrier();
  },

  otherMessage(world: Communicator) {
    if (world.rank === 1) world.send(new Float32Array(3), 0);
    else world.recv(new Float32Array(4), 1);
  },

  selfSend(world: Communicator) {
    world.send(new Float32Array(3), world.rank);
  },
};

/** Runs the named program. */
export function run(world: Communicator, input: ProgramInput): unknown {
  return programs[input.program]!(world, input as never);
}
