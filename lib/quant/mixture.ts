/**
 * Which block type each tensor of a quantized model gets: the mixtures that llama.cpp's names stand for.
 *
 * A name such as `q4_k_m` is a base type and exceptions: the output matrix (or the embedding that
 * stands in for it) has more bits, and so have the values, the outputs of attention and the last
 * products of the feed-forward blocks, in some or all layers. Rows that a block size does not divide
 * fall back to a type of smaller blocks, then to f16.
 *
 * Source: llama.cpp, src/llama-quant.cpp (llama_tensor_get_type_impl, tensor_type_fallback).
 *
 * @module
 */

import { type DType, DTYPE_BLOCKS } from "../tensor/dtype.ts";

/** One mixture: its base type and the number that GGUF's `general.file_type` gives it. */
export interface Mixture {
  /** The type of every tensor without an exception. */
  readonly base: DType;
  /** `general.file_type`. */
  readonly fileType: number;
}

/** What llama.cpp calls its mixtures of types. */
export type MixtureName =
  | "q4_0"
  | "q4_1"
  | "q5_0"
  | "q5_1"
  | "q8_0"
  | "q2_k"
  | "q3_k_s"
  | "q3_k_m"
  | "q3_k_l"
  | "q4_k_s"
  | "q4_k_m"
  | "q5_k_s"
  | "q5_k_m"
  | "q6_k";

/** Every name that `quantize --type` takes. */
export const MIXTURES: Readonly<Record<MixtureName, Mixture>> = {
  q4_0: { base: "q4_0", fileType: 2 },
  q4_1: { base: "q4_1", fileType: 3 },
  q8_0: { base: "q8_0", fileType: 7 },
  q5_0: { base: "q5_0", fileType: 8 },
  q5_1: { base: "q5_1", fileType: 9 },
  q2_k: { base: "q2_k", fileType: 10 },
  q3_k_s: { base: "q3_k", fileType: 11 },
  q3_k_m: { base: "q3_k", fileType: 12 },
  q3_k_l: { base: "q3_k", fileType: 13 },
  q4_k_s: { base: "q4_k", fileType: 14 },
  q4_k_m: { base: "q4_k", fileType: 15 },
  q5_k_s: { base: "q5_k", fileType: 16 },
  q5_k_m: { base: "q5_k", fileType: 17 },
  q6_k: { base: "q6_k", fileType: 18 },
};

/** Short names: llama.cpp reads them as the medium mixture. */
export const MIXTURE_ALIASES: Readonly<Record<string, MixtureName>> = {
  q3_k: "q3_k_m",
  q4_k: "q4_k_m",
  q5_k: "q5_k_m",
};

/** What the choice depends on besides the mixture. */
export interface QuantizedModel {
  /** Layers of the model. */
  readonly layers: number;
  /** Query heads for each kv head. */
  readonly headsPerKvHead: number;
  /** Whether the embedding is the output matrix too. */
  readonly tied: boolean;
  /** Whether an importance file is used. */
  readonly importance: boolean;
}

/** A matrix that is quantized. */
export interface QuantizedTensor {
  /** GGUF's name, for example `blk.3.attn_v.weight`. */
  readonly name: string;
  /** Length of a row. */
  readonly columns: number;
}

/** Whether a tensor is quantized at all: matrices are, norms and one-dimensional tensors are not. */
export function isQuantized(name: string, shape: readonly number[]): boolean {
  return shape.length >= 2 && name.endsWith("weight") && !name.endsWith("_norm.weight");
}

/** The type of one matrix in a mixture. */
export function mixtureType(
  tensor: QuantizedTensor,
  options: { readonly mixture: MixtureName; readonly model: QuantizedModel },
): DType {
  return fallback(wantedType(tensor, options.mixture, options.model), tensor.columns);
}

function wantedType(tensor: QuantizedTensor, mixture: MixtureName, model: QuantizedModel): DType {
  const { base } = MIXTURES[mixture];
  const isOutput = tensor.name === "output.weight" ||
    (model.tied && tensor.name === "token_embd.weight");
  if (isOutput) {
    const fits = tensor.columns % DTYPE_BLOCKS[base].elements === 0;
    return !fits || base === "q8_0" ? "q8_0" : "q6_k";
  }
  const match = /^blk\.(\d+)\.(\w+)\.weight$/.exec(tensor.name);
  if (match === null) return base;
  const layer = Number(match[1]);
  switch (match[2]) {
    case "attn_v":
      return valueType(mixture, layer, model) ?? base;
    case "ffn_down":
      return downType(mixture, layer, model) ?? base;
    case "attn_output":
      return ATTENTION_OUTPUT[mixture] ?? base;
    default:
      return base;
  }
}

const ATTENTION_OUTPUT: Readonly<Partial<Record<MixtureName, DType>>> = {
  q2_k: "q3_k",
  q3_k_m: "q4_k",
  q3_k_l: "q5_k",
};

/** The first and last eighth of the layers, and every third between. */
function hasMoreBits(layer: number, layers: number): boolean {
  const eighth = Math.floor(layers / 8);
  return layer < eighth || layer >= Math.floor(7 * layers / 8) || (layer - eighth) % 3 === 2;
}

/** llama.cpp's 70B: 80 layers, and values so small beside the queries that more bits cost nothing. */
function isSeventyBillion(model: QuantizedModel): boolean {
  return model.layers === 80 && model.headsPerKvHead > 1;
}

function valueType(
  mixture: MixtureName,
  layer: number,
  model: QuantizedModel,
): DType | undefined {
  const chosen = plainValueType(mixture, layer, model);
  const type = chosen ?? MIXTURES[mixture].base;
  if (isSeventyBillion(model) && (type === "q3_k" || type === "q4_k")) return "q5_k";
  return chosen;
}

function plainValueType(
  mixture: MixtureName,
  layer: number,
  model: QuantizedModel,
): DType | undefined {
  switch (mixture) {
    case "q2_k":
      return model.headsPerKvHead >= 4 ? "q4_k" : "q3_k";
    case "q3_k_m":
      return layer < 2 ? "q5_k" : "q4_k";
    case "q3_k_l":
      return "q5_k";
    case "q4_k_s":
      return layer < 4 ? "q5_k" : undefined;
    case "q4_k_m":
    case "q5_k_m":
      return hasMoreBits(layer, model.layers) ? "q6_k" : undefined;
    default:
      return undefined;
  }
}

function downType(mixture: MixtureName, layer: number, model: QuantizedModel): DType | undefined {
  const inFirstEighth = layer < Math.floor(model.layers / 8);
  switch (mixture) {
    case "q2_k":
      return "q3_k";
    case "q3_k_m":
      return layer < Math.floor(model.layers / 16) ? "q5_k" : "q4_k";
    case "q3_k_l":
      return "q5_k";
    case "q4_k_s":
      return inFirstEighth ? "q5_k" : undefined;
    case "q4_k_m":
    case "q5_k_m":
      return hasMoreBits(layer, model.layers) ? "q6_k" : undefined;
    // With an importance matrix the first layers of these go astray without a minimum.
    case "q4_0":
      return model.importance && inFirstEighth ? "q4_1" : undefined;
    case "q5_0":
      return model.importance && inFirstEighth ? "q5_1" : undefined;
    default:
      return undefined;
  }
}

const SMALLER_BLOCKS: Readonly<Partial<Record<DType, DType>>> = {
  q2_k: "q4_0",
  q3_k: "q4_0",
  q4_k: "q5_0",
  q5_k: "q5_1",
  q6_k: "q8_0",
};

function fallback(type: DType, columns: number): DType {
  const divides = (candidate: DType) => columns % DTYPE_BLOCKS[candidate].elements === 0;
  if (divides(type)) return type;
  const smaller = SMALLER_BLOCKS[type] ?? type;
  return divides(smaller) ? smaller : "f16";
}
