import assert from "node:assert/strict";
import { EMULATED_LIBRARY, EMULATED_NCCL } from "../../scripts/build_cuda.ts";
import { onEmulatedGpus } from "../comm/device/emulated_gpus.ts";
import { runCli } from "./run_cli.ts";

interface Report {
  readonly processor: { readonly threads: number };
  readonly backends: readonly {
    readonly name: string;
    readonly available: boolean;
    readonly reason: string;
    readonly features?: readonly string[];
  }[];
  readonly gpu: { readonly devices: readonly unknown[]; readonly reason: string };
  readonly mpi: { readonly available: boolean; readonly reason: string };
  readonly nccl: { readonly available: boolean; readonly reason: string };
}

async function report(env: Readonly<Record<string, string>> = {}): Promise<Report> {
  const { code, stdout, stderr } = await runCli(["doctor", "--json"], { env });
  assert.deepEqual([code, stderr], [0, ""]);
  assert.equal(stdout.trimEnd().split("\n").length, 1);
  return JSON.parse(stdout) as Report;
}

Deno.test("doctor --json names every backend once, with a reason for each", async () => {
  const { backends } = await report();
  assert.deepEqual(backends.map((backend) => backend.name).sort(), ["cuda", "native", "wasm"]);
  for (const backend of backends) {
    assert.equal(typeof backend.available, "boolean");
    assert.notEqual(backend.reason, "", backend.name);
    assert.equal(backend.features !== undefined, backend.available, backend.name);
  }
});

Deno.test("doctor finds the WebAssembly backend on every machine", async () => {
  const { backends, processor } = await report();
  assert.equal(backends.find((backend) => backend.name === "wasm")?.available, true);
  assert.ok(processor.threads >= 1);
});

Deno.test("doctor says why there is no GPU and no MPI, or what there is", async () => {
  const { gpu, mpi } = await report();
  assert.notEqual(gpu.reason, "");
  assert.equal(gpu.devices.length > 0, gpu.reason === "ready");
  assert.notEqual(mpi.reason, "");
});

onEmulatedGpus("doctor shows NCCL's version, or why there is none", async () => {
  const cuda = { LLAMERO_CUDA: EMULATED_LIBRARY };
  const found = await report({ ...cuda, LLAMERO_NCCL: EMULATED_NCCL });
  assert.deepEqual(found.nccl, { available: true, reason: "NCCL 2.28.0" });
  assert.equal(found.backends.find(({ name }) => name === "cuda")?.available, true);
  const { nccl } = await report({ ...cuda, LLAMERO_NCCL: "/nowhere/libnccl.so.2" });
  assert.equal(nccl.available, false);
  assert.match(
    nccl.reason,
    /"\/nowhere\/libnccl.so.2" is not installed|is not installed; pip install/,
  );
});

Deno.test("doctor's page for people names every backend", async () => {
  const { code, stdout } = await runCli(["doctor"]);
  assert.equal(code, 0);
  for (const name of ["cuda", "native", "wasm", "processor", "memory", "NCCL", "MPI"]) {
    assert.match(stdout, new RegExp(`^${name}\\s`, "m"));
  }
});
