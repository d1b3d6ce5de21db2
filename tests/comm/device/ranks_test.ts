import assert from "node:assert/strict";
import { CommunicationError } from "../../../lib/base/errors.ts";
import { runLocal } from "../../../lib/comm/local/run.ts";
import { TreeSum } from "../../../lib/comm/tree_sum.ts";
import { PATIENCE_MS } from "../../time_limits.ts";
import { type DeviceInput, type DeviceResult, ELEMENTS, numberOf } from "./device_program.ts";
import { onEmulatedGpus } from "./emulated_gpus.ts";

const MODULE = new URL("./device_program.ts", import.meta.url);

function onRanks<R = DeviceResult>(ranks: number, input: DeviceInput): Promise<R[]> {
  return runLocal<R, DeviceInput>(MODULE, { ranks, input, timeLimitMs: PATIENCE_MS });
}

function vectorOf(rank: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: ELEMENTS }, (_, i) => numberOf(rank, i));
}

onEmulatedGpus(
  "collectives on GPUs copy what they should and sum in the order of ranks",
  async () => {
    for (const size of [2, 3, 4]) {
      const tree = new TreeSum("sum");
      for (let rank = 0; rank < size; rank++) tree.add(vectorOf(rank));
      const sum = tree.finish();
      const results = await onRanks<Record<string, Float32Array>>(size, { program: "collectives" });
      results.forEach(({ sum: found, part, gathered, copied, received }, rank) => {
        assert.deepEqual(found, sum);
        assert.deepEqual(copied, vectorOf(size - 1));
        assert.deepEqual(received, vectorOf((rank + size - 1) % size));
        const [first, end] = partOf(rank, size);
        const own = vectorOf(rank);
        own.set(sum.subarray(first, end), first);
        assert.deepEqual(part, own);
        const pieces = Array.from(
          { length: size },
          (_, r) => vectorOf(r).subarray(...partOf(r, size)),
        );
        assert.deepEqual([...gathered!], pieces.flatMap((piece) => [...piece]));
      });
    }
  },
);

function partOf(rank: number, size: number): [number, number] {
  const rest = ELEMENTS - 3 * (size - 1);
  return rank === 0 ? [0, rest] : [rest + 3 * (rank - 1), rest + 3 * rank];
}

onEmulatedGpus(
  "a rank that fails while others wait on GPUs is named, and nobody hangs",
  async () => {
    await assert.rejects(onRanks(3, { program: "absent" }), (error) => {
      assert.ok(error instanceof CommunicationError);
      assert.match(error.message, /rank 1 failed: out of paper/);
      return true;
    });
  },
);

onEmulatedGpus(
  "a rank that does not come to the GPUs ends the wait after the time limit",
  async () => {
    await assert.rejects(
      onRanks(2, { program: "silent" }),
      /rank 0 failed: Rank 0 cannot go on in "world": other GPUs have not come for 1.5 s/,
    );
  },
);

onEmulatedGpus("ranks that share a GPU, or leave NCCL out, are not connected", async () => {
  const shared = await onRanks(2, { program: "connect", sharedGpu: true });
  assert.deepEqual(shared, ["not connected", "not connected"]);
  const off = await onRanks(2, { program: "connect", nccl: "off" });
  assert.deepEqual(off, ["not connected", "not connected"]);
  assert.deepEqual(await onRanks(1, { program: "connect" }), ["not connected"]);
});

onEmulatedGpus(
  "where NCCL is missing or too old, GPUs are not connected and it is said why",
  async () => {
    await assert.rejects(
      onRanks(2, { program: "connect", nccl: "/nowhere/libnccl.so" }),
      (error) => {
        assert.ok(error instanceof CommunicationError);
        const why =
          /Cannot connect 2 GPUs: rank 0: Cannot load "\/nowhere\/libnccl.so": .* is not installed/;
        assert.match(error.message, why);
        assert.match(error.hint ?? "", /pip install nvidia-nccl-cu13/);
        return true;
      },
    );
    Deno.env.set("LLAMERO_FAKE_NCCL_VERSION", "2708");
    try {
      await assert.rejects(
        onRanks(2, { program: "connect" }),
        /NCCL 2\.7\.8 is too old: 2\.18 is the oldest/,
      );
    } finally {
      Deno.env.delete("LLAMERO_FAKE_NCCL_VERSION");
    }
  },
);
