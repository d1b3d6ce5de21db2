import assert from "node:assert/strict";
import { EMULATED_NCCL } from "../../scripts/build_cuda.ts";
import { NO_EMULATED_GPUS } from "../comm/device/emulated_gpus.ts";
import { onBackends } from "../on_backends.ts";

const BYTES = 4 * 10_000;

onBackends("NCCL with one rank carries bytes to itself, beside the kernels", async (on) => {
  using opened = await on.open();
  const { backend } = opened;
  const link = backend.link!;
  // On a GPU it is the system's.
  const library = backend.info.isa === "emulated" ? EMULATED_NCCL : Deno.env.get("LLAMERO_NCCL");
  assert.match(link.load(library), /^\d+\.\d+\.\d+$/);
  const channel = link.open(link.uniqueId(), { rank: 0, size: 1 });
  const [from, to] = [backend.alloc(BYTES), backend.alloc(BYTES)];
  const values = Float32Array.from({ length: BYTES / 4 }, (_, i) => Math.sin(i));
  backend.upload(from, values);
  const end = link.enqueue(() => {
    channel.exchange([
      { way: "send", peer: 0, address: from, bytes: BYTES },
      { way: "receive", peer: 0, address: to, bytes: BYTES },
    ]);
    backend.kernels.add({ out: to, x: from, count: BYTES / 4 });
  });
  link.join(end);
  backend.kernels.add({ out: to, x: from, count: BYTES / 4 });
  const found = new Float32Array(BYTES / 4);
  backend.download(found, to);
  assert.ok(link.reached(end));
  const tripled = values.map((x) => Math.fround(x + x) + x);
  assert.deepEqual(found, tripled);
  channel.close();
}, { only: "cuda", gpu: true, ignored: NO_EMULATED_GPUS });

onBackends("kernels begin after the work between ranks that they joined", async (on) => {
  using opened = await on.open();
  const { backend } = opened;
  const link = backend.link!;
  const [from, to] = [backend.alloc(64), backend.alloc(64)];
  backend.upload(from, new Float32Array(16).fill(3));
  const end = link.enqueue(() => {
    backend.copy(to, from, 64);
    backend.kernels.scale({ x: to, factor: 2, count: 16 });
  });
  link.join(end);
  const found = new Float32Array(16);
  backend.download(found, to);
  assert.deepEqual(found, new Float32Array(16).fill(6));
  assert.ok(link.reached(end));
  backend.upload(from, new Float32Array(16).fill(5));
  const later = link.enqueue(() => backend.copy(to, from, 64));
  link.wait(later);
  backend.download(found, to);
  assert.deepEqual(found, new Float32Array(16).fill(5));
}, { only: "cuda", gpu: true, ignored: NO_EMULATED_GPUS });
