/**
 * Matches the tensors of a file with the weights that its config asks for.
 *
 * @module
 */

import { FormatError, ShapeError } from "../base/errors.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import { blockOf } from "../formats/file_dtype.ts";
import type { TensorRecord } from "../formats/tensor_file.ts";
import type { ModelConfig } from "../model/config.ts";
import { presetLike } from "../model/presets.ts";
import {
  type NameScheme,
  WEIGHT_ROWS,
  type WeightRole,
  type WeightSpec,
  weightSpecs,
} from "../model/weights.ts";
import { samplesAgree } from "./same_tensor.ts";

/** What is matched, and what it is called in messages. */
export interface MatchOptions {
  /** Whose names the records have. */
  readonly scheme: NameScheme;
  /** The file or folder, as the user named it. */
  readonly path: string;
  /** What says the wanted shapes, such as `config.json`. */
  readonly configName: string;
}

/** Tensors that say nothing that the config does not: tables of rotary frequencies. */
const IGNORED: Readonly<Record<NameScheme, RegExp>> = {
  canonical: /^$/,
  huggingFace: /^(model\.)?(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq$/,
  meta: /^(rope\.freqs|layers\.\d+\.attention\.inner_attention\.rope\.freqs)$/,
  gguf: /^(rope_freqs\.weight|blk\.\d+\.attn_rot_embd\.weight)$/,
};

const FLOATS: readonly string[] = ["f32", "f16", "bf16"];

/**
 * Gives each weight of the config its record, by canonical name in the order of `weightSpecs`.
 *
 * @throws {FormatError} For a missing tensor, one too many, or an element type that no weight has.
 * @throws {ShapeError} For a shape that is not the config's. Both name file, tensor and values.
 */
export function matchTensors(
  records: ReadonlyMap<string, TensorRecord>,
  config: ModelConfig,
  options: MatchOptions,
): Map<string, TensorRecord> {
  const { scheme, path } = options;
  const specs = weightSpecs(config);
  const hint = () => likenessOf(records, scheme, config);
  const tensors = new Map<string, TensorRecord>();
  for (const spec of specs) {
    const record = records.get(spec.names[scheme]);
    if (record === undefined) throw missing(records, specs, { ...options, spec, hint: hint() });
    checkType(record, scheme);
    const isRight = record.shape.length === spec.shape.length &&
      record.shape.every((extent, axis) => extent === spec.shape[axis]);
    if (!isRight) {
      throw new ShapeError(
        `Cannot open ${quotedPath(record.file)}: tensor ${quoted(record.name)} has shape ` +
          `[${record.shape.join(", ")}], ${options.configName} wants [${spec.shape.join(", ")}]`,
        { hint: partsOf(record) ?? hint() },
      );
    }
    tensors.set(spec.name, record);
  }
  const used = new Set(specs.map((spec) => spec.names[scheme]));
  const extra = [...records.values()].filter((record) =>
    !used.has(record.name) && !IGNORED[scheme].test(record.name) &&
    !isTiedHead(record, tensors, scheme)
  );
  const [first] = extra;
  if (first === undefined) return tensors;
  const others = extra.length > 1 ? ` (and ${extra.length - 1} more)` : "";
  throw new FormatError(
    `Cannot open ${quotedPath(path)}: tensor ${quoted(first.name)}${others} is none that ` +
      `${options.configName} wants`,
    { file: first.file, hint: hint() ?? reasonOf(first.name, config) },
  );
}

function missing(
  records: ReadonlyMap<string, TensorRecord>,
  specs: readonly WeightSpec[],
  options: MatchOptions & { readonly spec: WeightSpec; readonly hint: string | undefined },
): FormatError {
  const { spec, scheme, path } = options;
  const absent = specs.filter((other) => !records.has(other.names[scheme])).length;
  const others = absent > 1 ? ` (and ${absent - 1} more)` : "";
  const untied = spec.role === "head" && absent === 1
    ? 'if its head is the embedding, "tie_word_embeddings" must be true'
    : undefined;
  return new FormatError(
    `Cannot open ${quotedPath(path)}: tensor ${quoted(spec.names[scheme])}${others} is missing, ` +
      `${options.configName} wants [${spec.shape.join(", ")}]`,
    { file: path, hint: untied ?? options.hint },
  );
}

/** What may be wrong with a tensor that is put together. */
function partsOf({ stored }: TensorRecord): string | undefined {
  if (stored?.kind !== "parts") return undefined;
  return `it was put together of ${stored.parts.length} parts; perhaps one more is missing`;
}

/** Floats in every format, and for GGUF's matrices the block formats too. */
function checkType(record: TensorRecord, scheme: NameScheme): void {
  const { dtype } = record;
  const isBlock = (blockOf(dtype)?.elements ?? 1) > 1 && record.shape.length === 2;
  if (FLOATS.includes(dtype) || (scheme === "gguf" && isBlock)) return;
  throw new FormatError(
    `Cannot open ${quotedPath(record.file)}: tensor ${quoted(record.name)} is ${dtype}, ` +
      `a weight of f32, f16 or bf16 was wanted`,
    { file: record.file, offset: record.offset },
  );
}

/** Some writers store a tied head as well; it is passed over where it is the embedding. */
function isTiedHead(
  record: TensorRecord,
  tensors: ReadonlyMap<string, TensorRecord>,
  scheme: NameScheme,
): boolean {
  const embedding = tensors.get("embedding");
  const name = scheme === "huggingFace" ? "lm_head.weight" : "output.weight";
  if (record.name !== name || embedding === undefined) return false;
  if (samplesAgree(record, embedding)) return true;
  throw new FormatError(
    `Cannot open ${quotedPath(record.file)}: tensor ${quoted(record.name)} differs from the ` +
      `embedding, and the config ties the two`,
    { file: record.file, hint: 'set "tie_word_embeddings" to false to use both' },
  );
}

function reasonOf(name: string, config: ModelConfig): string | undefined {
  if (name.endsWith(".bias")) return "models with biases are not Llamas";
  if (/lora_|adapter/.test(name)) return "this is an adapter, to be merged into its model first";
  const layer = layerOf(name);
  if (layer === undefined || layer < config.numHiddenLayers) return undefined;
  return `the config says ${config.numHiddenLayers} layers, and this is layer ${layer} (from 0)`;
}

/** The layer that a tensor's name says, in any format. */
function layerOf(name: string): number | undefined {
  const digits = /(?:^|\.)(?:layers|blk)\.(\d{1,5})\./.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Says which preset the tensors look like, where it is not what the config describes. */
function likenessOf(
  records: ReadonlyMap<string, TensorRecord>,
  scheme: NameScheme,
  config: ModelConfig,
): string | undefined {
  const shapeOf = (role: WeightRole) => {
    const row = WEIGHT_ROWS.find((row) => row.role === role);
    return records.get(row?.names[scheme].replace("{i}", "0") ?? "")?.shape;
  };
  const hiddenSize = shapeOf("embedding")?.[1];
  const intermediateSize = shapeOf("feed_forward.gate")?.[0];
  if (hiddenSize === undefined || intermediateSize === undefined) return undefined;
  let numHiddenLayers = 0;
  for (const name of records.keys()) {
    numHiddenLayers = Math.max(numHiddenLayers, (layerOf(name) ?? -1) + 1);
  }
  const sizes = { hiddenSize, intermediateSize, numHiddenLayers };
  const isAlike = (Object.keys(sizes) as (keyof typeof sizes)[])
    .every((key) => sizes[key] === config[key]);
  const preset = isAlike ? undefined : presetLike(sizes);
  return preset === undefined ? undefined : `the tensors look like ${preset.name}`;
}
