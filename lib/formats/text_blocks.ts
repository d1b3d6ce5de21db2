/**
 * Texts as blocks of documents: what trainers and packers read, whatever the files are.
 *
 * @module
 */

import { JsonLinesReader } from "./json_lines.ts";
import { ParagraphReader } from "./paragraphs.ts";
import { type TextChunkOptions, textChunks, type TextInput } from "./text_chunks.ts";
import { utf8Chunks } from "./utf8_chunks.ts";

/** Documents, or parts of one, of a text. */
export interface TextBlock {
  /** UTF-8, if the text is; a document may begin in one block and end in another. */
  readonly bytes: Uint8Array;
  /** Ends of documents in `bytes`, ascending; what follows the last goes on in the next block. */
  readonly ends: ArrayLike<number>;
  /** Where reading can begin again, so that all that follows the last of `ends` is given once more. */
  readonly resume: ReadingPlace;
  /** Whether the text is over. */
  readonly last?: boolean;
}

/** A place in a text. */
export interface ReadingPlace {
  /** Bytes of the decompressed text before it. */
  readonly byte: number;
  /** Lines before it; counted for lines of JSON only. */
  readonly line: number;
}

/** What a document is. */
export type DocumentKind =
  /** A whole file. */
  | "file"
  /** What stands between blank lines. */
  | "paragraph"
  /** A line of JSON with a field of text. */
  | "jsonl";

/** How a text is read. */
export interface TextBlockOptions extends Omit<TextChunkOptions, "start"> {
  /** Where to begin: a place that an earlier reading gave; default the beginning. */
  readonly start?: ReadingPlace | undefined;
  /** Refuses bytes that are not UTF-8, with their offset; lines of JSON always do. */
  readonly checked?: boolean | undefined;
  /** What a document is; default `"file"`. */
  readonly documents?: DocumentKind | undefined;
  /** The field of text, where documents are lines of JSON; default `"text"`. */
  readonly field?: string | undefined;
}

/** Turns chunks into blocks; a block that it gives may be overwritten by the next. */
export interface DocumentReader {
  /** The documents that a chunk makes certain. */
  push(chunk: Uint8Array): TextBlock;
  /** What was held back, at the end of the text. */
  end(): TextBlock;
}

class FileReader implements DocumentReader {
  readonly #start: ReadingPlace;
  #byte: number;

  constructor(start: ReadingPlace) {
    this.#start = start;
    this.#byte = start.byte;
  }

  push(bytes: Uint8Array): TextBlock {
    this.#byte += bytes.length;
    return { bytes, ends: [], resume: this.#start };
  }

  end(): TextBlock {
    return { bytes: new Uint8Array(), ends: [0], resume: { byte: this.#byte, line: 0 } };
  }
}

/** The place before the first byte. */
export const BEGINNING: ReadingPlace = { byte: 0, line: 0 };

function readerOf(input: TextInput, options: TextBlockOptions): DocumentReader {
  const { start = BEGINNING, field = "text" } = options;
  switch (options.documents ?? "file") {
    case "file":
      return new FileReader(start);
    case "paragraph":
      return new ParagraphReader(start.byte);
    case "jsonl":
      return new JsonLinesReader(input.name, { start, field });
  }
}

/**
 * The documents of a text, block by block.
 *
 * @throws {LlameroError} If it cannot be read.
 * @throws {FormatError} If what is compressed is damaged, or a line is not the JSON that was wanted.
 */
export async function* textBlocks(
  input: TextInput,
  options: TextBlockOptions = {},
): AsyncGenerator<TextBlock> {
  const reader = readerOf(input, options);
  const { meter, start = BEGINNING, checked = false, documents } = options;
  const chunks = textChunks(input, { meter, start: start.byte });
  const text = checked && documents !== "jsonl"
    ? utf8Chunks(chunks, { file: input.name, start: start.byte })
    : chunks;
  for await (const chunk of text) yield reader.push(chunk);
  yield { ...reader.end(), last: true };
}
