/**
 * Converting a model from any format into any other.
 *
 * Everything that can be refused is refused before the first byte is written; the output appears whole
 * or not at all. Tensors flow in chunks, so memory holds a few of them, whatever the model's size.
 *
 * @module
 */

import { dirname } from "node:path";
import { UsageError } from "../base/errors.ts";
import { EventLoop } from "../base/event_loop.ts";
import { quotedPath } from "../base/quoted.ts";
import { isOneOf } from "../base/same_file.ts";
import type { FloatName } from "../model/config_huggingface.ts";
import type { Checkpoint, CheckpointFormat } from "./checkpoint.ts";
import type { Flow } from "./map.ts";
import { plannedBytes, type SaveOptions, type SavePlan } from "./plan.ts";
import { planGguf } from "./save_gguf.ts";
import { planHuggingFace } from "./save_huggingface.ts";
import { planLlama2c } from "./save_llama2c.ts";
import { planMeta } from "./save_meta.ts";
import { targetTypes } from "./target_types.ts";
import { packTokenizer, type TokenizerChoice } from "./travelling_tokenizer.ts";

/** What a model is converted to. */
export interface ConvertOptions extends TokenizerChoice {
  /** Where to: a folder for `hf` and `meta`, a file for `gguf` and `llama2c`. */
  readonly path: string;
  /** The format. */
  readonly to: CheckpointFormat;
  /** Element type of all weights; each keeps its own without it. */
  readonly dtype?: FloatName | undefined;
  /** Hugging Face: most bytes of tensors in one file. */
  readonly shardBytes?: number | undefined;
  /** Meta: files that the weights are cut over. */
  readonly modelParallel?: number | undefined;
  /** Replaces an output that exists. */
  readonly force?: boolean | undefined;
  /** Called with the bytes of tensors written so far and those to write. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
  /** Stops between chunks, with nothing left behind. */
  readonly signal?: AbortSignal | undefined;
}

/** What a conversion did. */
export interface Conversion {
  /** The files that were written. */
  readonly files: readonly string[];
  /** How many tensors are in them, each slice counted. */
  readonly tensors: number;
  /** Bytes of the tensors. */
  readonly bytes: number;
  /** Element types, those of most bytes first. */
  readonly types: readonly string[];
  /** Where the tokenizer was read from; absent where none travelled. */
  readonly tokenizer?: string;
  /** What the target does not say of the model. */
  readonly notes: readonly string[];
  /** What was lost: numbers beyond the range of the new type, ids of texts that become others. */
  readonly warnings: readonly string[];
}

/**
 * Converts an open checkpoint.
 *
 * @example
 * ```ts
 * import { openCheckpoint } from "@llamero/llamero";
 *
 * const source = await openCheckpoint("models/tinyllama");
 * await convertCheckpoint(source, { path: "tinyllama.gguf", to: "gguf", dtype: "f16" });
 * ```
 * @throws {UsageError} Where the target is the source.
 * @throws {ConfigError} Where the target cannot hold the model; the message names the field.
 * @throws {LlameroError} Where the output exists (without `force`) or cannot be written.
 */
export async function convertCheckpoint(
  source: Checkpoint,
  options: ConvertOptions,
): Promise<Conversion> {
  checkPaths(source, options);
  const warnings: string[] = [];
  let [done, total] = [0, 0];
  const flow: Flow = {
    loop: new EventLoop(options.signal),
    written: (bytes) => options.progress?.(done += bytes, total),
    overflowed: (name, count) => warnings.push(describeOverflow(name, count)),
  };
  const types = targetTypes(source, options);
  const tokenizer = await packTokenizer(source, options);
  warnings.push(...tokenizer.warnings ?? []);
  const plan = await planFor(source, options, { ...options, types, tokenizer, flow });
  total = plannedBytes(plan);
  options.signal?.throwIfAborted();
  const files = await plan.write();
  return {
    files,
    tensors: plan.tensors.length,
    bytes: total,
    types: typesOf(plan),
    ...(tokenizer.path === undefined ? {} : { tokenizer: tokenizer.path }),
    notes: [...plan.notes, ...widened(source, types, options)],
    warnings,
  };
}

function planFor(
  source: Checkpoint,
  { to, shardBytes, modelParallel }: ConvertOptions,
  options: SaveOptions,
): Promise<SavePlan> {
  switch (to) {
    case "hf":
      return planHuggingFace(source, { ...options, shardBytes });
    case "gguf":
      return planGguf(source, options);
    case "meta":
      return planMeta(source, { ...options, modelParallel });
    case "llama2c":
      return planLlama2c(source, options);
  }
}

/** What a user did not ask for: types that the target lacks became wider ones. */
function widened(
  source: Checkpoint,
  types: ReadonlyMap<string, string>,
  { dtype }: ConvertOptions,
): string[] {
  const changed = [...source.tensors].filter(([name, record]) =>
    record.shape.length > 1 && record.dtype !== types.get(name)
  );
  if (dtype !== undefined || changed.length === 0) return [];
  const before = [...new Set(changed.map(([, record]) => record.dtype))];
  return [
    `${before.join(", ")} weights became f32, which the format holds and which loses nothing`,
  ];
}

function describeOverflow(name: string, count: number): string {
  const numbers = count === 1 ? "1 number" : `${count} numbers`;
  return `tensor ${name} had ${numbers} beyond f16's largest (65504), now infinite`;
}

function typesOf(plan: SavePlan): string[] {
  const bytes = new Map<string, number>();
  for (const tensor of plan.tensors) {
    const more = plannedBytes({ tensors: [tensor] });
    bytes.set(tensor.dtype, (bytes.get(tensor.dtype) ?? 0) + more);
  }
  return [...bytes].sort((a, b) => b[1] - a[1]).map(([type]) => type);
}

/** Refuses to write over what is read: no force makes that right. */
function checkPaths(source: Checkpoint, { path, to, tokenizer }: ConvertOptions): void {
  const isFolder = to === "hf" || to === "meta";
  const read = [...source.files, ...(tokenizer === undefined ? [] : [tokenizer])];
  const inputs = [source.path, ...(isFolder ? read.map((file) => dirname(file)) : read)];
  if (!isOneOf(path, inputs)) return;
  throw new UsageError(
    `Cannot convert ${quotedPath(source.path)} to ${quotedPath(path)}: the output is the input`,
    { hint: "choose another name for the output" },
  );
}
