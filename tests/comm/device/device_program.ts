/** What a rank with an emulated GPU does in the tests of collectives on GPUs. */

import { openCuda } from "../../../lib/backend/cuda.ts";
import type { Communicator } from "../../../lib/comm/communicator.ts";
import { openDeviceRanks } from "../../../lib/comm/device/open.ts";
import type { DeviceRanks } from "../../../lib/comm/device/ranks.ts";
import { EMULATED_LIBRARY, EMULATED_NCCL } from "../../../scripts/build_cuda.ts";

/** How a rank works. */
export interface DeviceInput {
  /** What it does. */
  readonly program: "collectives" | "absent" | "silent" | "connect";
  /** Name or path of NCCL instead of the emulated one. */
  readonly nccl?: string;
  /** Whether all ranks have the same GPU. */
  readonly sharedGpu?: boolean;
}

/** Elements of the vectors: more than a ring of the emulated NCCL holds. */
export const ELEMENTS = 10_007;

/** The number that a rank has at a place: sums of these depend on their order. */
export function numberOf(rank: number, i: number): number {
  return Math.fround(Math.sin(1 + i) * 10 ** (rank % 3));
}

/** Vectors after the collectives, by their names. */
export type DeviceResult = Readonly<Record<string, Float32Array>> | "not connected" | "connected";

/** Does a program. */
export function run(world: Communicator, input: DeviceInput): DeviceResult {
  const localRank = input.sharedGpu ? 0 : world.rank;
  const backend = openCuda({ library: EMULATED_LIBRARY, localRank });
  try {
    const library = input.nccl ?? EMULATED_NCCL;
    const ranks = openDeviceRanks(world, backend, { library, timeLimitMs: 1500 });
    if (ranks === undefined) return "not connected";
    if (input.program === "connect") return "connected";
    return collectives(ranks, { backend, program: input.program, world });
  } finally {
    backend.close();
  }
}

function collectives(ranks: DeviceRanks, { backend, program, world }: {
  readonly backend: ReturnType<typeof openCuda>;
  readonly program: DeviceInput["program"];
  readonly world: Communicator;
}): DeviceResult {
  const { rank, size } = ranks;
  const vector = () => {
    const address = backend.alloc(4 * ELEMENTS);
    backend.upload(address, Float32Array.from({ length: ELEMENTS }, (_, i) => numberOf(rank, i)));
    return address;
  };
  const [sum, part, gathered, copied, moved] = [vector(), vector(), vector(), vector(), vector()];
  const rest = ELEMENTS - 3 * (size - 1);
  const lengths = Array.from({ length: size }, (_, r) => r === 0 ? rest : 3);
  ranks.allReduce(sum, ELEMENTS).join();
  if (program === "absent" && rank === 1) throw new Error("out of paper");
  if (program === "silent" && rank === 1) {
    // Alive, and not there for what the others wait for.
    for (const until = performance.now() + 10_000; performance.now() < until;) world.progress();
  }
  ranks.reduceScatter({ data: part, lengths }).join();
  ranks.allGather({ data: gathered, lengths }).join();
  ranks.broadcast(copied, { bytes: 4 * ELEMENTS, root: size - 1 }).join();
  // Around the ring, both at once.
  const received = backend.alloc(4 * ELEMENTS);
  ranks.enqueue(() => {
    if (rank % 2 === 0) ranks.send(moved, { bytes: 4 * ELEMENTS, to: (rank + 1) % size });
    ranks.recv(received, { bytes: 4 * ELEMENTS, from: (rank + size - 1) % size });
    if (rank % 2 === 1) ranks.send(moved, { bytes: 4 * ELEMENTS, to: (rank + 1) % size });
  }).join();
  const read = (address: number) => {
    const values = new Float32Array(ELEMENTS);
    backend.download(values, address);
    return values;
  };
  const result = {
    sum: read(sum),
    part: read(part),
    gathered: read(gathered),
    copied: read(copied),
    received: read(received),
  };
  ranks.close();
  return result;
}
