/**
 * Writing a model as one GGUF file, for llama.cpp and all that is built on it.
 *
 * @module
 */

import { basename, resolve } from "node:path";
import { checkOutputPath } from "../base/atomic_file.ts";
import { GGUF_ALIGNMENT, type GgufValue } from "../formats/gguf_types.ts";
import { writeGguf } from "../formats/gguf_write.ts";
import type { TensorRecord, TensorSource } from "../formats/tensor_file.ts";
import type { ModelConfig } from "../model/config.ts";
import { parseGgufConfig } from "../model/config_gguf.ts";
import { toGgufKeys } from "../model/gguf_keys.ts";
import { ggufRopeFactors } from "../model/gguf_rope.ts";
import { weightSpecs } from "../model/weights.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { checkHeld, checkIsLlama, type HeldOptions, unheldTokens } from "./held.ts";
import { mapTensor } from "./map.ts";
import type { SaveOptions, SavePlan } from "./plan.ts";
import { NORM_TYPES_KEY, unlikelyNormTypes } from "./target_types.ts";
import { ggufTokenizerKeys, type TravellingTokenizer } from "./travelling_tokenizer.ts";

/** `general.file_type` of models of one float type; those of blocks are the quantizer's. */
const FILE_TYPES: Readonly<Record<string, number>> = { f32: 0, f16: 1, bf16: 32 };

/** How block formats are laid out since 2023; files with blocks say so. */
const QUANTIZATION_VERSION = 2;

/** What is to be said of a file besides its tensors. */
export interface GgufMetadataOptions {
  /** Element type of each weight, by canonical name. */
  readonly types: ReadonlyMap<string, string>;
  /** `general.file_type`, where it is not one of the float types. */
  readonly fileType?: number | undefined;
  /** Tokenizer and chat templates of the source. */
  readonly tokenizer: TravellingTokenizer;
}

/**
 * The metadata of a model as a GGUF file has them: architecture, tokenizer and chat templates. A model
 * that is a GGUF file keeps its own keys.
 */
export async function ggufMetadata(
  source: Checkpoint,
  options: GgufMetadataOptions,
): Promise<Map<string, GgufValue>> {
  const { types, tokenizer } = options;
  const used = new Set(types.values());
  const hasBlocks = [...used].some((type) => FILE_TYPES[type] === undefined);
  const kept = source.format === "gguf" ? keptKeys(source, tokenizer) : undefined;
  const keys = kept ?? new Map<string, GgufValue>([
    ["general.architecture", { type: "string", value: "llama" }],
    ["general.type", { type: "string", value: "model" }],
    ["general.name", { type: "string", value: nameOf(source.path) }],
    ["general.alignment", { type: "u32", value: GGUF_ALIGNMENT }],
  ]);
  const fileType = options.fileType ?? FILE_TYPES[mainType(source.config, types)];
  if (fileType !== undefined) keys.set("general.file_type", { type: "u32", value: fileType });
  if (hasBlocks) {
    keys.set("general.quantization_version", { type: "u32", value: QUANTIZATION_VERSION });
  } else keys.delete("general.quantization_version");
  if (kept !== undefined && tokenizer.definition === undefined) return keys;
  const { vocabSize } = source.config;
  const own = await ggufTokenizerKeys(tokenizer, { vocabSize });
  for (const entry of toGgufKeys(source.config)) keys.set(...entry);
  for (const entry of own) keys.set(...entry);
  for (const entry of tokenKeys(source.config, own)) keys.set(...entry);
  return keys;
}

/** The keys of a file that is read, but for its cutting into parts and a tokenizer that is replaced. */
function keptKeys(source: Checkpoint, tokenizer: TravellingTokenizer): Map<string, GgufValue> {
  const metadata = source.metadata as ReadonlyMap<string, GgufValue>;
  const replaced = tokenizer.definition === undefined ? /^split\./ : /^split\.|^tokenizer\./;
  return new Map([...metadata].filter(([key]) => !replaced.test(key)));
}

function nameOf(path: string): string {
  return basename(resolve(path)).replace(/\.(gguf|bin|pth|safetensors)$/, "");
}

/** The type of most numbers of the matrices. */
function mainType(config: ModelConfig, types: ReadonlyMap<string, string>): string {
  const elements = new Map<string, number>();
  for (const { name, shape } of weightSpecs(config)) {
    if (shape.length === 1) continue;
    const type = types.get(name)!;
    elements.set(type, (elements.get(type) ?? 0) + shape[0]! * shape[1]!);
  }
  const [first] = [...elements].sort((a, b) => b[1] - a[1]);
  return first?.[0] ?? "f32";
}

/** Keys of tokens that end a text, in the order in which they are given away: of a text, turn, message. */
const END_KEYS = ["eos", "eot", "eom"].map((name) => `tokenizer.ggml.${name}_token_id`);

/** What the config says of tokens, in the places that the tokenizer leaves. */
function tokenKeys(
  config: ModelConfig,
  own: ReadonlyMap<string, GgufValue>,
): Map<string, GgufValue> {
  const keys = new Map<string, GgufValue>();
  const set = (key: string, value: number) => keys.set(key, { type: "u32", value });
  if (config.bosTokenId !== undefined) {
    set("tokenizer.ggml.bos_token_id", config.bosTokenId);
  }
  const said = new Map(END_KEYS.map((key) => [key, own.get(key)?.value]));
  const unsaid = config.eosTokenIds.filter((id) => ![...said.values()].includes(id));
  for (const key of END_KEYS) {
    // A tokenizer's end token that the model does not know of gives way to one that it does.
    const stands = said.get(key) as number | undefined;
    if (stands !== undefined && config.eosTokenIds.includes(stands)) continue;
    const id = unsaid.shift();
    if (id !== undefined) set(key, id);
  }
  return keys;
}

/** The tensor of rotary factors, for a model whose frequencies are stretched. */
export function ropeFactorsTensor(config: ModelConfig): TensorSource[] {
  const factors = ggufRopeFactors(config);
  if (factors === undefined) return [];
  return [{
    name: "rope_freqs.weight",
    dtype: "f32",
    shape: [factors.length],
    data: new Uint8Array(factors.buffer),
  }];
}

/**
 * Refuses a model that GGUF cannot hold, and returns what its readers would not know of its tokens.
 *
 * @throws {ConfigError} Naming the field.
 */
export function checkGguf(
  source: Checkpoint,
  metadata: ReadonlyMap<string, GgufValue>,
): string | undefined {
  const options: HeldOptions = { path: source.path, target: "GGUF" };
  checkIsLlama(source.config, options);
  const records = new Map<string, TensorRecord>(
    weightSpecs(source.config).map(({ names, shape }) => {
      const name = names.gguf;
      return [name, { name, dtype: "f32", shape, file: source.path, offset: 0, bytes: 0 }];
    }),
  );
  const readBack = parseGgufConfig({ path: source.path, metadata, records }, {
    ropeFactors: ggufRopeFactors(source.config),
  });
  checkHeld(source.config, { ...options, readBack });
  return unheldTokens(source.config, readBack);
}

/** Prepares a model to be written as a GGUF file. @throws {ConfigError} Where GGUF cannot hold it. */
export async function planGguf(source: Checkpoint, options: SaveOptions): Promise<SavePlan> {
  const { path, types, flow } = options;
  checkIsLlama(source.config, { path: source.path, target: "GGUF" });
  const metadata = await ggufMetadata(source, options);
  const unheld = checkGguf(source, metadata);
  const norms = source.format === "gguf" ? undefined : unlikelyNormTypes(source);
  if (norms !== undefined) {
    metadata.set(NORM_TYPES_KEY, { type: "array", of: "string", value: norms });
  }
  const weights = weightSpecs(source.config).map((spec) =>
    mapTensor(source, spec, {
      scheme: "gguf",
      ropeLayout: "interleaved",
      dtype: types.get(spec.name)!,
      flow,
    })
  );
  const tensors = [...weights, ...ropeFactorsTensor(source.config)];
  checkOutputPath(path, options);
  return {
    format: "gguf",
    tensors,
    notes: unheld === undefined ? [] : [`the file does not say that the model ${unheld}`],
    async write() {
      await writeGguf(path, tensors, { metadata, force: options.force });
      return [path];
    },
  };
}
