import { deepStrictEqual, notDeepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { ModelConfig } from "../../lib/model/config.ts";
import { initialWeights } from "../../lib/model/init.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { weightSpecs } from "../../lib/model/weights.ts";

const LLAMA = presetOf("debug").config;
const PALM: ModelConfig = { ...LLAMA, architecture: "palm", norm: "layer", parallelBlock: true };

/** All values of every weight, copied before the next piece overwrites them. */
function drawAll(config: ModelConfig, seed: number): Map<string, Float32Array> {
  const specs = weightSpecs(config).map(({ name, shape }) => {
    return [name, new Float32Array(shape.reduce((a, b) => a * b, 1))] as const;
  });
  const all = new Map(specs);
  for (const { spec, first, values } of initialWeights(config, seed)) {
    all.get(spec.name)!.set(values, first);
  }
  return all;
}

/** Fails unless values look drawn from N(0, deviation^2): mean, spread and tails. */
function assertNormal(name: string, values: Float32Array, deviation: number): void {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const square = values.reduce((sum, value) => sum + value * value, 0) / n;
  const outside = values.filter((value) => Math.abs(value) > 2 * deviation).length / n;
  // Five standard errors of each.
  ok(Math.abs(mean) < 5 * deviation / Math.sqrt(n), `${name}: mean ${mean}`);
  const spread = Math.sqrt(square) / deviation;
  ok(Math.abs(spread - 1) < 5 / Math.sqrt(2 * n), `${name}: spread ${spread}`);
  ok(Math.abs(outside - 0.0455) < 5 * Math.sqrt(0.0455 / n), `${name}: ${outside} beyond two`);
}

Deno.test("Llama starts as GPT-2: 0.02, less by sqrt(2 layers) where it adds to the stream, norms 1", () => {
  const weights = drawAll(LLAMA, 1);
  strictEqual(weights.size, weightSpecs(LLAMA).length);
  for (const { name, role, shape } of weightSpecs(LLAMA)) {
    const values = weights.get(name)!;
    if (shape.length === 1) ok(values.every((value) => value === 1), name);
    else {
      const adds = role === "attention.output" || role === "feed_forward.down";
      assertNormal(name, values, adds ? 0.01 : 0.02);
    }
  }
});

Deno.test("PaLM starts with 1 / sqrt(inputs), its embedding with 1, norms 1", () => {
  const weights = drawAll(PALM, 1);
  for (const { name, role, shape } of weightSpecs(PALM)) {
    const values = weights.get(name)!;
    if (shape.length === 1) ok(values.every((value) => value === 1), name);
    else assertNormal(name, values, role === "embedding" ? 1 : 1 / Math.sqrt(shape[1]!));
  }
});

Deno.test("first weights depend on the seed and on nothing else, and no two tensors are alike", () => {
  deepStrictEqual(drawAll(LLAMA, 5), drawAll(LLAMA, 5));
  const [one, other] = [drawAll(LLAMA, 5), drawAll(LLAMA, 6)];
  notDeepStrictEqual(one.get("embedding"), other.get("embedding"));
  notDeepStrictEqual(one.get("layers.0.attention.q"), one.get("layers.1.attention.q"));
  notDeepStrictEqual(
    one.get("layers.0.feed_forward.gate"),
    one.get("layers.0.feed_forward.up"),
  );
});

Deno.test("a weight of more than a million elements does not repeat itself", () => {
  const embedding = drawAll({ ...LLAMA, vocabSize: 20_000 }, 5).get("embedding")!;
  assertNormal("embedding", embedding, 0.02);
  const piece = 1 << 20;
  ok(embedding.length > piece);
  notDeepStrictEqual(embedding.slice(piece, piece + 1000), embedding.slice(0, 1000));
});
