import assert from "node:assert/strict";
import { isQuantized, mixtureType } from "../../lib/quant/mixture.ts";
import type { QuantizedModel } from "../../lib/quant/mixture.ts";

const small: QuantizedModel = { layers: 12, headsPerKvHead: 1, tied: true, importance: false };

function types(
  mixture: Parameters<typeof mixtureType>[1]["mixture"],
  part: string,
  model: QuantizedModel,
  columns = 768,
): string {
  const layers = Array.from({ length: model.layers }, (_, layer) => {
    const tensor = { name: `blk.${layer}.${part}.weight`, columns };
    return mixtureType(tensor, { mixture, model });
  });
  return layers.join(" ");
}

Deno.test("norms and vectors stay as they are", () => {
  assert.equal(isQuantized("blk.0.attn_norm.weight", [64]), false);
  assert.equal(isQuantized("output_norm.weight", [64, 64]), false);
  assert.equal(isQuantized("rope_freqs.weight", [32]), false);
  assert.equal(isQuantized("blk.0.attn_q.weight", [64, 64]), true);
});

Deno.test("the output matrix, or the embedding in its place, has more bits", () => {
  const of = (name: string, mixture: "q4_k_m" | "q8_0" | "q4_0", model = small, columns = 768) =>
    mixtureType({ name, columns }, { mixture, model });
  assert.equal(of("token_embd.weight", "q4_k_m"), "q6_k");
  assert.equal(of("token_embd.weight", "q8_0"), "q8_0");
  assert.equal(of("token_embd.weight", "q4_k_m", { ...small, tied: false }), "q4_k");
  assert.equal(of("output.weight", "q4_0", { ...small, tied: false }), "q6_k");
  assert.equal(of("output.weight", "q4_0", { ...small, tied: false }, 288), "q8_0");
});

Deno.test("q4_k_m gives six bits to the outer eighths and every third layer between", () => {
  const more = "q6_k q4_k q4_k q6_k q4_k q4_k q6_k q4_k q4_k q6_k q6_k q6_k";
  assert.equal(types("q4_k_m", "attn_v", small), more);
  assert.equal(types("q4_k_m", "ffn_down", small), more);
  assert.equal(types("q4_k_m", "attn_q", small), Array(12).fill("q4_k").join(" "));
});

Deno.test("rows that blocks do not divide fall back to smaller blocks, then to f16", () => {
  assert.equal(types("q4_k_s", "attn_q", { ...small, layers: 1 }, 288), "q5_0");
  assert.equal(types("q6_k", "attn_q", { ...small, layers: 1 }, 288), "q8_0");
  assert.equal(types("q3_k_s", "attn_q", { ...small, layers: 1 }, 96), "q4_0");
  assert.equal(types("q4_0", "attn_q", { ...small, layers: 1 }, 100), "f16");
});

Deno.test("few kv heads and 80 layers earn the values more bits", () => {
  const grouped = { ...small, headsPerKvHead: 8, layers: 80, tied: false };
  assert.equal(types("q2_k", "attn_v", { ...grouped, layers: 2 }), "q4_k q4_k");
  assert.equal(types("q2_k", "attn_v", { ...small, layers: 2 }), "q3_k q3_k");
  assert.ok(types("q4_k_s", "attn_v", grouped).split(" ").every((type) => type === "q5_k"));
});
