/**
 * Training a tokenizer: from text to a vocabulary.
 *
 * @module
 */

import type { Backend } from "../../backend/backend.ts";
import { FormatError, LlameroError } from "../../base/errors.ts";
import { EventLoop } from "../../base/event_loop.ts";
import { quotedPath } from "../../base/quoted.ts";
import type { PieceList } from "../../formats/piece_list.ts";
import { formatSentencePieceModel } from "../../formats/sentencepiece_model.ts";
import { type TextBlockOptions, textBlocks } from "../../formats/text_blocks.ts";
import type { TextInput } from "../../formats/text_chunks.ts";
import { formatTiktokenRanks } from "../../formats/tiktoken_ranks.ts";
import { charsmapOfTraining } from "./charsmaps.ts";
import { describeTraining } from "./description.ts";
import { type MetaPiece, metaPieces } from "./meta_pieces.ts";
import { trainedModel, type TrainingRecord } from "./model_file.ts";
import { checkTraining, type PieceTraining, type Training } from "./options.ts";
import { type LearningProgress, type TextSummary, TrainEngine } from "./train_engine.ts";
import {
  assemblePieces,
  assembleRanks,
  controlTokensBehind,
  piecesToLearn,
  tooLarge,
} from "./vocabulary.ts";

/** How far a training has come. */
export type TrainingProgress =
  | {
    /** Text is being read. */
    readonly phase: "reading";
    /** Bytes read of all files, as they are stored. */
    readonly stored: number;
  }
  | {
    /** Pieces are being learned. */
    readonly phase: "learning";
    /** How many there are. */
    readonly learned: number;
    /** How many are wanted. */
    readonly target: number;
  };

/** What a training needs besides its text. */
export interface TrainOptions {
  /** Where it computes. */
  readonly backend: Backend;
  /** What is trained. */
  readonly training: Training;
  /** How the texts are read: files, or lines of JSON with a field. */
  readonly reading?: Pick<TextBlockOptions, "documents" | "field"> | undefined;
  /** What the model says of its training without being shaped by it. */
  readonly record?: Partial<TrainingRecord> | undefined;
  /** Ends the training when it is aborted. */
  readonly signal?: AbortSignal | undefined;
  /** Hears now and then how far the training has come. */
  readonly progress?: ((progress: TrainingProgress) => void) | undefined;
}

/** A tokenizer that was trained. */
export interface TrainedTokenizer {
  /** What was trained. */
  readonly training: Training;
  /** The vocabulary in id order; for byte-level training without the control symbols behind it. */
  readonly pieces: PieceList;
  /** Pieces that are there before any training. */
  readonly meta: readonly MetaPiece[];
  /** The bytes of `tokenizer.model`. */
  readonly model: Uint8Array;
  /** What was read. */
  readonly text: TextSummary;
  /** How learning ended. */
  readonly learning: LearningProgress;
}

/** A call of the kernel should last about this long, so that an interrupt is heard soon. */
const STEP_MS = 50;

/**
 * Trains a tokenizer on texts, in their order.
 *
 * @example
 * ```ts
 * import { openBackend, TRAINING_DEFAULTS } from "@llamero/llamero";
 *
 * const trained = await trainTokenizer([{ name: "shakespeare.txt" }], {
 *   backend: await openBackend(),
 *   training: { ...TRAINING_DEFAULTS.llama, vocabSize: 4096 },
 * });
 * await Deno.writeFile("tokenizer.model", trained.model);
 * ```
 * @throws {ConfigError} If the options cannot go together.
 * @throws {FormatError} If a text is not UTF-8, or a line not the JSON that was wanted.
 * @throws {LlameroError} If the text does not allow the vocabulary.
 */
export async function trainTokenizer(
  inputs: readonly TextInput[],
  options: TrainOptions,
): Promise<TrainedTokenizer> {
  const { backend, training } = options;
  checkTraining(training);
  const meta = training.kind === "spm" ? metaPieces(training) : [];
  const charsmap = await charsmapOfTraining(training);
  const tables = { metaPieces: meta.map(({ text }) => text), charsmap };
  const engine = new TrainEngine(backend, describeTraining(training, tables));
  try {
    await feed(engine, inputs, options);
    const text = engine.prepare();
    checkText(text);
    const target = training.kind === "spm"
      ? piecesToLearn(training, { meta: meta.length, alphabet: text.alphabet })
      : training.vocabSize - 256;
    const learning = await learn(engine, target, options);
    if (learning.learned < target && training.hardVocabLimit) {
      const possible = training.vocabSize - target + learning.learned;
      throw tooLarge(training.vocabSize, possible);
    }
    const learned = engine.pieces();
    if (training.kind === "spm") {
      const pieces = assemblePieces(learned, meta);
      const names = inputs.map(({ name }) => name);
      const model = modelBytes(pieces, training, { names, charsmap, record: options.record });
      return { training, pieces, meta, model, text, learning };
    }
    const pieces = assembleRanks(learned);
    const model = formatTiktokenRanks(pieces);
    const control = controlTokensBehind(pieces, training);
    return { training, pieces, meta: control, model, text, learning };
  } finally {
    engine.close();
  }
}

function modelBytes(
  pieces: PieceList,
  training: PieceTraining,
  { names, charsmap, record }: {
    readonly names: readonly string[];
    readonly charsmap: Uint8Array;
    readonly record: Partial<TrainingRecord> | undefined;
  },
): Uint8Array {
  // 16 threads are what spm_train records by default; how many we had must not change the file.
  const usual = { input: names, inputFormat: "", modelPrefix: "tokenizer", numThreads: 16 };
  const options = { charsmap, record: { ...usual, ...record } };
  return formatSentencePieceModel(trainedModel(pieces, training, options));
}

async function feed(
  engine: TrainEngine,
  inputs: readonly TextInput[],
  { reading, signal, progress }: TrainOptions,
): Promise<void> {
  const meter = { stored: 0 };
  const loop = new EventLoop(signal);
  for (const input of inputs) {
    // Bytes that were fed, so that an error can say where in the file it is.
    let before = 0;
    for await (const block of textBlocks(input, { ...reading, meter })) {
      const { invalid, full } = engine.feed(block);
      if (invalid !== undefined) throw notText(input.name, before + invalid);
      if (full) return;
      before += block.bytes.length;
      progress?.({ phase: "reading", stored: meter.stored });
      await loop.turn();
    }
  }
}

/** Lines of JSON were checked before, so that the offset is one of the file. */
function notText(name: string, offset: number): FormatError {
  return new FormatError(`Cannot train on ${quotedPath(name)}: byte ${offset} is not UTF-8`, {
    file: name,
    offset,
    hint: "convert it first: iconv -f LATIN1 -t UTF-8",
  });
}

function checkText({ lines, tooLong, reserved, words, absent }: TextSummary): void {
  if (lines === 0 || words === 0) {
    const left = tooLong + reserved > 0
      ? `all lines were left out (${tooLong} too long, ${reserved} with U+2585)`
      : "the text is empty";
    throw new LlameroError(`Cannot train a tokenizer: ${left}, and some lines are needed`, {
      hint: tooLong > 0 ? "allow longer lines with --max-sentence-length" : undefined,
    });
  }
  if (absent === undefined) return;
  const code = absent.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
  throw new LlameroError(
    `Cannot train a tokenizer: the required character ${
      JSON.stringify(absent)
    } (U+${code}) does not occur in the text`,
    { hint: "leave it out of --required-chars, or give text that has it" },
  );
}

async function learn(
  engine: TrainEngine,
  target: number,
  { signal, progress }: TrainOptions,
): Promise<LearningProgress> {
  const loop = new EventLoop(signal);
  let budget = 1;
  for (;;) {
    const start = performance.now();
    const state = engine.step(target, budget);
    const ms = performance.now() - start;
    budget = Math.max(1, Math.min(Math.ceil(budget * STEP_MS / Math.max(ms, 1)), 4 * budget));
    progress?.({ phase: "learning", learned: state.learned, target });
    if (state.exhausted || state.learned >= target) return state;
    await loop.turn();
  }
}
