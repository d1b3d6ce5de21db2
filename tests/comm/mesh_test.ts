import assert from "node:assert/strict";
import { ConfigError, UsageError } from "../../lib/base/errors.ts";
import { alone } from "../../lib/comm/group.ts";
import {
  checkDivisions,
  coordinatesOf,
  Mesh,
  meshSize,
  meshText,
  parseMesh,
  rankOf,
} from "../../lib/comm/mesh.ts";
import { onTransports } from "./on_transports.ts";

const ONE = { data: 1, shard: 1, tensor: 1, pipeline: 1 };

Deno.test("a mesh is read as users write it, and written shortest", () => {
  assert.deepEqual(parseMesh("data=2,tensor=4"), { ...ONE, data: 2, tensor: 4 });
  assert.deepEqual(parseMesh(" pipeline = 3 , shard=1"), { ...ONE, pipeline: 3 });
  assert.equal(meshText(parseMesh("pipeline=3,data=2,shard=1")), "data=2,pipeline=3");
  assert.equal(meshText(ONE), "data=1");
  assert.equal(meshSize(parseMesh("data=2,shard=2,tensor=2,pipeline=2")), 16);
});

Deno.test("a mesh that cannot be read is refused with what is wrong", () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["", /"" is not of the form axis=size/],
    ["data=2,", /"" is not of the form axis=size/],
    ["data", /"data" is not of the form axis=size/],
    ["date=2", /"date" is no axis; there are data, shard, tensor, pipeline/],
    ["data=2,data=2", /"data" is named twice/],
    ["data=0", /"data" is "0"; whole numbers from 1/],
    ["data=-1", /"data" is "-1"/],
    ["data=1.5", /"data" is "1.5"/],
    ["data=", /"data" is ""/],
    ["data=2=2", /"data" is "2=2"/],
    ["data=9999,tensor=9999", /it has 99980001 ranks/],
    ["data=1\u001b[31m", /\\u001b/],
  ];
  for (const [text, wanted] of cases) {
    assert.throws(() => parseMesh(text), (error) => {
      assert.ok(error instanceof UsageError, text);
      assert.match(error.message, wanted);
      return true;
    });
  }
  assert.throws(() => parseMesh("date=2"), { hint: "--mesh data=…" });
});

Deno.test("every rank has coordinates of its own, and neighbours share a tensor axis", () => {
  const sizes = parseMesh("data=3,shard=2,tensor=4,pipeline=2");
  const seen = new Set<string>();
  for (let rank = 0; rank < meshSize(sizes); rank++) {
    const coordinates = coordinatesOf(rank, sizes);
    assert.equal(rankOf(coordinates, sizes), rank);
    seen.add(JSON.stringify(coordinates));
  }
  assert.equal(seen.size, 48);
  assert.deepEqual(coordinatesOf(5, sizes), { data: 0, shard: 1, tensor: 1, pipeline: 0 });
  assert.deepEqual(coordinatesOf(24, sizes), { data: 0, shard: 0, tensor: 0, pipeline: 1 });
  assert.throws(() => coordinatesOf(48, sizes), RangeError);
  assert.throws(() => rankOf({ ...ONE, data: 3 }, sizes), /data 3 of 3/);
});

onTransports("a mesh's axes connect the ranks that differ in one coordinate", async ({ run }) => {
  const results = await run(8, { program: "mesh", mesh: "data=2,tensor=2,pipeline=2" });
  // By hand: tensor neighbours differ by 1, replicas by 2, stages by 4.
  assert.deepEqual(results[6], {
    coordinates: { data: 1, shard: 0, tensor: 0, pipeline: 1 },
    groups: { data: [4, 6], shard: [6], tensor: [6, 7], pipeline: [2, 6], replicas: [4, 6] },
  });
});

onTransports("replicas are the ranks of data and shard together", async ({ run }) => {
  const input = { program: "mesh", mesh: "data=2,shard=2,tensor=2" };
  const results = await run<{ groups: Record<string, number[]> }>(8, input);
  assert.deepEqual(results[3]!.groups["replicas"], [1, 3, 5, 7]);
  assert.deepEqual(results[3]!.groups["shard"], [1, 3]);
  assert.deepEqual(results[3]!.groups["data"], [3, 7]);
});

Deno.test("a mesh of another number of ranks than there are is refused", () => {
  const wanted = 'Cannot use mesh "data=2,tensor=2": it has 4 ranks and there is 1 rank';
  assert.throws(() => new Mesh(alone(), parseMesh("data=2,tensor=2")), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.equal(error.message, wanted);
    return true;
  });
  assert.equal(new Mesh(alone(), ONE).replicas.size, 1);
});

Deno.test("a mesh must divide what it cuts", () => {
  const fits = {
    ...{ layers: 5, heads: 32, kvHeads: 4, intermediateSize: 5632 },
    batchSize: 12,
  };
  const check = (mesh: string, change = {}) =>
    checkDivisions(parseMesh(mesh), { ...fits, ...change });
  check("data=3,shard=2,tensor=4,pipeline=5");
  // Two ranks have the same one of four key and value heads; PaLM has one for all.
  check("tensor=8");
  check("tensor=32", { kvHeads: 1 });
  const gqa = { heads: 24, kvHeads: 3, intermediateSize: 96 };
  const narrow = { intermediateSize: 10 };
  const cases: readonly (readonly [string, object, string, string])[] = [
    ["tensor=3", {}, '"tensor=3": tensor=3 does not divide 32 heads', "tensor=2 or 4"],
    ["tensor=8", gqa, "tensor=8 and 3 key and value heads: neither divides", "tensor=6 or 12"],
    ["tensor=4", narrow, "tensor=4 does not divide 10 columns of the feed-", "tensor=2"],
    ["pipeline=6", {}, "pipeline=6 stages for 5 layers", "pipeline=5 at most"],
    [
      "data=5,shard=2",
      {},
      "data=5 times shard=2 does not divide 12 sequences of a step",
      "data times shard of 6 or 12, or another --batch-tokens",
    ],
  ];
  for (const [mesh, change, wanted, hint] of cases) {
    assert.throws(() => check(mesh, change), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.ok(error.message.includes(wanted), error.message);
      assert.equal(error.hint, hint);
      return true;
    });
  }
});
