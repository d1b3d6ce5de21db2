import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { onBackends } from "../on_backends.ts";
import { runCli } from "./run_cli.ts";

onBackends("bench kernels times what is named beside the machine's limits", async (on) => {
  const args = ["bench", "kernels", "swiglu", "--backend", on.name, "--threads", "1"];
  const { code, stdout, stderr } = await runCli([...args, "--repeat", "3", "--json"]);
  deepStrictEqual([code, stderr], [0, ""]);
  const { kernels, limits, backend } = JSON.parse(stdout);
  deepStrictEqual(kernels.map((k: { kernel: string }) => k.kernel), ["swiglu"]);
  deepStrictEqual([backend.name, backend.threads], [on.name, 1]);
  const [{ median_ms, min_ms, max_ms, rate, unit, share }] = kernels;
  ok(0 < min_ms && min_ms <= median_ms && median_ms <= max_ms);
  // Two inputs and an output of 4096 x 4096 floats.
  strictEqual(unit, "B/s");
  ok(Math.abs(rate * median_ms / 1000 - 3 * 4096 * 4096 * 4) < 1);
  ok(Math.abs(share - rate / limits.bytes_per_second) < 1e-9);
});

onBackends("bench kernels compares two threads with one", async (on) => {
  const args = ["bench", "kernels", "swiglu", "--backend", on.name, "--threads", "2"];
  const { code, stdout } = await runCli([...args, "--repeat", "1", "--scaling", "--json"]);
  strictEqual(code, 0);
  const { kernels: [{ scaling }], limits, limits_one_thread } = JSON.parse(stdout);
  const gained = limits.bytes_per_second / limits_one_thread.bytes_per_second;
  ok(scaling.gain > 0 && Math.abs(scaling.gain / gained - scaling.share) < 1e-9);
});

Deno.test("bench kernels refuses a kernel that it does not know, and suggests one", async () => {
  const { code, stderr } = await runCli(["bench", "kernels", "matmull"]);
  strictEqual(code, 2);
  match(stderr, /matmull/);
  match(stderr, /matmul\b/);
});
