/**
 * The name table: every weight of a decoder once, with its name in each format, its shape, how
 * tensor parallelism splits it, whether rotary positions permute its rows, and whether AdamW
 * decays it.
 *
 * A linear weight is `[out, in]` (`y = x W^T`). In names `{i}` stands for the layer.
 *
 * @module
 */

import type { ModelConfig } from "./config.ts";

/** The formats that name their tensors; `canonical` is Llamero's own. */
export type NameScheme = "canonical" | "huggingFace" | "meta" | "gguf";

/** What a weight does, whatever its layer. */
export type WeightRole =
  | "embedding"
  | "attention_norm"
  | "attention.q"
  | "attention.k"
  | "attention.v"
  | "attention.output"
  | "feed_forward_norm"
  | "feed_forward.gate"
  | "feed_forward.up"
  | "feed_forward.down"
  | "final_norm"
  | "head";

/** One row of the table: what is known of a weight before the config is. */
export interface WeightRow {
  /** What the weight does. */
  readonly role: WeightRole;
  /** Its name in each format; `{i}` is the layer. */
  readonly names: Readonly<Record<NameScheme, string>>;
  /** Position of its array in a llama2.c file, where one array holds all layers. */
  readonly llama2c: number;
  /** Shape, outermost first. */
  readonly shape: (config: ModelConfig) => readonly number[];
  /** Axis that tensor parallelism splits: 0 by column (out), 1 by row (in); else it is whole. */
  readonly split: 0 | 1 | undefined;
  /** Heads whose rows differ in order between interleaved and half-split rotary layouts; or 0. */
  readonly ropeHeads: (config: ModelConfig) => number;
  /** Whether AdamW decays it: matrices are, norms are not. */
  readonly decayed: boolean;
  /** Whether a decoder of this config has it. */
  readonly present: (config: ModelConfig) => boolean;
}

/** One weight of one decoder: a row of the table with config and layer filled in. */
export interface WeightSpec {
  /** Canonical name, for example `layers.0.attention.q`. */
  readonly name: string;
  /** What the weight does. */
  readonly role: WeightRole;
  /** Its block; `undefined` outside the blocks. */
  readonly layer: number | undefined;
  /** Its name in each format. */
  readonly names: Readonly<Record<NameScheme, string>>;
  /** Position of its array in a llama2.c file. */
  readonly llama2c: number;
  /** Shape, outermost first. */
  readonly shape: readonly number[];
  /** Axis that tensor parallelism splits, or `undefined` where the weight is whole. */
  readonly split: 0 | 1 | undefined;
  /** Heads whose rows differ in order between rotary layouts; 0 where none do. */
  readonly ropeHeads: number;
  /** Whether AdamW decays it. */
  readonly decayed: boolean;
}

type Shape = WeightRow["shape"];
const hidden: Shape = (c) => [c.hiddenSize];
const vocabulary: Shape = (c) => [c.vocabSize, c.hiddenSize];
const queries: Shape = (c) => [c.numAttentionHeads * c.headDim, c.hiddenSize];
const fromQueries: Shape = (c) => [c.hiddenSize, c.numAttentionHeads * c.headDim];
const keysOrValues: Shape = (c) => [c.numKeyValueHeads * c.headDim, c.hiddenSize];
const widen: Shape = (c) => [c.intermediateSize, c.hiddenSize];
const narrow: Shape = (c) => [c.hiddenSize, c.intermediateSize];

type Options = Pick<WeightRow, "shape"> & Partial<WeightRow>;

/** A row whose names are given in the order canonical, Hugging Face, Meta, GGUF. */
function row(
  role: WeightRole,
  llama2c: number,
  names: readonly [string, string, string, string],
  options: Options,
): WeightRow {
  const [canonical, huggingFace, meta, gguf] = names;
  return {
    role,
    names: { canonical, huggingFace, meta, gguf },
    llama2c,
    split: undefined,
    ropeHeads: () => 0,
    decayed: true,
    present: () => true,
    ...options,
  };
}

/** A row inside a block; the block's prefixes are put before the names. */
function blockRow(
  role: WeightRole,
  llama2c: number,
  names: readonly [string, string, string],
  options: Options,
): WeightRow {
  const [huggingFace, meta, gguf] = names;
  return row(role, llama2c, [
    `layers.{i}.${role}`,
    `model.layers.{i}.${huggingFace}.weight`,
    `layers.{i}.${meta}.weight`,
    `blk.{i}.${gguf}.weight`,
  ], options);
}

const EMBEDDING = row("embedding", 0, [
  "embedding",
  "model.embed_tokens.weight",
  "tok_embeddings.weight",
  "token_embd.weight",
], { shape: vocabulary, split: 0 });

const BLOCK: readonly WeightRow[] = [
  blockRow("attention_norm", 1, ["input_layernorm", "attention_norm", "attn_norm"], {
    shape: hidden,
    decayed: false,
  }),
  blockRow("attention.q", 2, ["self_attn.q_proj", "attention.wq", "attn_q"], {
    shape: queries,
    split: 0,
    ropeHeads: (c) => c.numAttentionHeads,
  }),
  blockRow("attention.k", 3, ["self_attn.k_proj", "attention.wk", "attn_k"], {
    shape: keysOrValues,
    split: 0,
    ropeHeads: (c) => c.numKeyValueHeads,
  }),
  blockRow("attention.v", 4, ["self_attn.v_proj", "attention.wv", "attn_v"], {
    shape: keysOrValues,
    split: 0,
  }),
  blockRow("attention.output", 5, ["self_attn.o_proj", "attention.wo", "attn_output"], {
    shape: fromQueries,
    split: 1,
  }),
  blockRow("feed_forward_norm", 6, ["post_attention_layernorm", "ffn_norm", "ffn_norm"], {
    shape: hidden,
    decayed: false,
    present: (c) => !c.parallelBlock,
  }),
  blockRow("feed_forward.gate", 7, ["mlp.gate_proj", "feed_forward.w1", "ffn_gate"], {
    shape: widen,
    split: 0,
  }),
  blockRow("feed_forward.up", 9, ["mlp.up_proj", "feed_forward.w3", "ffn_up"], {
    shape: widen,
    split: 0,
  }),
  blockRow("feed_forward.down", 8, ["mlp.down_proj", "feed_forward.w2", "ffn_down"], {
    shape: narrow,
    split: 1,
  }),
];

const FINAL: readonly WeightRow[] = [
  row("final_norm", 10, [
    "final_norm",
    "model.norm.weight",
    "norm.weight",
    "output_norm.weight",
  ], { shape: hidden, decayed: false }),
  // 11 and 12 of a llama2.c file are its rotary tables.
  row("head", 13, ["head", "lm_head.weight", "output.weight", "output.weight"], {
    shape: vocabulary,
    split: 0,
    present: (c) => !c.tieWordEmbeddings,
  }),
];

/** All rows, in the order of the forward pass. */
export const WEIGHT_ROWS: readonly WeightRow[] = [EMBEDDING, ...BLOCK, ...FINAL];

/**
 * Lists all weights of a decoder in the order of the forward pass: embedding, blocks, final norm,
 * head.
 */
export function weightSpecs(config: ModelConfig): WeightSpec[] {
  const has = (row: WeightRow) => row.present(config);
  const specs = [specOf(EMBEDDING, config, undefined)];
  const block = BLOCK.filter(has);
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    for (const row of block) specs.push(specOf(row, config, layer));
  }
  for (const row of FINAL.filter(has)) specs.push(specOf(row, config, undefined));
  return specs;
}

function specOf(row: WeightRow, config: ModelConfig, layer: number | undefined): WeightSpec {
  const names = layer === undefined ? row.names : {
    canonical: row.names.canonical.replace("{i}", `${layer}`),
    huggingFace: row.names.huggingFace.replace("{i}", `${layer}`),
    meta: row.names.meta.replace("{i}", `${layer}`),
    gguf: row.names.gguf.replace("{i}", `${layer}`),
  };
  return {
    name: names.canonical,
    role: row.role,
    layer,
    names,
    llama2c: row.llama2c,
    shape: row.shape(config),
    split: row.split,
    ropeHeads: row.ropeHeads(config),
    decayed: row.decayed,
  };
}
