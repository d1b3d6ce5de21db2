import assert from "node:assert/strict";
import { UsageError } from "../../lib/base/errors.ts";
import { HARDWARE_NAMES, hardwareOf } from "../../lib/plan/hardware.ts";

Deno.test("devices are known as papers and makers write them", () => {
  const spellings = {
    "a100-40gb": ["A100-40G", "a100-40g", "A100 40GB"],
    "a100-80gb": ["A100-80G", "a100_80gb"],
    "h100-80gb": ["H100", "h100-80g"],
    "h200": ["H200", "h200-141gb"],
    "tpu-v4": ["TPU v4", "tpuv4", "TPU-V4"],
  };
  for (const [name, others] of Object.entries(spellings)) {
    for (const spelling of [name, ...others]) assert.equal(hardwareOf(spelling).name, name);
  }
  assert.deepEqual(Object.keys(spellings), HARDWARE_NAMES);
});

Deno.test("an unknown device is refused with the nearest known one", () => {
  assert.throws(() => hardwareOf("h10"), (error: unknown) => {
    assert.ok(error instanceof UsageError);
    assert.match(error.message, /"h10"/);
    return true;
  });
});
