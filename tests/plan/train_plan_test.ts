import assert from "node:assert/strict";
import { UsageError } from "../../lib/base/errors.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { flopsPerToken, matrixParameters, modelFlopsUtilization } from "../../lib/plan/flops.ts";
import { planTraining } from "../../lib/plan/train_plan.ts";
import { near } from "./steps.ts";

function plan(preset: string, hardware: string, devices: number, seqLen?: number) {
  const { config, recipe } = presetOf(preset);
  return planTraining({
    preset,
    model: config,
    tokens: recipe.tokens,
    seqLen: seqLen ?? recipe.seqLen,
    training: { maxRows: recipe.seqLen, dtype: "bf16" },
    machine: { hardware, devices },
  });
}

const DAY = 86_400;

Deno.test("PaLM 540B: 238.3 thousand tokens per second on 6144 TPU v4 are 46.2% of their peak", () => {
  const { mfu, tokensPerSecond } = plan("palm-540b", "tpu-v4", 6144);
  near(tokensPerSecond, 238_300, 1e-9);
  near(mfu, 0.462, 0.002);
});

Deno.test("LLaMA 65B: 380 tokens per second and GPU on 2048 A100 are 21 days for 1.4T tokens", () => {
  const { mfu, tokensPerSecond, seconds } = plan("llama1-65b", "a100-80gb", 2048);
  near(tokensPerSecond / 2048, 380, 1e-9);
  assert.equal(Math.round(seconds / DAY), 21);
  near(mfu, 0.494, 0.005);
});

Deno.test("TinyLlama: 24 thousand tokens per second are 56% of an A100", () => {
  const { mfu, seconds } = plan("tinyllama-1.1b", "a100-40gb", 16);
  near(mfu, 0.563, 0.003);
  // The paper's 3 trillion tokens on 16 of them: 90 days.
  near(seconds / DAY, 90, 0.02);
});

Deno.test("Llama 3.1 405B: 400 TFLOP/s on each of 16,384 H100 are 41% of their peak", () => {
  const { mfu } = plan("llama3.1-405b", "h100-80gb", 16_384, 8192);
  // The paper rounds down 40.4%.
  near(mfu, 0.41, 0.02);
});

Deno.test("operations per token are six per matrix parameter and twelve per layer, width and position", () => {
  const { config } = presetOf("tinyllama-1.1b");
  // 1,100,048,384 parameters, less the embedding and 45 norms.
  const matrices = 1_100_048_384 - 32_000 * 2048 - 45 * 2048;
  assert.equal(matrixParameters(config), matrices);
  const flops = flopsPerToken(config, 2048);
  assert.equal(flops.matrices, 6 * matrices);
  assert.equal(flops.attention, 12 * 22 * 2048 * 2048);
  assert.equal(flops.total, flops.matrices + flops.attention);
  const throughput = { tokensPerSecond: 1000, peakFlops: 2000 * flops.total, seqLen: 2048 };
  assert.equal(modelFlopsUtilization(config, throughput), 0.5);
});

Deno.test("a tied embedding is the head's matrix too and counts", () => {
  const { config } = presetOf("llama-15m");
  const untied = { ...config, tieWordEmbeddings: false };
  assert.equal(matrixParameters(config), matrixParameters(untied));
});

Deno.test("training takes 16 bytes per parameter in f32 and about 18 in bf16, besides activations", () => {
  const { config } = presetOf("llama-110m");
  for (const [dtype, bytes] of [["f32", 16], ["bf16", 18]] as const) {
    const planned = planTraining({
      model: config,
      tokens: 1e9,
      seqLen: 1024,
      training: { maxRows: 1024, dtype },
      machine: { peakFlops: 1e11, memory: 1e10, threads: 2 },
    });
    const { weights, gradients, moments, compute } = planned.bytes;
    near((weights + gradients + moments + compute) / planned.parameters.total, bytes, 0.001);
    assert.equal(planned.checkpointBytes, 12 * planned.parameters.total);
    near(planned.seconds, (1e9 * planned.flopsPerToken.total) / (0.5e11), 1e-9);
  }
});

Deno.test("a machine that is not known is refused with the nearest that is", () => {
  assert.throws(
    () => plan("llama1-7b", "a100-81gb", 8),
    (error: Error & { hint?: string }) =>
      error instanceof UsageError && error.hint === "did you mean a100-80gb?",
  );
});

Deno.test("where no paper says a speed, that of a step on paper counts", () => {
  const { config, recipe } = presetOf("llama2-7b");
  const options = {
    preset: "llama2-7b",
    model: config,
    tokens: recipe.tokens,
    seqLen: recipe.seqLen,
    training: { maxRows: recipe.seqLen },
    machine: { hardware: "h200", devices: 8 },
  };
  assert.equal(planTraining({ ...options, predictedMfu: 0.37 }).mfu, 0.37);
  const published = {
    ...options,
    preset: "llama1-65b",
    machine: { hardware: "a100-80gb", devices: 8 },
  };
  assert.notEqual(planTraining({ ...published, predictedMfu: 0.37 }).mfu, 0.37);
});
