/** What a rank of the tests of comparisons between ranks does. */

import type { Communicator } from "../../lib/comm/communicator.ts";
import { Mesh, parseMesh } from "../../lib/comm/mesh.ts";
import type { Parameter } from "../../lib/model/training/trainable.ts";
import { agree, type Facts } from "../../lib/train/agreement.ts";
import { replicaCheck } from "../../lib/train/compared.ts";

/** What the rank is given. */
export type ChecksInput =
  | { readonly facts: readonly Facts[] }
  | { readonly mesh: string; readonly weights: readonly (readonly number[])[] };

/** The message of the check, or nothing where all are alike. */
export function run(world: Communicator, input: ChecksInput): string | undefined {
  try {
    if ("facts" in input) agree(world, input.facts[world.rank]!);
    else {
      const mesh = new Mesh(world, parseMesh(input.mesh));
      const own = Float32Array.from(input.weights[world.rank]!);
      const backend = { download: (target: ArrayBufferView) => (target as Float32Array).set(own) };
      const spec = { names: { huggingFace: "tensor" } };
      const parameters = [{ spec } as Parameter];
      const owned = [{ parameter: 0, first: 0, count: own.length, weight: 1, m: 1, v: 1 }];
      const parts = { mesh, parameters, optimizer: { owned }, isResident: false };
      replicaCheck(backend, parts).check(200);
    }
  } catch (thrown) {
    return (thrown as Error).message;
  }
}
