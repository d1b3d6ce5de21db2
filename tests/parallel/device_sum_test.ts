import assert from "node:assert/strict";
import { runLocal } from "../../lib/comm/local/run.ts";
import { onEmulatedGpus } from "../comm/device/emulated_gpus.ts";
import { PATIENCE_MS } from "../time_limits.ts";
import type { DeviceSumInput, DeviceSumResult } from "./device_sum_program.ts";

const MODULE = new URL("./device_sum_program.ts", import.meta.url);
async function replicas(ranks: number, input: Partial<DeviceSumInput>): Promise<DeviceSumResult[]> {
  const all = { shard: 1, onGpus: true, bucketBytes: 20_000, overlap: true, ...input };
  return await runLocal<DeviceSumResult, DeviceSumInput>(MODULE, {
    ranks,
    input: all,
    timeLimitMs: PATIENCE_MS,
  });
}

onEmulatedGpus(
  "gradients are added up on GPUs to the bits that the processor's memory gives",
  async () => {
    for (const ranks of [2, 4]) {
      const host = await replicas(ranks, { onGpus: false });
      const device = await replicas(ranks, {});
      assert.deepEqual(host.map(({ connected }) => connected), new Array(ranks).fill(false));
      assert.deepEqual(device.map(({ connected }) => connected), new Array(ranks).fill(true));
      for (const { gradients } of device) assert.deepEqual(gradients, host[0]!.gradients);
    }
  },
);

onEmulatedGpus("what GPUs send for a sum is what the processor's memory would", async () => {
  const [host] = await replicas(4, { onGpus: false, bucketBytes: 2 ** 25 });
  const [device] = await replicas(4, { bucketBytes: 2 ** 25 });
  assert.equal(device!.hostBytes, 0);
  assert.equal(device!.deviceBytes, host!.hostBytes);
});

onEmulatedGpus("replicas' gradients on GPUs are those of one rank", async () => {
  const [whole] = await replicas(1, {});
  for (const ranks of [2, 4]) {
    const [found] = await replicas(ranks, {});
    whole!.gradients.forEach((wanted, index) => {
      const largest = wanted.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
      const got = found!.gradients[index]!;
      got.forEach((g, i) => assert.ok(Math.abs(g - wanted[i]!) <= 2e-5 * largest, `${index}`));
    });
  }
});

onEmulatedGpus("who owns a part gets its sum on GPUs, over shards and between twins", async () => {
  const whole = await replicas(4, { onGpus: false });
  for (const shard of [2, 4]) {
    const results = await replicas(4, { shard });
    for (const { own, gradients } of results) {
      assert.ok(own.length > 0);
      for (const [parameter, first, count] of own) {
        const wanted = whole[0]!.gradients[parameter]!.subarray(first, first + count);
        assert.deepEqual(gradients[parameter]!.subarray(first, first + count), wanted);
      }
    }
  }
});

onEmulatedGpus("buckets and when they leave change no bit on GPUs", async () => {
  const [small] = await replicas(2, { bucketBytes: 4000 });
  const [late] = await replicas(2, { bucketBytes: 2 ** 25, overlap: false });
  assert.deepEqual(small!.gradients, late!.gradients);
});
