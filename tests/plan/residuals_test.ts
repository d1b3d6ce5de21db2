import assert from "node:assert/strict";
import { efficiencyOf } from "../../lib/plan/efficiency.ts";
import { CHIPS } from "../../lib/plan/hardware.ts";
import { readFileSync } from "node:fs";
import { fitSustained, heldOutResiduals, residuals } from "../../lib/plan/residuals.ts";
import { flopsPerToken } from "../../lib/plan/flops.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { meshSize } from "../../lib/comm/mesh.ts";
import { PUBLISHED_RUNS } from "../../lib/plan/published.ts";

const all = residuals();

/** What the papers say, written down here once more. */
const PAPERS: readonly (readonly [string, number, string, number])[] = [
  ["llama1-65b", 2048, "tokens/s/device", 380],
  ["tinyllama-1.1b", 16, "tokens/s/device", 24_000],
  ["llama3.1-405b", 16_384, "TFLOP/s/device", 400],
  ["llama3.1-405b", 8192, "TFLOP/s/device", 430],
  ["palm-540b", 6144, "% MFU", 46.2],
  ["palm-540b", 6144, "x one pod", 1.95],
];

for (const [preset, devices, unit, published] of PAPERS) {
  Deno.test(`${preset} on ${devices} devices: ${published} ${unit} within 10% on paper`, () => {
    const found = all.find(({ run, unit: own }) =>
      run.preset === preset && run.devices === devices && own === unit
    );
    assert.ok(found !== undefined, "no such figure");
    assert.ok(Math.abs(found.predicted / published - 1) <= 0.1, `${found.predicted}`);
  });
}

Deno.test("each chip has one fitted constant, and it is the one that fits best", () => {
  for (const chip of CHIPS) {
    const { sustained, fits } = efficiencyOf(chip);
    assert.ok(Math.abs(fitSustained(chip) - sustained) <= 0.005, chip);
    const presets = all.flatMap(({ run }) => fits.includes(run.preset) ? [run.preset] : []);
    assert.ok(presets.length >= 2, `${chip}: fewer figures than would test a fit of one constant`);
  }
});

Deno.test("published steps have the devices, and their ranks the sequences, that they say", () => {
  for (const { devices, step, preset } of PUBLISHED_RUNS) {
    assert.equal(meshSize(step.mesh), devices, preset);
    const replicas = step.mesh.data * step.mesh.shard;
    assert.equal(step.sequences % (replicas * step.microBatch), 0, preset);
  }
});

Deno.test("PaLM's hardware utilization, 57.8%, is its 46.2% and what full recomputation adds", () => {
  const { config } = presetOf("palm-540b");
  const { hiddenSize: D, numAttentionHeads: H, numKeyValueHeads: K, headDim: E } = config;
  const again = (H + 2 * K) * E * D + 2 * D * config.intermediateSize;
  const recomputed = config.numHiddenLayers * (2 * again + 4 * H * E * 2048);
  const used = all.find(({ unit }) => unit === "% MFU")!.predicted;
  const hardware = used * (1 + recomputed / flopsPerToken(config, 2048).total);
  assert.ok(Math.abs(hardware / 57.8 - 1) <= 0.05, `${hardware}`);
});

Deno.test("the errors that the docs print are those that come out", () => {
  const docs = readFileSync(new URL("../../docs/step_on_paper.md", import.meta.url), "utf8");
  const printed = [...docs.matchAll(/\|\s+([+-][\d.]+)% \|/g)].map(([, percent]) =>
    Number(percent)
  );
  const errors = [...all, ...heldOutResiduals()].map(({ error }) => 100 * error);
  assert.equal(printed.length, errors.length);
  errors.forEach((error, at) =>
    assert.ok(Math.abs(error - printed[at]!) < 0.06, `${at}: ${error}`)
  );
});
