/**
 * All weights of a model in one rank's memory, wherever in the mesh they are: for what reads a whole
 * model between two steps, such as a sample of its text.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import { BackendError } from "../base/errors.ts";
import { coordinatesOf, rankOf } from "../comm/mesh.ts";
import type { CheckpointPlan } from "./checkpoint_plan.ts";
import type { RunMachine } from "./machine.ts";
import { gatherTensor } from "./snapshot.ts";

/** Where whole weights lie (f32), by canonical name. */
export interface WholeWeights {
  /** Their places. */
  readonly placed: ReadonlyMap<string, { readonly dtype: "f32"; readonly address: Address }>;
  /** Gives back what was taken for them. */
  close(): void;
}

/**
 * The weights on rank 0, as they are now: where it has the whole model they are left where they are,
 * else they are gathered. Every rank calls it; the others get `undefined`, and so does rank 0 where
 * its backend has no room for them.
 */
export function wholeWeights(
  backend: Pick<Backend, "alloc" | "upload" | "free">,
  { machine: { mesh, held }, plan }: {
    readonly machine: Pick<RunMachine, "mesh" | "held">;
    readonly plan: CheckpointPlan;
  },
): WholeWeights | undefined {
  const { world, sizes, coordinates } = mesh;
  if (sizes.shard * sizes.tensor * sizes.pipeline === 1) {
    if (world.rank > 0) return undefined;
    const placed = new Map(
      held.parameters.map(({ spec, weight }) =>
        [spec.name, { dtype: "f32", address: weight }] as const
      ),
    );
    return { placed, close: () => {} };
  }
  if (coordinates.data > 0) return undefined;
  const places = new Map(held.parameters.map(({ spec }, index) => [spec.name, index]));
  const store = new Store(backend);
  for (const { spec, holdings } of plan.tensors) {
    const index = places.get(spec.name);
    const values = index === undefined ? undefined : held.weight(index);
    const onFirstShard = holdings.map(({ rank, slice }) => ({
      slice,
      rank: rankOf({ ...coordinatesOf(rank, sizes), shard: 0 }, sizes),
    }));
    const tensor = { spec, writer: 0, holdings: onFirstShard };
    const whole = gatherTensor(world, { tensor, values });
    if (whole !== undefined) store.put(spec.name, whole);
  }
  return world.rank === 0 && !store.isFull ? store : undefined;
}

/** Weights as they come in; when there is no room for one, all are given back and none is taken. */
class Store implements WholeWeights {
  readonly placed: Map<string, { readonly dtype: "f32"; readonly address: Address }> = new Map();
  isFull = false;
  readonly #backend: Pick<Backend, "alloc" | "upload" | "free">;

  constructor(backend: Pick<Backend, "alloc" | "upload" | "free">) {
    this.#backend = backend;
  }

  put(name: string, values: Float32Array<ArrayBuffer>): void {
    if (this.isFull) return;
    try {
      const address = this.#backend.alloc(values.byteLength);
      this.placed.set(name, { dtype: "f32", address });
      this.#backend.upload(address, values);
    } catch (thrown) {
      // The others go on sending: this rank must go on receiving.
      if (!(thrown instanceof BackendError)) throw thrown;
      this.isFull = true;
      this.close();
    }
  }

  close(): void {
    for (const { address } of this.placed.values()) this.#backend.free(address);
    this.placed.clear();
  }
}
