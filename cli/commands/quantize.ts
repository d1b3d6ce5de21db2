/**
 * `llamero quantize`: writes a model as GGUF with fewer bits per weight.
 *
 * @module
 */

import { UsageError } from "../../lib/base/errors.ts";
import { formatBytes, formatCount } from "../../lib/base/format.ts";
import { quotedPath } from "../../lib/base/quoted.ts";
import type { Checkpoint } from "../../lib/checkpoint/checkpoint.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { MIXTURE_ALIASES, type MixtureName } from "../../lib/quant/mixture.ts";
import { readImportance } from "../../lib/quant/importance_file.ts";
import {
  type Quantization,
  quantizeCheckpoint,
  type QuantizedWeight,
} from "../../lib/quant/quantize.ts";
import { type Io, writeJson } from "../io.ts";
import { openBackendFor } from "../open_backend.ts";
import { Log } from "../ui/log.ts";
import { writeTable } from "../ui/table.ts";
import type { MixtureType, QuantizeArguments, QuantizeCommandOptions } from "./quantize.spec.ts";

/** What the command line gives. */
export type Values = QuantizeCommandOptions & QuantizeArguments;

function mixtureOf(type: MixtureType): MixtureName {
  return MIXTURE_ALIASES[type] ?? type as MixtureName;
}

/** Runs `llamero quantize`. */
export async function run(values: Values, io: Io): Promise<void> {
  if (!values.target.toLowerCase().endsWith(".gguf")) {
    throw new UsageError(
      `Cannot quantize to ${quotedPath(values.target)}: the output is a GGUF file, ` +
        "and a name that ends in .gguf was wanted",
    );
  }
  const log = new Log(io, values);
  const signal = io.interruption();
  const source = await openCheckpoint(values.source);
  const result = await quantize(source, { values, log, signal });
  for (const warning of result.warnings) log.warn(warning);
  for (const note of result.notes) log.note(note);
  if (result.tokenizer === undefined) {
    log.note("no tokenizer lies beside the model, and the output has none");
  }
  if (values.json) return writeJson(io.stdout, jsonOf(result, source, values));
  if (values.report) writeReport(result, io);
  const sizes = `${formatBytes(result.bytesBefore)} to ${formatBytes(result.bytes)}`;
  const bits = `${result.bitsPerWeight.toFixed(2)} bits per weight`;
  io.stdout.write(`${values.target}: ${mixtureOf(values.type)}, ${sizes}, ${bits}\n`);
}

interface Work {
  readonly values: Values;
  readonly log: Log;
  readonly signal: AbortSignal;
}

async function quantize(
  source: Checkpoint,
  { values, log, signal }: Work,
): Promise<Quantization> {
  const importance = values.importance === undefined
    ? undefined
    : await readImportance(values.importance);
  const backend = await openBackendFor({ ...values, processor: true }, log);
  const counting = log.counting({ label: "quantizing", format: formatCount });
  try {
    return await quantizeCheckpoint(source, {
      path: values.target,
      mixture: mixtureOf(values.type),
      backend,
      importance,
      measure: values.report,
      tokenizer: values.tokenizer,
      force: values.force,
      progress: counting.progress,
      signal,
    });
  } finally {
    counting.finish();
    backend.close();
  }
}

function writeReport({ weights }: Quantization, io: Io): void {
  const rows = weights.map((weight) => [
    weight.name,
    weight.shape.join("×"),
    weight.from,
    weight.to,
    formatBytes(weight.bytesBefore),
    formatBytes(weight.bytes),
    weight.error?.rms.toExponential(2) ?? "",
    weight.error === undefined ? "" : `${(100 * weight.error.relative).toFixed(2)}%`,
  ]);
  writeTable(io.stdout, {
    columns: [
      { title: "tensor" },
      { title: "shape", align: "right" },
      { title: "was" },
      { title: "is" },
      { title: "before", align: "right" },
      { title: "after", align: "right" },
      { title: "rms error", align: "right" },
      { title: "relative", align: "right" },
    ],
    rows,
  });
  io.stdout.write("\n");
}

function jsonOf(result: Quantization, source: Checkpoint, values: Values): unknown {
  const { weights, bytesBefore, bytes, bitsPerWeight, tokenizer, notes, warnings } = result;
  return {
    source: { path: source.path, format: source.format },
    path: values.target,
    type: mixtureOf(values.type),
    bytes_before: bytesBefore,
    bytes,
    bits_per_weight: bitsPerWeight,
    tokenizer: tokenizer ?? null,
    tensors: weights.map((weight) => tensorJson(weight, values.report)),
    notes: [...warnings, ...notes],
  };
}

function tensorJson(weight: QuantizedWeight, report: boolean): unknown {
  const { name, shape, from, to, bytesBefore, bytes, error } = weight;
  return {
    name,
    shape,
    from,
    to,
    bytes_before: bytesBefore,
    bytes,
    ...(report ? { rms_error: error?.rms ?? 0, relative_error: error?.relative ?? 0 } : {}),
  };
}
