/**
 * A very small Llama as files, for tests that spoil one thing at a time.
 *
 * @module
 */

import { join } from "node:path";
import type { GgufValue } from "../../lib/formats/gguf_types.ts";
import { writeGguf } from "../../lib/formats/gguf_write.ts";
import { writePytorch } from "../../lib/formats/pytorch_write.ts";
import { writeSafetensors } from "../../lib/formats/safetensors_write.ts";
import type { TensorSource } from "../../lib/formats/tensor_file.ts";

/** A config.json as a value. */
export type Json = Record<string, unknown>;

/** Two layers, two heads, one key/value head, untied. */
export const CONFIG: Json = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  bos_token_id: 1,
  eos_token_id: 2,
  hidden_act: "silu",
  hidden_size: 8,
  intermediate_size: 12,
  max_position_embeddings: 32,
  num_attention_heads: 2,
  num_hidden_layers: 2,
  num_key_value_heads: 1,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
  vocab_size: 16,
};

/** The same model as Meta says it; `multiple_of` makes the feed-forward width of 12 rows out of 21. */
export const PARAMS: Json = {
  dim: 8,
  n_layers: 2,
  n_heads: 2,
  n_kv_heads: 1,
  vocab_size: -1,
  multiple_of: 12,
  ffn_dim_multiplier: 0.5,
  norm_eps: 1e-5,
};

type Shapes = readonly (readonly [name: string, ...shape: number[]])[];

const HF_BLOCK: Shapes = [
  ["input_layernorm", 8],
  ["self_attn.q_proj", 8, 8],
  ["self_attn.k_proj", 4, 8],
  ["self_attn.v_proj", 4, 8],
  ["self_attn.o_proj", 8, 8],
  ["post_attention_layernorm", 8],
  ["mlp.gate_proj", 12, 8],
  ["mlp.up_proj", 12, 8],
  ["mlp.down_proj", 8, 12],
];

const META_NAMES: Readonly<Record<string, string>> = {
  "model.embed_tokens": "tok_embeddings",
  "model.norm": "norm",
  lm_head: "output",
  input_layernorm: "attention_norm",
  "self_attn.q_proj": "attention.wq",
  "self_attn.k_proj": "attention.wk",
  "self_attn.v_proj": "attention.wv",
  "self_attn.o_proj": "attention.wo",
  post_attention_layernorm: "ffn_norm",
  "mlp.gate_proj": "feed_forward.w1",
  "mlp.up_proj": "feed_forward.w3",
  "mlp.down_proj": "feed_forward.w2",
};

const GGUF_NAMES: Readonly<Record<string, string>> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  lm_head: "output",
  input_layernorm: "attn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  post_attention_layernorm: "ffn_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};

/** The model's tensors by name. */
export type Tensors = Map<string, TensorSource>;

/** A float32 tensor whose numbers depend on its name. */
export function tensor(name: string, shape: readonly number[]): TensorSource {
  const count = shape.reduce((a, b) => a * b, 1);
  const seed = [...name].reduce((sum, letter) => sum + letter.charCodeAt(0), 0);
  const values = Float32Array.from({ length: count }, (_, i) => Math.sin(seed + i));
  return { name, dtype: "f32", shape, data: new Uint8Array(values.buffer) };
}

/** The tensors under the names of one format. */
export function tensors(
  names: "huggingFace" | "meta" | "gguf",
  options: { readonly layers?: number } = {},
): Tensors {
  const [prefix, renamed]: [string, Readonly<Record<string, string>>] = names === "huggingFace"
    ? ["model.layers.", {}]
    : names === "meta"
    ? ["layers.", META_NAMES]
    : ["blk.", GGUF_NAMES];
  const list: TensorSource[] = [];
  const add = (before: string, name: string, shape: readonly number[]) =>
    list.push(tensor(`${before}${renamed[name] ?? name}.weight`, shape));
  add("", "model.embed_tokens", [16, 8]);
  for (let layer = 0; layer < (options.layers ?? 2); layer++) {
    for (const [name, ...shape] of HF_BLOCK) add(`${prefix}${layer}.`, name, shape);
  }
  add("", "model.norm", [8]);
  add("", "lm_head", [16, 8]);
  return new Map(list.map((source) => [source.name, source]));
}

/** Writes weights in the container that the name says. */
export async function writeWeights(path: string, tensors: Tensors): Promise<void> {
  const sources = [...tensors.values()];
  if (path.endsWith(".safetensors")) await writeSafetensors(path, sources);
  else await writePytorch(path, sources);
}

/** Writes a Hugging Face folder. */
export async function writeHuggingFace(
  folder: string,
  options: { readonly config?: Json; readonly tensors?: Tensors; readonly file?: string } = {},
): Promise<void> {
  const config = JSON.stringify(options.config ?? CONFIG);
  Deno.writeTextFileSync(join(folder, "config.json"), config);
  const path = join(folder, options.file ?? "model.safetensors");
  await writeWeights(path, options.tensors ?? tensors("huggingFace"));
}

/** Writes a Meta folder. */
export async function writeMeta(
  folder: string,
  options: { readonly params?: Json; readonly tensors?: Tensors; readonly file?: string } = {},
): Promise<void> {
  const params = JSON.stringify(options.params ?? PARAMS);
  Deno.writeTextFileSync(join(folder, "params.json"), params);
  const path = join(folder, options.file ?? "consolidated.safetensors");
  await writeWeights(path, options.tensors ?? tensors("meta"));
}

/** The metadata of the model as GGUF. */
export function ggufMetadata(): Map<string, GgufValue> {
  const u32 = (value: number): GgufValue => ({ type: "u32", value });
  return new Map<string, GgufValue>([
    ["general.architecture", { type: "string", value: "llama" }],
    ["llama.context_length", u32(32)],
    ["llama.embedding_length", u32(8)],
    ["llama.block_count", u32(2)],
    ["llama.feed_forward_length", u32(12)],
    ["llama.attention.head_count", u32(2)],
    ["llama.attention.head_count_kv", u32(1)],
    ["llama.attention.layer_norm_rms_epsilon", { type: "f32", value: Math.fround(1e-5) }],
    ["tokenizer.ggml.bos_token_id", u32(1)],
    ["tokenizer.ggml.eos_token_id", u32(2)],
  ]);
}

/** Writes a GGUF file and returns its path. */
export async function writeGgufModel(
  folder: string,
  options: { readonly metadata?: Map<string, GgufValue>; readonly tensors?: Tensors } = {},
): Promise<string> {
  const path = join(folder, "model.gguf");
  const sources = [...(options.tensors ?? tensors("gguf")).values()];
  await writeGguf(path, sources, { metadata: options.metadata ?? ggufMetadata() });
  return path;
}
