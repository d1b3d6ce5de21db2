import assert from "node:assert/strict";
import { CommunicationError } from "../../lib/base/errors.ts";
import { differenceOf } from "../../lib/parallel/replica_check.ts";
import { onBackends } from "../on_backends.ts";
import { comparedRanks, type Flip } from "./replica_check_program.ts";

Deno.test("who differs from a majority is named, and of two both are", () => {
  const hashes = (...bytes: number[]) =>
    Uint8Array.from(bytes.flatMap((byte) => new Array<number>(32).fill(byte)));
  const [same, other, third] = [hashes(1, 2), hashes(1, 3), hashes(1, 4)];
  assert.equal(differenceOf([same, same, same]), undefined);
  assert.deepEqual(differenceOf([same, other, same]), { entry: 1, ranks: [1], isDecided: true });
  assert.deepEqual(differenceOf([other, same, third, same, same]), {
    ...{ entry: 1, ranks: [0, 2], isDecided: true },
  });
  assert.deepEqual(differenceOf([same, other]), { entry: 1, ranks: [0, 1], isDecided: false });
  assert.deepEqual(differenceOf([same, other, third]), {
    ...{ entry: 1, ranks: [0, 1, 2], isDecided: false },
  });
});

/** A bit that was flipped, and what all ranks must say. */
const FLIPS: readonly (Flip & { readonly says: RegExp })[] = [
  {
    ...{ mesh: "data=4", rank: 2, kind: "weight" },
    says:
      /rank 2 differs in "model\.layers\.1\.mlp\.down_proj\.weight" from the other 3, which agree$/,
  },
  {
    ...{ mesh: "data=4", rank: 0, kind: "v" },
    says: /rank 0 differs in "model\.layers\.1\.mlp\.down_proj\.weight\.v" from the other 3/,
  },
  {
    ...{ mesh: "data=2", rank: 1, kind: "m" },
    says:
      /ranks 0 and 1 differ in "[\w.]*down_proj\.weight\.m"; which of them is wrong cannot be told of two/,
  },
  // Ranks 1 and 3 own the same.
  {
    ...{ mesh: "data=2,shard=2", zero: 3, rank: 3, kind: "m" },
    says: /ranks 1 and 3 differ in "[\w.]*down_proj\.weight\.m"/,
  },
  // What was gathered is compared with everybody who gathered it.
  {
    ...{ mesh: "data=2,shard=2", zero: 1, rank: 0, kind: "weight" },
    says: /rank 0 differs in "[\w.]*down_proj\.weight" from the other 3/,
  },
];

onBackends("a flipped bit of any replica ends all of them with its rank and tensor", async (on) => {
  for (const { says, ...flip } of FLIPS) {
    await assert.rejects(comparedRanks(on.name, flip), (error) => {
      assert.ok(error instanceof CommunicationError);
      assert.match(error.message, /Cannot go on after step 2: /);
      assert.match(error.message, says);
      return true;
    });
  }
}, { quickest: true });

onBackends("replicas that compute rightly agree", async (on) => {
  for (const mesh of ["data=2,shard=2", "data=4"]) {
    for (const zero of [1, 3] as const) {
      const compared = await comparedRanks(on.name, { mesh, zero });
      assert.deepEqual(compared, [2, 2, 2, 2]);
    }
  }
}, { quickest: true });
