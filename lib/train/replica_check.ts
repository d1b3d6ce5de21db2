/**
 * Replicas compare their weights: what a processor got wrong without noticing shows as a rank whose
 * weights are not those of its replicas. Llama 3's training met such silent data corruption (Dubey et
 * al. 2024, arXiv:2407.21783, section 3.3.4).
 *
 * @module
 */

import { createHash } from "node:crypto";
import { LlameroError } from "../base/errors.ts";
import { coordinatesOf, type Mesh } from "../comm/mesh.ts";
import type { HeldState } from "./held_state.ts";

const HASH_BYTES = 32;

/**
 * Compares the weights of all replicas; every rank calls it.
 *
 * @param step Steps done, for the message.
 * @throws {LlameroError} On every rank, where one differs: names those that most of their replicas
 *   contradict, or all of them where no more than half agree.
 */
export function checkReplicas(
  { world, sizes, replicas }: Mesh,
  { held, step }: {
    readonly held: Pick<HeldState, "parameters" | "weight">;
    readonly step: number;
  },
): void {
  if (sizes.data * sizes.shard === 1) return;
  const hash = createHash("sha256");
  held.parameters.forEach((_, index) => {
    const { buffer, byteOffset, byteLength } = held.weight(index);
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  });
  const all = new Uint8Array(HASH_BYTES * world.size);
  all.set(hash.digest(), HASH_BYTES * world.rank);
  const lengths = new Array<number>(world.size).fill(HASH_BYTES);
  world.allGather(all, { lengths });
  const wrong = differing(
    Array.from({ length: world.size }, (_, rank) => {
      const digest = all.subarray(HASH_BYTES * rank, HASH_BYTES * (rank + 1)).toHex();
      const { tensor, pipeline } = coordinatesOf(rank, sizes);
      return { rank, digest, place: `${tensor} ${pipeline}` };
    }),
    replicas.size,
  );
  if (wrong.length === 0) return;
  const ranks = wrong.length === 1 ? `rank ${wrong[0]} has` : `ranks ${wrong.join(", ")} have`;
  throw new LlameroError(
    `Cannot go on after step ${step}: ${ranks} other weights than the replicas, ` +
      `which a processor or its memory has got wrong`,
    { hint: "leave that machine out and go on from the last checkpoint with --resume" },
  );
}

/** Ranks whose digest is not that of more than half of the ranks at the same place of the model. */
function differing(
  ranks: readonly { readonly rank: number; readonly digest: string; readonly place: string }[],
  replicas: number,
): number[] {
  return ranks.filter(({ digest, place }) => {
    const peers = ranks.filter((other) => other.place === place);
    const alike = peers.filter((other) => other.digest === digest).length;
    return alike < replicas && 2 * alike <= replicas;
  }).map(({ rank }) => rank);
}
