/**
 * `llamero importance`: measures which columns of a model matter.
 *
 * @module
 */

import { basename } from "node:path";
import { tryOutputPath } from "../../lib/base/atomic_file.ts";
import { collectImportance } from "../../lib/eval/collect_importance.ts";
import { LanguageModel } from "../../lib/infer/language_model.ts";
import { writeImportance } from "../../lib/quant/importance_write.ts";
import { type Io, writeJson } from "../io.ts";
import { openBackendFor } from "../open_backend.ts";
import { readText } from "../text_input.ts";
import { Log } from "../ui/log.ts";
import type { ImportanceOptions } from "./importance.spec.ts";

/** Runs `llamero importance`. */
export async function run(values: ImportanceOptions, io: Io): Promise<void> {
  tryOutputPath(values.out, values);
  const text = await readText(values.text, io);
  const log = new Log(io, values);
  const signal = io.interruption();
  const backend = await openBackendFor(values, log);
  const counting = log.counting({ label: "measuring", unit: "windows" });
  try {
    const { model: path, tokenizer, context } = values;
    const model = await LanguageModel.open(path, { backend, tokenizer, signal });
    const collected = await collectImportance(model, {
      text,
      context,
      signal,
      progress: counting.progress,
    });
    counting.finish();
    const dataset = values.text === "-" ? "stdin" : basename(values.text);
    await writeImportance(values.out, collected, { dataset, force: values.force });
    const { entries, chunks, chunkTokens } = collected;
    if (values.json) {
      writeJson(io.stdout, {
        out: values.out,
        matrices: entries.length,
        windows: chunks,
        context: chunkTokens,
      });
    } else {
      io.stdout.write(
        `${values.out}: ${entries.length} matrices, ${chunks} windows of ${chunkTokens} tokens\n`,
      );
    }
  } finally {
    counting.finish();
    backend.close();
  }
}
