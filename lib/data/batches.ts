/**
 * Batches of a run, ready for the model: tokens, targets, what each token may see, and positions.
 *
 * @module
 */

import type { BatchRamp } from "./ramp.ts";
import { DataOrder, type Place, type Skip } from "./order.ts";
import type { TokenSource, Window } from "./token_source.ts";

/** A target that is not counted. */
export const NO_TARGET: number = -100;

/** Sequences of one length side by side: row `b length + t` is token t of sequence b. */
export interface SequenceBatch {
  /** How many sequences. */
  readonly sequences: number;
  /** Tokens of each. */
  readonly length: number;
  /** The tokens [sequences length]. */
  readonly tokens: Int32Array<ArrayBuffer>;
  /** The token after each [sequences length]; negative where it is not counted. */
  readonly targets: Int32Array<ArrayBuffer>;
  /** First row that each row sees [sequences length]: that of its sequence, or of its document. */
  readonly starts: Int32Array<ArrayBuffer>;
  /** Position of each row [sequences length], from 0 at its first visible row. */
  readonly positions: Int32Array<ArrayBuffer>;
}

/** How windows become batches. */
export interface BatchOptions {
  /** Ids from here on are refused. */
  readonly vocabSize: number;
  /**
   * Keeps attention inside documents, restarts positions with each, and counts no target across a
   * border, so that a document is what it would be alone.
   */
  readonly documentMask: boolean;
}

/** Targets of a batch that count. */
export function countTargets(batch: Pick<SequenceBatch, "targets">): number {
  return batch.targets.reduce((count, target) => count + +(target >= 0), 0);
}

/** Puts windows of one length side by side. */
export function assembleBatch(
  windows: readonly Window[],
  { documentMask }: Pick<BatchOptions, "documentMask">,
): SequenceBatch {
  const length = windows[0]!.tokens.length - 1;
  const rows = windows.length * length;
  const batch: SequenceBatch = {
    sequences: windows.length,
    length,
    tokens: new Int32Array(rows),
    targets: new Int32Array(rows),
    starts: new Int32Array(rows),
    positions: new Int32Array(rows),
  };
  windows.forEach(({ tokens, documents }, b) => {
    const first = b * length;
    batch.tokens.set(tokens.subarray(0, length), first);
    batch.targets.set(tokens.subarray(1), first);
    const borders = documentMask ? documents.filter((at) => at > 0) : [];
    for (const [i, begin] of [0, ...borders].entries()) {
      const end = Math.min(length, borders[i] ?? length);
      batch.starts.fill(first + begin, first + begin, first + end);
      for (let t = begin; t < end; t++) batch.positions[first + t] = t - begin;
      // A border may lie on the window's last token, which is a target only.
      if (i < borders.length) batch.targets[first + borders[i]! - 1] = NO_TARGET;
    }
  });
  return batch;
}

/** A source of a run: its tokens and its share. */
export interface WeightedSource {
  /** The tokens. */
  readonly source: TokenSource;
  /** Its share of the run; all of them add up to 1. */
  readonly weight: number;
}

/** What the batches of a run depend on. */
export interface TrainingDataOptions extends BatchOptions {
  /** Seed of the order in which windows come, from 0 to 2^53 - 1. */
  readonly seed: number;
  /** The sources in order. */
  readonly sources: readonly WeightedSource[];
  /** Batch sizes by step. */
  readonly ramp: BatchRamp;
}

/** Neighbouring sequences of a batch. */
export interface SequenceRange {
  /** Index of the first, from 0. */
  readonly first: number;
  /** How many. */
  readonly count: number;
}

/** How the batch of a step is read. */
export interface StepOptions {
  /** Most sequences of a micro-batch. */
  readonly microBatch: number;
  /** Batches that are passed over. */
  readonly skips: readonly Skip[];
  /** Which sequences of so many are wanted, in which order; all without it. */
  readonly part?: ((sequences: number) => SequenceRange | readonly SequenceRange[]) | undefined;
}

/** The data of a run. */
export class TrainingData {
  /** Which windows each step takes. */
  readonly order: DataOrder;
  readonly #options: TrainingDataOptions;

  /** Puts sources together. @throws {LlameroError} Where one is shorter than a sequence. */
  constructor(options: TrainingDataOptions) {
    const { seed, ramp, sources } = options;
    this.#options = options;
    for (const { source } of sources) source.windows(ramp.largest.seqLen);
    this.order = new DataOrder({
      seed,
      ramp,
      sources: sources.map(({ source, weight }) => ({
        name: source.name,
        weight,
        windows: (length) => source.windows(length),
      })),
    });
  }

  /**
   * The batch of a step in micro-batches of at most `microBatch` sequences; of a replica's part alone
   * where `part` says which sequences of how many that is.
   *
   * @throws {FormatError} Where a token is beyond the vocabulary.
   */
  step(
    step: number,
    { microBatch, skips, part }: StepOptions,
  ): SequenceBatch[] {
    const { seqLen } = this.#options.ramp.at(step);
    const whole = this.order.batch(step, skips);
    const ranges = [part?.(whole.length) ?? { first: 0, count: whole.length }].flat();
    const batches: SequenceBatch[] = [];
    for (const { first, count } of ranges) {
      for (let i = first; i < first + count; i += microBatch) {
        const places = whole.slice(i, Math.min(i + microBatch, first + count));
        batches.push(
          assembleBatch(places.map((place) => this.#read(place, seqLen)), this.#options),
        );
      }
    }
    return batches;
  }

  #read({ source, window }: Place, length: number): Window {
    const { vocabSize, sources } = this.#options;
    return sources[source]!.source.read(window, { length, vocabSize });
  }

  /** Closes the sources. */
  close(): void {
    for (const { source } of this.#options.sources) source.close();
  }
}

/** How much of which tokens are evaluated on. */
export interface EvaluationOptions extends BatchOptions {
  /** Tokens of a sequence. */
  readonly seqLen: number;
  /** Sequences of a batch at most. */
  readonly microBatch: number;
  /** Sequences at most, over all sources evenly; all without it. */
  readonly sequences?: number | undefined;
}

/**
 * Batches to evaluate on, the same each time: the windows of each source in order, or so many of them
 * at even distances.
 */
export function* evaluationBatches(
  sources: readonly TokenSource[],
  options: EvaluationOptions,
): Generator<SequenceBatch> {
  const { seqLen, microBatch, vocabSize } = options;
  for (const source of sources) {
    const windows = source.windows(seqLen);
    const share = options.sequences === undefined
      ? windows
      : Math.max(1, Math.round(options.sequences / sources.length));
    const count = Math.min(windows, share);
    for (let i = 0; i < count; i += microBatch) {
      const read = Array.from({ length: Math.min(microBatch, count - i) }, (_, j) => {
        const window = Math.floor(((i + j) * windows) / count);
        return source.read(window, { length: seqLen, vocabSize });
      });
      yield assembleBatch(read, options);
    }
  }
}
