/**
 * `llamero tokenize train`: learns a tokenizer from text.
 *
 * @module
 */

import { join } from "node:path";
import { formatBytes, formatCount, formatInteger } from "../../lib/base/format.ts";
import { checkTraining } from "../../lib/tokenizer/train/options.ts";
import { TrainedFolder } from "../../lib/tokenizer/train/save.ts";
import {
  type TrainedTokenizer,
  type TrainingProgress,
  trainTokenizer,
} from "../../lib/tokenizer/train/train.ts";
import { trainingWarnings } from "../../lib/tokenizer/train/warnings.ts";
import type { Sources } from "../command.ts";
import { type Io, writeJson } from "../io.ts";
import { openBackendFor } from "../open_backend.ts";
import { namedTexts } from "../text_inputs.ts";
import { trainingOf } from "../training_values.ts";
import { Log, type Ticker } from "../ui/log.ts";
import type { TokenizeTrainArguments, TokenizeTrainOptions } from "./tokenize_train.spec.ts";

/** What the command line gives. */
export type Values = TokenizeTrainOptions & TokenizeTrainArguments;

/** Runs `llamero tokenize train`. */
export async function run(values: Values, io: Io, sources: Sources<Values>): Promise<void> {
  const log = new Log(io, values);
  const signal = io.interruption();
  const training = trainingOf(values, sources);
  checkTraining(training);
  const { inputs, total } = namedTexts(values.files, io);
  using folder = TrainedFolder.create(values.out, { force: values.force });
  const backend = await openBackendFor({ ...values, processor: true }, log);
  const progress = new TrainingTicker(log, total);
  let trained: TrainedTokenizer;
  try {
    trained = await trainTokenizer(inputs, {
      backend,
      training,
      reading: {
        documents: values.inputFormat === "jsonl" ? "jsonl" : "file",
        field: values.field,
      },
      record: { inputFormat: sources.inputFormat === "flag" ? values.inputFormat : "" },
      signal,
      progress: (state) => progress.update(state),
    });
  } finally {
    progress.finish();
    backend.close();
  }
  const files = folder.write(trained);
  const warnings = trainingWarnings(trained);
  for (const warning of warnings) log.warn(warning);
  if (training.kind === "spm" && training.literalMarks) {
    log.note(
      "U+2581 in text comes back from its ids; SentencePiece and tokenizer.json take it as a space",
    );
  }
  report(trained, { values, files, warnings, io });
}

/** Reading, then learning, each with its own line. */
class TrainingTicker {
  readonly #log: Log;
  readonly #total: number | undefined;
  #phase: TrainingProgress["phase"] | undefined;
  #ticker: Ticker | undefined;

  constructor(log: Log, total: number | undefined) {
    this.#log = log;
    this.#total = total;
  }

  update(state: TrainingProgress): void {
    if (state.phase !== this.#phase) this.#begin(state);
    this.#ticker!.update(state.phase === "reading" ? state.stored : state.learned);
  }

  #begin(state: TrainingProgress): void {
    this.finish();
    this.#phase = state.phase;
    const all = this.#total === undefined ? {} : { total: this.#total };
    this.#ticker = this.#log.progress(
      state.phase === "reading"
        ? { label: "reading", ...all, format: formatBytes }
        : { label: "learning", total: state.target, unit: "pieces", format: formatCount },
    );
  }

  finish(): void {
    this.#ticker?.finish();
  }
}

/** Number of ids: for byte-level ranks the control symbols behind them too. */
function vocabularySize({ training, pieces, meta }: TrainedTokenizer): number {
  return pieces.types.length + (training.kind === "bytes" ? meta.length : 0);
}

function report(
  trained: TrainedTokenizer,
  { values, files, warnings, io }: {
    readonly values: Values;
    readonly files: readonly string[];
    readonly warnings: readonly string[];
    readonly io: Io;
  },
): void {
  const { text, learning } = trained;
  const size = vocabularySize(trained);
  if (values.json) {
    return writeJson(io.stdout, {
      path: values.out,
      files: files.map((name) => join(values.out, name)),
      kind: values.kind,
      vocab_size: size,
      learned: learning.learned,
      last_frequency: learning.frequency,
      lines: text.lines,
      lines_too_long: text.tooLong,
      lines_reserved: text.reserved,
      distinct_words: text.words,
      alphabet: text.alphabet,
      undetermined_from: learning.ambiguousFrom ?? null,
      warnings,
    });
  }
  const read = `${formatInteger(text.lines)} lines with ${formatInteger(text.words)} words`;
  io.stdout.write(`${values.out}: ${formatInteger(size)} ids from ${read}\n`);
}
