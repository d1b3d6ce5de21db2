import type { GgufValue } from "../../lib/formats/gguf_types.ts";
import { f32, withFolder } from "../formats/folder.ts";
import { type Refusal, refused, reshaped } from "./refused.ts";
import { ggufMetadata, tensor, type Tensors, tensors, writeGgufModel } from "./small_model.ts";

/** Registers a test over a GGUF file with one thing spoilt. */
function gguf(
  what: string,
  wanted: Refusal,
  spoil: {
    readonly metadata?: Record<string, GgufValue>;
    readonly tensors?: (all: Tensors) => void;
  },
): void {
  Deno.test(`a GGUF model is refused: ${what}`, async () => {
    await withFolder(async (folder) => {
      const all = tensors("gguf");
      spoil.tensors?.(all);
      const metadata = ggufMetadata();
      for (const [key, value] of Object.entries(spoil.metadata ?? {})) metadata.set(key, value);
      await refused(await writeGgufModel(folder, { metadata, tensors: all }), wanted);
    });
  });
}

const number = (value: number): GgufValue => ({ type: "u32", value });
const text = (value: string): GgufValue => ({ type: "string", value });

gguf("another architecture", {
  kind: "ConfigError",
  message: /model\.gguf": its architecture is "qwen2", "llama" was wanted/,
}, { metadata: { "general.architecture": text("qwen2") } });
gguf("a mixture of experts", {
  kind: "ConfigError",
  message: /the key "llama\.expert_count" is 8/,
}, { metadata: { "llama.expert_count": number(8) } });
gguf("attention to what comes later", {
  kind: "ConfigError",
  message: /the key "llama\.attention\.causal" is false, true \(attention to what came before\)/,
}, { metadata: { "llama.attention.causal": { type: "bool", value: false } } });
gguf("no heads", {
  kind: "ConfigError",
  message: /"llama\.attention\.head_count" is 0/,
}, { metadata: { "llama.attention.head_count": number(0) } });
gguf("heads that do not divide the width", {
  kind: "ConfigError",
  message: /"llama\.embedding_length" is 8, a multiple of the 3 heads/,
}, { metadata: { "llama.attention.head_count": number(3) } });
gguf("kv heads that do not divide", {
  kind: "ConfigError",
  message: /"llama\.attention\.head_count_kv" is 0, a whole number from 1/,
}, { metadata: { "llama.attention.head_count_kv": number(0) } });
gguf("kv heads that differ by layer", {
  kind: "ConfigError",
  message: /"llama\.attention\.head_count_kv" is \[1, 2, …\], the same number in all layers/,
}, {
  metadata: {
    "llama.attention.head_count_kv": { type: "array", of: "i32", value: Int32Array.of(1, 2) },
  },
});
gguf("eps of NaN", {
  kind: "ConfigError",
  message: /"llama\.attention\.layer_norm_rms_epsilon" is NaN/,
}, { metadata: { "llama.attention.layer_norm_rms_epsilon": { type: "f32", value: NaN } } });
gguf("a width of the wrong type", {
  kind: "FormatError",
  message: /the key "llama\.embedding_length" is of type string, wanted an integer/,
}, { metadata: { "llama.embedding_length": text("8") } });
gguf("an absurd number of layers", {
  kind: "ConfigError",
  message: /"llama\.block_count" is 4294967295, a whole number from 1 to 8192/,
}, { metadata: { "llama.block_count": number(0xffffffff) } });
gguf("another rope scaling", {
  kind: "ConfigError",
  message: /"llama\.rope\.scaling\.type" is "longrope", "linear", "yarn" or "none" was wanted/,
}, { metadata: { "llama.rope.scaling.type": text("longrope") } });
gguf("rotary positions over a part of the head", {
  kind: "ConfigError",
  message: /"llama\.rope\.dimension_count" is 2, the head's width \(4\)/,
}, { metadata: { "llama.rope.dimension_count": number(2) } });
gguf("a vocabulary that is not the embedding's", {
  kind: "ShapeError",
  message: /"token_embd\.weight" has shape \[16, 8\], its metadata wants \[17, 8\]/,
}, { metadata: { "llama.vocab_size": number(17) } });
gguf("an ending token outside the vocabulary", {
  kind: "ConfigError",
  message: /"tokenizer\.ggml\.eos_token_id" is 16, a token id below the vocabulary's size \(16\)/,
}, { metadata: { "tokenizer.ggml.eos_token_id": number(16) } });
gguf("a missing tensor", {
  kind: "FormatError",
  message: /"blk\.1\.ffn_down\.weight" is missing, its metadata wants \[8, 12\]/,
}, { tensors: (all) => all.delete("blk.1.ffn_down.weight") });
gguf("a quantized norm", {
  kind: "FormatError",
  message: /"output_norm\.weight" is q8_0, a weight of f32, f16 or bf16 was wanted/,
}, {
  metadata: { "llama.embedding_length": number(32) },
  tensors: (all) => {
    for (const [name, { shape }] of [...all]) {
      all.set(name, tensor(name, shape.map((extent) => extent === 8 ? 32 : extent)));
    }
    for (const layer of [0, 1]) {
      for (const name of ["attn_k", "attn_v"]) {
        const full = `blk.${layer}.${name}.weight`;
        all.set(full, tensor(full, [16, 32]));
      }
    }
    const name = "output_norm.weight";
    all.set(name, { name, dtype: "q8_0", shape: [32], data: new Uint8Array(34) });
  },
});
gguf("rope factors of another rule", {
  kind: "ConfigError",
  message: /factors of tensor "rope_freqs\.weight" are not those of Llama 3\.1's rule/,
}, {
  tensors: (all) => {
    const name = "rope_freqs.weight";
    all.set(name, { name, dtype: "f32", shape: [2], data: f32(1.5, 2) });
  },
});
gguf("rope factors that are no vector", {
  kind: "FormatError",
  message: /"rope_freqs\.weight" is f32 \[2, 1\], a short vector of f32 was wanted/,
}, { tensors: reshaped("rope_freqs.weight", 2, 1) });
