/**
 * What replicas compare every few hundred steps: weights and moments that each has by itself.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { coordinatesOf, type Mesh, type MeshAxis, rankOf } from "../comm/mesh.ts";
import type { Parameter } from "../model/training/trainable.ts";
import { type ComparedAlong, ReplicaCheck } from "../parallel/replica_check.ts";
import type { Optimizer } from "./optimizer.ts";

/** What is compared. */
export interface ComparedParts {
  /** The ranks. */
  readonly mesh: Mesh;
  /** The parameters, where passes read them. */
  readonly parameters: readonly Parameter[];
  /** Whose weights and moments are compared. */
  readonly optimizer: Pick<Optimizer, "owned">;
  /** Whether all of the weights are there on every rank of the shard axis. */
  readonly isResident: boolean;
}

/** Ranks in the world of those that differ from this one along some axes, in their order there. */
function inWorld({ sizes, world }: Mesh, axes: readonly MeshAxis[]): number[] {
  const own = coordinatesOf(world.rank, sizes);
  return Array.from({ length: world.size }, (_, rank) => rank).filter((rank) => {
    const at = { ...coordinatesOf(rank, sizes) };
    for (const axis of axes) at[axis] = own[axis];
    return rankOf(at, sizes) === world.rank;
  });
}

/**
 * Makes the comparison of a run: what a rank updates with its twins along the data axis, and weights
 * that were gathered from owners with everybody who gathered them.
 */
export function replicaCheck(
  backend: Pick<Backend, "download">,
  parts: ComparedParts,
): ReplicaCheck {
  const { mesh, parameters, optimizer: { owned }, isResident } = parts;
  const nameOf = (index: number) => parameters[index]!.spec.names.huggingFace;
  const updated = owned.flatMap(({ parameter, count, ...at }) =>
    (["weight", "m", "v"] as const).map((kind) => ({
      name: kind === "weight" ? nameOf(parameter) : `${nameOf(parameter)}.${kind}`,
      address: at[kind],
      count,
    }))
  );
  const along: ComparedAlong[] = [
    { ranks: mesh.axes.data, inWorld: inWorld(mesh, ["data"]), entries: updated },
  ];
  if (isResident && mesh.sizes.shard > 1) {
    const gathered = parameters.map(({ weight: address, count }, index) => (
      { name: nameOf(index), address, count }
    ));
    const replicas = inWorld(mesh, ["data", "shard"]);
    along.push({ ranks: mesh.replicas, inWorld: replicas, entries: gathered });
  }
  return new ReplicaCheck(backend, { world: mesh.world, along });
}
