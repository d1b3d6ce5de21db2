/**
 * Batches of token ids that are given as JSON, for comparing with another implementation.
 *
 * @module
 */

import { ConfigError, FormatError } from "../base/errors.ts";
import { onOneLine, quotedPath } from "../base/quoted.ts";

/** A batch of B rows of T tokens. */
export interface ProbeBatch {
  /** Token ids [B][T]. */
  readonly inputIds: readonly (readonly number[])[];
  /** The token that should follow each one [B][T]; a negative one is not counted. */
  readonly targets?: readonly (readonly number[])[] | undefined;
  /** Rotary positions [B][T]. */
  readonly positionIds?: readonly (readonly number[])[] | undefined;
  /** Document of each token [B][T]: neighbours with the same number belong together. */
  readonly documentIds?: readonly (readonly number[])[] | undefined;
}

/** What the numbers of a field may be. */
interface Numbers {
  readonly wanted: string;
  readonly holds: (value: number) => boolean;
}

const COUNT: Numbers = { wanted: "a whole number >= 0", holds: (value) => value >= 0 };

/**
 * Reads `{"input_ids": [[…]], "targets"?, "position_ids"?, "document_ids"?}`; other fields are left
 * alone, but for two of transformers that would be missed: a mask that hides something, and labels
 * where there are no targets.
 *
 * @throws {FormatError} Naming the field, its place, its value and what was wanted.
 */
export function parseProbeBatch(
  text: string,
  options: { readonly file: string; readonly vocabSize: number },
): ProbeBatch {
  const reader = new BatchReader(text, options.file);
  const { vocabSize } = options;
  const id = (value: number) => value >= 0 && value < vocabSize;
  const inputIds = reader.field("input_ids", {
    wanted: `a token id below ${vocabSize}`,
    holds: id,
  });
  if (inputIds === undefined) throw reader.refusal('"input_ids" is missing, [[…]] was wanted');
  if (inputIds.length === 0 || inputIds[0]!.length === 0) {
    throw reader.refusal('"input_ids" is empty, at least one token was wanted');
  }
  const batch: ProbeBatch = {
    inputIds,
    targets: reader.field("targets", {
      wanted: `a token id below ${vocabSize}, or -100`,
      holds: (value) => value === -100 || id(value),
    }),
    positionIds: reader.field("position_ids", COUNT),
    documentIds: reader.field("document_ids", COUNT),
  };
  reader.checkShapes(inputIds);
  reader.checkForeign();
  return batch;
}

/** Neighbours of one row that belong to one document. */
export interface DocumentSpan {
  /** Row of the batch. */
  readonly row: number;
  /** First token. */
  readonly start: number;
  /** The token after the last. */
  readonly end: number;
}

/**
 * Finds the documents of a batch: every run of one document number.
 *
 * @throws {ConfigError} When the batch says nothing of documents, or one comes back after another.
 */
export function documentSpans({ documentIds }: ProbeBatch): DocumentSpan[] {
  if (documentIds === undefined) {
    throw new ConfigError('Cannot mask documents: the batch has no "document_ids"');
  }
  return documentIds.flatMap((documents, row) => {
    const spans: DocumentSpan[] = [];
    const seen = new Set<number>();
    for (let start = 0; start < documents.length;) {
      const document = documents[start]!;
      if (seen.has(document)) {
        throw new ConfigError(
          `Cannot mask documents: document ${document} of row ${row} comes back at token ${start}`,
        );
      }
      seen.add(document);
      let end = start;
      while (end < documents.length && documents[end] === document) end++;
      spans.push({ row, start, end });
      start = end;
    }
    return spans;
  });
}

class BatchReader {
  readonly #file: string;
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #fields = new Map<string, readonly (readonly number[])[]>();

  constructor(text: string, file: string) {
    this.#file = file;
    let values: unknown;
    try {
      values = JSON.parse(text);
    } catch (cause) {
      throw this.refusal(`it is no JSON: ${onOneLine((cause as Error).message)}`);
    }
    if (typeof values !== "object" || values === null || Array.isArray(values)) {
      throw this.refusal('it is no object, {"input_ids": [[…]], "targets": [[…]]} was wanted');
    }
    this.#values = values as Record<string, unknown>;
  }

  refusal(what: string, hint?: string): FormatError {
    const file = this.#file;
    return new FormatError(`Cannot probe ${quotedPath(file)}: ${what}`, { file, hint });
  }

  field(name: string, { wanted, holds }: Numbers): readonly (readonly number[])[] | undefined {
    const rows = Object.hasOwn(this.#values, name) ? this.#values[name] : undefined;
    if (rows === undefined || rows === null) return undefined;
    if (!Array.isArray(rows)) throw this.refusal(`"${name}" is no list of lists`);
    rows.forEach((row: unknown, b) => {
      if (!Array.isArray(row)) throw this.refusal(`"${name}"[${b}] is no list`);
      row.forEach((value: unknown, t) => {
        if (typeof value === "number" && Number.isSafeInteger(value) && holds(value)) return;
        const shown = typeof value === "number" ? `${value}` : JSON.stringify(value)?.slice(0, 40);
        throw this.refusal(`"${name}"[${b}][${t}] is ${shown}, ${wanted} was wanted`);
      });
    });
    this.#fields.set(name, rows);
    return rows;
  }

  /** Refuses what another program would not leave alone. */
  checkForeign(): void {
    const { attention_mask: mask, labels } = this.#values;
    const shown: unknown[] = Array.isArray(mask) ? mask.flat() : [];
    if (shown.some((value) => value !== 1 && value !== true)) {
      throw this.refusal(
        '"attention_mask" hides tokens, and all are looked at',
        "leave padding away, or tell texts apart by document_ids",
      );
    }
    if (labels !== undefined && labels !== null && !this.#fields.has("targets")) {
      throw this.refusal(
        'it has "labels" and no "targets"',
        "a target is the token that follows: targets[t] = labels[t + 1]",
      );
    }
  }

  /** All rows of all fields must be as long as the first row of ids. */
  checkShapes(inputIds: readonly (readonly number[])[]): void {
    const [rows, length] = [inputIds.length, inputIds[0]!.length];
    for (const [name, field] of this.#fields) {
      if (field.length !== rows) {
        throw this.refusal(`"${name}" has ${field.length} rows, ${rows} were wanted`);
      }
      const odd = field.findIndex((row) => row.length !== length);
      if (odd < 0) continue;
      throw this.refusal(
        `"${name}"[${odd}] has ${
          field[odd]!.length
        } numbers, ${length} were wanted as in the first row`,
      );
    }
  }
}
