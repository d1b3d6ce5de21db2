/**
 * `llamero eval perplexity`: how well a model predicts a text, alone or against another model.
 *
 * @module
 */

import type { Checkpoint } from "../../lib/checkpoint/checkpoint.ts";
import type { Estimate } from "../../lib/eval/distribution.ts";
import { measurePerplexity, type PerplexityResult } from "../../lib/eval/perplexity.ts";
import { elementsOf } from "../../lib/formats/file_dtype.ts";
import { LanguageModel } from "../../lib/infer/language_model.ts";
import { type Io, writeJson } from "../io.ts";
import { openBackendFor } from "../open_backend.ts";
import { readText } from "../text_input.ts";
import { Log } from "../ui/log.ts";
import { writeTable } from "../ui/table.ts";
import type { EvalPerplexityOptions } from "./eval_perplexity.spec.ts";

/** Runs `llamero eval perplexity`. */
export async function run(values: EvalPerplexityOptions, io: Io): Promise<void> {
  const text = await readText(values.text, io);
  const log = new Log(io, values);
  const signal = io.interruption();
  const backend = await openBackendFor(values, log);
  const counting = log.counting({ label: "judging", unit: "windows" });
  try {
    const opening = { ...values, backend, signal };
    const model = await LanguageModel.open(values.model, opening);
    const spareTokenizer = model.checkpoint.tokenizerPath;
    const reference = values.reference === undefined
      ? undefined
      : await LanguageModel.open(values.reference, { ...opening, spareTokenizer });
    const result = await measurePerplexity(model, {
      text,
      reference,
      context: values.context,
      kvType: values.kvType,
      signal,
      progress: counting.progress,
    });
    counting.finish();
    const bits = {
      model: bitsPerWeight(model.checkpoint),
      reference: reference && bitsPerWeight(reference.checkpoint),
    };
    if (values.json) writeJson(io.stdout, jsonOf(result, bits));
    else writeReport(result, bits, io);
  } finally {
    counting.finish();
    backend.close();
  }
}

interface Bits {
  readonly model: number;
  readonly reference: number | undefined;
}

/** Bits of all tensors over their elements. */
function bitsPerWeight(checkpoint: Checkpoint): number {
  let [bytes, elements] = [0, 0];
  for (const record of checkpoint.tensors.values()) {
    bytes += record.bytes;
    elements += elementsOf(record.shape) ?? 0;
  }
  return 8 * bytes / elements;
}

function jsonOf(result: PerplexityResult, bits: Bits): Record<string, unknown> {
  const { comparison } = result;
  const pair = ({ mean, standardError }: Estimate) => ({ mean, standard_error: standardError });
  return {
    perplexity: result.perplexity,
    standard_error: result.standardError,
    loss: pair(result.loss),
    tokens: result.tokens,
    windows: result.windows,
    context: result.context,
    bits_per_weight: bits.model,
    ...(comparison && {
      reference: {
        perplexity: comparison.reference.perplexity,
        standard_error: comparison.reference.standardError,
        loss: pair(comparison.reference.loss),
        bits_per_weight: bits.reference,
      },
      difference: pair(comparison.difference),
      kl_divergence: { ...pair(comparison.klDivergence), p99: comparison.klDivergence99 },
      same_top: comparison.sameTop,
    }),
  };
}

function writeReport(result: PerplexityResult, bits: Bits, io: Io): void {
  const { comparison } = result;
  const rows: string[][] = [
    ["perplexity", plusMinus(result.perplexity, result.standardError)],
    ["tokens judged", `${result.tokens} in ${result.windows} windows of ${result.context}`],
    ["bits per weight", bits.model.toFixed(2)],
  ];
  if (comparison) {
    const { reference, difference, klDivergence } = comparison;
    rows.push(
      ["reference's perplexity", plusMinus(reference.perplexity, reference.standardError)],
      ["reference's bits per weight", bits.reference!.toFixed(2)],
      ["difference of the losses", plusMinus(difference.mean, difference.standardError, 6)],
      ["KL divergence", plusMinus(klDivergence.mean, klDivergence.standardError, 6)],
      ["KL divergence, 99th percentile", comparison.klDivergence99.toFixed(6)],
      ["same token likeliest", `${(100 * comparison.sameTop).toFixed(2)}%`],
    );
  }
  writeTable(io.stdout, { columns: [{ title: "" }, { title: "" }], rows });
}

function plusMinus(value: number, error: number, digits = 4): string {
  return `${value.toFixed(digits)} ± ${error.toFixed(digits)}`;
}
