/**
 * `llamero convert`: writes a model in another format or element type.
 *
 * @module
 */

import { formatBytes } from "../../lib/base/format.ts";
import type { Checkpoint } from "../../lib/checkpoint/checkpoint.ts";
import { type Conversion, convertCheckpoint } from "../../lib/checkpoint/convert.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { type Io, writeJson } from "../io.ts";
import { Log } from "../ui/log.ts";
import type { ConvertArguments, ConvertOptions } from "./convert.spec.ts";

/** What transformers cuts files to. */
const SHARD_BYTES = 5e9;

/** Runs `llamero convert`. */
export async function run(values: ConvertOptions & ConvertArguments, io: Io): Promise<void> {
  const log = new Log(io, values);
  const signal = io.interruption();
  const source = await openCheckpoint(values.source);
  const counting = log.counting({ label: "converting", format: formatBytes });
  let conversion: Conversion;
  try {
    conversion = await convertCheckpoint(source, {
      path: values.target,
      to: values.to,
      dtype: values.dtype,
      shardBytes: values.shardSize ?? SHARD_BYTES,
      modelParallel: values.modelParallel,
      tokenizer: values.tokenizer,
      weightsOnly: values.weightsOnly,
      force: values.force,
      progress: counting.progress,
      signal,
    });
  } finally {
    counting.finish();
  }
  for (const warning of conversion.warnings) log.warn(warning);
  for (const note of conversion.notes) log.note(note);
  if (conversion.tokenizer === undefined && !values.weightsOnly) log.note(noTokenizer(source));
  if (values.json) return writeJson(io.stdout, jsonOf(conversion, { source, values }));
  const { tensors, bytes, types, files } = conversion;
  const where = files.length === 1 ? "" : `, ${files.length} files`;
  io.stdout.write(
    `${values.target}: ${tensors} tensors of ${types.join(", ")}, ${formatBytes(bytes)}${where}\n`,
  );
}

function noTokenizer({ format }: Checkpoint): string {
  const hint = format === "llama2c" ? "; --tokenizer names one" : "";
  return `no tokenizer lies beside the model, and the output has none${hint}`;
}

function jsonOf(
  conversion: Conversion,
  { source, values }: {
    readonly source: Checkpoint;
    readonly values: ConvertArguments & ConvertOptions;
  },
): unknown {
  const { files, tensors, bytes, types, tokenizer, notes, warnings } = conversion;
  return {
    source: { path: source.path, format: source.format },
    path: values.target,
    format: values.to,
    files,
    tensors,
    bytes,
    dtypes: types,
    tokenizer: tokenizer ?? null,
    notes: [...warnings, ...notes],
  };
}
