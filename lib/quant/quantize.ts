/**
 * Quantizing a model: any checkpoint that can be read, as a GGUF file of one of llama.cpp's mixtures.
 *
 * Everything that can be refused is refused before the first byte is written; the file appears whole or
 * not at all. Rows flow in chunks through a backend, so memory holds a few of them, whatever the
 * model's size. Norms stay float32, and so does the table of rotary factors.
 *
 * @module
 */

import { basename } from "node:path";
import type { Backend } from "../backend/backend.ts";
import { checkOutputPath } from "../base/atomic_file.ts";
import { FormatError, UsageError } from "../base/errors.ts";
import { EventLoop } from "../base/event_loop.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import { isOneOf } from "../base/same_file.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { isFloat } from "../checkpoint/cast.ts";
import { checkIsLlama } from "../checkpoint/held.ts";
import { type Flow, mapTensor } from "../checkpoint/map.ts";
import { checkGguf, ggufMetadata, ropeFactorsTensor } from "../checkpoint/save_gguf.ts";
import { tensorValues } from "../checkpoint/tensor_values.ts";
import { packTokenizer, type TokenizerChoice } from "../checkpoint/travelling_tokenizer.ts";
import { elementsOf, tensorBytes } from "../formats/file_dtype.ts";
import type { GgufValue } from "../formats/gguf_types.ts";
import { writeGguf } from "../formats/gguf_write.ts";
import type { TensorSource } from "../formats/tensor_file.ts";
import { type WeightSpec, weightSpecs } from "../model/weights.ts";
import type { DType } from "../tensor/dtype.ts";
import { ErrorMeter, type TensorError } from "./error_meter.ts";
import { matchImportance } from "./importance.ts";
import type { ImportanceFile } from "./importance_file.ts";
import { isQuantized, type MixtureName, MIXTURES, mixtureType } from "./mixture.ts";
import { quantizeRows } from "./quantize_rows.ts";

/** How a model is quantized. */
export interface QuantizeOptions extends TokenizerChoice {
  /** The file to write. */
  readonly path: string;
  /** Which type each tensor gets. */
  readonly mixture: MixtureName;
  /** Whose kernels compute. */
  readonly backend: Backend;
  /** How much each column matters. */
  readonly importance?: ImportanceFile | undefined;
  /** Measures the error of every matrix. */
  readonly measure?: boolean | undefined;
  /** Replaces a file that exists. */
  readonly force?: boolean | undefined;
  /** Called with the weights written so far and those to write. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
  /** Stops between chunks, with nothing left behind. */
  readonly signal?: AbortSignal | undefined;
}

/** What became of one tensor. */
export interface QuantizedWeight {
  /** GGUF's name. */
  readonly name: string;
  /** Extents, outermost first. */
  readonly shape: readonly number[];
  /** Element type in the source. */
  readonly from: string;
  /** Element type in the output. */
  readonly to: string;
  /** Bytes in the source. */
  readonly bytesBefore: number;
  /** Bytes in the output. */
  readonly bytes: number;
  /** Its error; absent where it was not measured or nothing is lost. */
  readonly error?: TensorError;
}

/** What a quantization did. */
export interface Quantization {
  /** Every weight, in the order of the file. */
  readonly weights: readonly QuantizedWeight[];
  /** Bytes of the weights in the source. */
  readonly bytesBefore: number;
  /** Bytes of the weights in the output. */
  readonly bytes: number;
  /** Bits that a weight takes on average. */
  readonly bitsPerWeight: number;
  /** Where the tokenizer was read from; absent where none travelled. */
  readonly tokenizer?: string;
  /** What the importance file and the output do not say. */
  readonly notes: readonly string[];
  /** What makes the result worse than it could be. */
  readonly warnings: readonly string[];
}

/** A weight and what it becomes. */
interface Target {
  readonly spec: WeightSpec;
  readonly name: string;
  readonly from: string;
  readonly to: DType;
  readonly meter: ErrorMeter | undefined;
}

/**
 * Quantizes an open checkpoint into a GGUF file.
 *
 * @example
 * ```ts
 * import { openBackend, openCheckpoint } from "@llamero/llamero";
 *
 * const source = await openCheckpoint("models/tinyllama");
 * const backend = await openBackend({ threads: "auto" });
 * await quantizeCheckpoint(source, { path: "tinyllama-q4.gguf", mixture: "q4_k_m", backend });
 * ```
 * @throws {UsageError} Where the target is the source.
 * @throws {ConfigError} Where GGUF cannot hold the model; the message names the field.
 * @throws {FormatError} Where a tensor cannot be quantized or the importance is of another model.
 * @throws {LlameroError} Where the output exists (without `force`) or cannot be written.
 */
export async function quantizeCheckpoint(
  source: Checkpoint,
  options: QuantizeOptions,
): Promise<Quantization> {
  const { path, importance } = options;
  checkIsLlama(source.config, { path: source.path, target: "GGUF" });
  checkIsNotRead(source, options);
  const targets = targetsOf(source, options);
  const notes = importance === undefined ? [] : notesOf(importance, targets);
  const tokenizer = await packTokenizer(source, { ...options, to: "gguf" });
  const metadata = await ggufMetadata(source, {
    types: new Map(targets.map(({ spec, to }) => [spec.name, to])),
    fileType: MIXTURES[options.mixture].fileType,
    tokenizer,
  });
  for (const entry of importanceKeys(importance)) metadata.set(...entry);
  const unheld = checkGguf(source, metadata);
  if (unheld !== undefined) notes.push(`the file does not say that the model ${unheld}`);
  checkOutputPath(path, options);
  options.signal?.throwIfAborted();
  const warnings = [...requantized(targets), ...tokenizer.warnings ?? []];
  const sources = sourcesOf(source, targets, options);
  await writeGguf(path, [...sources, ...ropeFactorsTensor(source.config)], {
    metadata,
    force: options.force,
  });
  return {
    ...summaryOf(source, targets),
    ...(tokenizer.path === undefined ? {} : { tokenizer: tokenizer.path }),
    notes,
    warnings,
  };
}

/** Refuses to write over what is read: no force makes that right. */
function checkIsNotRead(source: Checkpoint, options: QuantizeOptions): void {
  const { path, tokenizer, importance } = options;
  const inputs = [source.path, ...source.files, tokenizer, importance?.path];
  if (!isOneOf(path, inputs.filter((input) => input !== undefined))) return;
  throw new UsageError(
    `Cannot quantize ${quotedPath(source.path)} to ${quotedPath(path)}: the output is the input`,
    { hint: "choose another name for the output" },
  );
}

/** What every weight becomes. @throws {FormatError} For a type whose numbers cannot be read. */
function targetsOf(source: Checkpoint, options: QuantizeOptions): Target[] {
  const { config } = source;
  const model = {
    layers: config.numHiddenLayers,
    headsPerKvHead: Math.floor(config.numAttentionHeads / config.numKeyValueHeads),
    tied: config.tieWordEmbeddings,
    importance: options.importance !== undefined,
  };
  return weightSpecs(config).map((spec) => {
    const name = spec.names.gguf;
    const record = source.tensors.get(spec.name)!;
    const quantized = isQuantized(name, spec.shape);
    const to = quantized
      ? mixtureType({ name, columns: spec.shape[1]! }, { mixture: options.mixture, model })
      : "f32";
    const from = record.dtype;
    if (from !== to && tensorValues(record) === undefined) {
      throw new FormatError(
        `Cannot quantize ${quotedPath(record.file)}: tensor ${quoted(record.name)} is ${from}, ` +
          `which is not turned into ${to}`,
        { file: record.file, offset: record.offset },
      );
    }
    const measured = quantized && options.measure === true && from !== to;
    return { spec, name, from, to, meter: measured ? new ErrorMeter(to) : undefined };
  });
}

function notesOf(importance: ImportanceFile, targets: readonly Target[]): string[] {
  const matrices = targets
    .filter(({ name, spec }) => isQuantized(name, spec.shape))
    .map(({ name, spec }) => ({ name, columns: spec.shape[1]! }));
  const { missing, unused } = matchImportance(importance, matrices);
  const notes: string[] = [];
  if (missing.length > 0) {
    notes.push(`the importance file says nothing of ${missing.join(", ")}`);
  }
  if (unused.length > 0) {
    notes.push(`the importance file has entries that the model has not: ${unused.join(", ")}`);
  }
  return notes;
}

/** What llama.cpp writes of the importance that was used. */
function importanceKeys(importance: ImportanceFile | undefined): [string, GgufValue][] {
  if (importance === undefined) return [];
  const { path, columns, chunks, datasets } = importance;
  const keys: [string, GgufValue][] = [
    ["quantize.imatrix.file", { type: "string", value: basename(path) }],
    ["quantize.imatrix.entries_count", { type: "u32", value: columns.size }],
  ];
  if (datasets[0] !== undefined) {
    keys.push(["quantize.imatrix.dataset", { type: "string", value: datasets[0] }]);
  }
  if (chunks !== undefined && chunks > 0) {
    keys.push(["quantize.imatrix.chunks_count", { type: "u32", value: chunks }]);
  }
  return keys;
}

function requantized(targets: readonly Target[]): string[] {
  const types = targets.filter(({ from, to }) => from !== to && !isFloat(from) && from !== "f64")
    .map(({ from }) => from);
  if (types.length === 0) return [];
  return [
    `the model is quantized already (${[...new Set(types)].join(", ")}): ` +
    "quantizing the original loses less",
  ];
}

function sourcesOf(
  source: Checkpoint,
  targets: readonly Target[],
  options: QuantizeOptions,
): TensorSource[] {
  const loop = new EventLoop(options.signal);
  const total = targets.reduce((sum, { spec }) => sum + elementsOf(spec.shape)!, 0);
  let done = 0;
  return targets.map((target) => {
    const { spec, name, from, to, meter } = target;
    const kept = from === to || to === "f32";
    const dtype = kept ? to : "f32";
    const perByte = elementsOf(spec.shape)! / tensorBytes(dtype, spec.shape)!;
    const flow: Flow = {
      loop,
      written: (bytes) => options.progress?.(Math.round(done += bytes * perByte), total),
      // Nothing becomes float16 here: that is the backend's.
      overflowed: () => {},
    };
    const read = mapTensor(source, spec, {
      scheme: "gguf",
      ropeLayout: "interleaved",
      dtype,
      flow,
    });
    if (kept) return read;
    const matrix = { name, file: source.tensors.get(spec.name)!.file, shape: spec.shape };
    const rows = read.data as () => AsyncIterable<Uint8Array>;
    return {
      ...read,
      dtype: to,
      data: () =>
        quantizeRows({ ...matrix, data: rows() }, {
          dtype: to,
          backend: options.backend,
          importance: options.importance?.columns.get(name),
          made: meter === undefined ? undefined : (values, bytes) => meter.add(values, bytes),
        }),
    };
  });
}

function summaryOf(
  source: Checkpoint,
  targets: readonly Target[],
): Pick<Quantization, "weights" | "bytesBefore" | "bytes" | "bitsPerWeight"> {
  const weights = targets.map(({ spec, name, from, to, meter }): QuantizedWeight => ({
    name,
    shape: spec.shape,
    from,
    to,
    bytesBefore: source.tensors.get(spec.name)!.bytes,
    bytes: tensorBytes(to, spec.shape)!,
    ...(meter === undefined ? {} : { error: meter.error() }),
  }));
  const sum = (of: (weight: QuantizedWeight) => number) =>
    weights.reduce((total, weight) => total + of(weight), 0);
  const bytes = sum((weight) => weight.bytes);
  const elements = sum((weight) => elementsOf(weight.shape)!);
  return {
    weights,
    bytesBefore: sum((weight) => weight.bytesBefore),
    bytes,
    bitsPerWeight: 8 * bytes / elements,
  };
}
