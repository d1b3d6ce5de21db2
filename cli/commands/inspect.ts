/**
 * `llamero inspect`: what a model file is, and whether its parts fit together.
 *
 * @module
 */

import { LlameroError } from "../../lib/base/errors.ts";
import { formatBytes, formatCount, formatInteger } from "../../lib/base/format.ts";
import type { Checkpoint } from "../../lib/checkpoint/checkpoint.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { isPlainTensorFile } from "../../lib/checkpoint/plain_tensors.ts";
import { type TensorStatistics, tensorStatistics } from "../../lib/checkpoint/statistics.ts";
import type { GgufFile } from "../../lib/formats/gguf.ts";
import { ggufString, ggufStrings } from "../../lib/formats/gguf_values.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import type { TensorRecord } from "../../lib/formats/tensor_file.ts";
import type { ModelConfig } from "../../lib/model/config.ts";
import { type FloatName, toHuggingFaceConfig } from "../../lib/model/config_huggingface.ts";
import { countParameters } from "../../lib/model/parameters.ts";
import { presetLike } from "../../lib/model/presets.ts";
import { type Io, writeJson } from "../io.ts";
import { Log } from "../ui/log.ts";
import { writeTable } from "../ui/table.ts";
import type { InspectArguments, InspectOptions } from "./inspect.spec.ts";

/** What is known of a path. */
interface Description {
  readonly format: Checkpoint["format"] | "safetensors";
  readonly config: ModelConfig | undefined;
  readonly parameters: number;
  readonly records: readonly TensorRecord[];
  readonly files: readonly string[];
  readonly tokenizer: TokenizerDescription | undefined;
}

type TokenizerDescription =
  | { readonly path: string; readonly kind: string; readonly vocabSize: number }
  | { readonly path: string; readonly error: string };

const FORMAT_NAMES: Readonly<Record<Description["format"], string>> = {
  hf: "Hugging Face model",
  gguf: "GGUF model",
  meta: "Meta model",
  llama2c: "llama2.c model",
  safetensors: "tensors without a model's config",
};

const FLOATS: readonly string[] = ["f32", "f16", "bf16"] satisfies FloatName[];

/** Runs `llamero inspect`. */
export async function run(values: InspectOptions & InspectArguments, io: Io): Promise<void> {
  const description = await isPlainTensorFile(values.path)
    ? await describeTensors(values.path)
    : await describeModel(values.path);
  const statistics = values.stats ? describeNumbers(description, io, values) : undefined;
  if (values.json) return writeJson(io.stdout, jsonOf(description, values.path, statistics));
  writeSummary(description, values.path, io);
  if (values.tensors || values.stats) {
    io.stdout.write("\n");
    writeTensors(description, io, statistics);
  }
}

async function describeTensors(path: string): Promise<Description> {
  const file = await readSafetensors(path);
  const records = [...file.records.values()];
  return {
    format: "safetensors",
    config: undefined,
    parameters: records.reduce((sum, record) => sum + elementsIn(record), 0),
    records,
    files: [path],
    tokenizer: undefined,
  };
}

async function describeModel(path: string): Promise<Description> {
  const checkpoint = await openCheckpoint(path);
  const { format, config } = checkpoint;
  return {
    format,
    config,
    parameters: countParameters(config).total,
    records: [...checkpoint.tensors.values()],
    files: checkpoint.files,
    tokenizer: await describeTokenizer(checkpoint),
  };
}

/** A tokenizer that cannot be read spoils no description of the model. */
async function describeTokenizer(
  { format, tokenizerPath: path, metadata }: Checkpoint,
): Promise<TokenizerDescription | undefined> {
  if (path === undefined) return undefined;
  if (format === "gguf") {
    // The metadata is read already, and says it without the vocabulary being built.
    const file = { path, metadata: metadata as GgufFile["metadata"] };
    const model = ggufString(file, "tokenizer.ggml.model") ?? "unnamed";
    const kind = model === "llama" ? "sentencepiece" : model;
    return { path, kind, vocabSize: ggufStrings(file, "tokenizer.ggml.tokens")?.length ?? 0 };
  }
  const { openTokenizer } = await import("../../lib/tokenizer/open.ts");
  try {
    const { kind, vocabSize } = await openTokenizer(path);
    return { path, kind, vocabSize };
  } catch (error) {
    if (error instanceof LlameroError) return { path, error: error.message };
    throw error;
  }
}

function describeNumbers(
  { records }: Description,
  io: Io,
  values: InspectOptions,
): (TensorStatistics | undefined)[] {
  const total = records.reduce((sum, record) => sum + record.bytes, 0);
  const ticker = new Log(io, values).progress({ label: "reading", total, format: formatBytes });
  let done = 0;
  try {
    return records.map((record) => {
      const statistics = tensorStatistics(record);
      ticker.update(done += record.bytes);
      return statistics;
    });
  } finally {
    ticker.finish();
  }
}

function elementsIn(record: TensorRecord): number {
  return record.shape.reduce((product, extent) => product * extent, 1);
}

/** Element types by the bytes that they take, most first. */
function dtypesOf(records: readonly TensorRecord[]): string[] {
  const bytes = new Map<string, number>();
  for (const { dtype, bytes: more } of records) bytes.set(dtype, (bytes.get(dtype) ?? 0) + more);
  return [...bytes].sort((a, b) => b[1] - a[1]).map(([dtype]) => dtype);
}

function bytesOf(records: readonly TensorRecord[]): number {
  return records.reduce((sum, record) => sum + record.bytes, 0);
}

/** The config under Hugging Face's names, whatever the format. */
function configOf({ config, records }: Description): Record<string, unknown> | undefined {
  if (config === undefined) return undefined;
  const dtypes = dtypesOf(records);
  const areFloats = dtypes.every((dtype) => FLOATS.includes(dtype));
  return toHuggingFaceConfig(config, areFloats ? { dtype: dtypes[0] as FloatName } : {});
}

function jsonOf(
  description: Description,
  path: string,
  statistics: readonly (TensorStatistics | undefined)[] | undefined,
): unknown {
  const { format, parameters, records, files, tokenizer } = description;
  return {
    path,
    format,
    config: configOf(description) ?? null,
    parameters,
    bytes: bytesOf(records),
    files,
    tokenizer: tokenizerJson(tokenizer),
    tensors: records.map(({ name, dtype, shape }, i) => ({
      name,
      dtype,
      shape,
      ...(statistics === undefined ? {} : { stats: statisticsJson(statistics[i]) }),
    })),
  };
}

function tokenizerJson(tokenizer: TokenizerDescription | undefined): unknown {
  if (tokenizer === undefined) return null;
  if ("error" in tokenizer) return tokenizer;
  const { path, kind, vocabSize } = tokenizer;
  return { path, kind, vocab_size: vocabSize };
}

/** What has no value is null: JSON leaves out what is undefined. */
function statisticsJson(statistics: TensorStatistics | undefined): unknown {
  if (statistics === undefined) return null;
  const { min = null, max = null, mean = null, rms = null, nan, infinite } = statistics;
  return { min, max, mean, rms, nan, inf: infinite };
}

function writeSummary(description: Description, path: string, io: Io): void {
  const { format, config, parameters, records, files, tokenizer } = description;
  const family = config === undefined ? "" : config.architecture === "palm" ? ", PaLM" : ", Llama";
  io.stdout.write(`${path}: ${FORMAT_NAMES[format]}${family}\n\n`);
  const counted = config === undefined ? "" : describeCounts(config);
  const where = files.length === 1 ? "1 file" : `${files.length} files`;
  const rows = [
    [
      config === undefined ? "numbers" : "parameters",
      `${formatInteger(parameters)} (${formatCount(parameters)}${counted})`,
    ],
    [
      "weights",
      `${records.length} tensors of ${dtypesOf(records).join(", ")}, ` +
      `${formatBytes(bytesOf(records))} in ${where}`,
    ],
  ];
  if (config !== undefined) rows.push(["tokenizer", describeTokenizerLine(tokenizer, config)]);
  const likeness = config === undefined ? undefined : likenessOf(config);
  if (likeness !== undefined) rows.push(["preset", likeness]);
  for (const [key, value] of Object.entries(configOf(description) ?? {})) {
    rows.push([key, typeof value === "object" ? JSON.stringify(value) : String(value)]);
  }
  writeTable(io.stdout, { columns: [{ title: "", style: "dim" }, { title: "" }], rows });
}

function describeCounts(config: ModelConfig): string {
  const { embedding, block } = countParameters(config);
  const tied = config.tieWordEmbeddings ? ", also the head" : "";
  return `: embedding ${formatCount(embedding)}${tied}, ` +
    `${config.numHiddenLayers} blocks of ${formatCount(block)}`;
}

function describeTokenizerLine(
  tokenizer: TokenizerDescription | undefined,
  config: ModelConfig,
): string {
  if (tokenizer === undefined) return "none beside the weights";
  if ("error" in tokenizer) return tokenizer.error;
  const { path, kind, vocabSize } = tokenizer;
  const isRight = vocabSize === config.vocabSize;
  const misfit = isRight ? "" : ` (the model has ${formatInteger(config.vocabSize)})`;
  return `${kind}, ${formatInteger(vocabSize)} tokens${misfit}, ${path}`;
}

/** The published model of these sizes, whatever its vocabulary. */
function likenessOf(config: ModelConfig): string | undefined {
  const { architecture, hiddenSize, intermediateSize, numHiddenLayers } = config;
  const { numAttentionHeads, numKeyValueHeads, headDim, maxPositionEmbeddings } = config;
  const sizes = {
    ...{ architecture, hiddenSize, intermediateSize, numHiddenLayers },
    ...{ numAttentionHeads, numKeyValueHeads, headDim },
  };
  const preset = presetLike({ ...sizes, maxPositionEmbeddings }) ?? presetLike(sizes);
  return preset === undefined ? undefined : `sizes of ${preset.name}`;
}

function writeTensors(
  { records, files }: Description,
  io: Io,
  statistics: readonly (TensorStatistics | undefined)[] | undefined,
): void {
  const right = { align: "right" } as const;
  const columns = [
    { title: "tensor" },
    { title: "type" },
    { title: "shape" },
    { title: "size", ...right },
    ...(statistics === undefined ? [] : ["min", "max", "mean", "rms", "nan", "inf"].map(
      (title) => ({ title, ...right }),
    )),
    ...(files.length > 1 ? [{ title: "file" }] : []),
  ];
  const rows = records.map((record, i) => [
    record.name,
    record.dtype,
    `[${record.shape.join(", ")}]`,
    formatBytes(record.bytes),
    ...(statistics === undefined ? [] : statisticsCells(statistics[i])),
    ...(files.length > 1 ? [record.file] : []),
  ]);
  writeTable(io.stdout, { columns, rows });
}

function statisticsCells(statistics: TensorStatistics | undefined): string[] {
  if (statistics === undefined) return ["-", "-", "-", "-", "-", "-"];
  const { min, max, mean, rms, nan, infinite } = statistics;
  const numbers = [min, max, mean, rms].map((value) => value?.toPrecision(4) ?? "-");
  return [...numbers, `${nan}`, `${infinite}`];
}
