/**
 * Texts as blocks of documents: what trainers and packers read, whatever the files are.
 *
 * @module
 */

import { JsonLinesReader } from "./json_lines.ts";
import { ParagraphReader } from "./paragraphs.ts";
import { type TextChunkOptions, textChunks, type TextInput } from "./text_chunks.ts";

/** Documents, or parts of one, of a text. */
export interface TextBlock {
  /** UTF-8, if the text is; a document may begin in one block and end in another. */
  readonly bytes: Uint8Array;
  /** Ends of documents in `bytes`, ascending; what follows the last goes on in the next block. */
  readonly ends: ArrayLike<number>;
  /** Up to which byte of the decompressed text this block and those before it reach. */
  readonly next: number;
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
export interface TextBlockOptions extends TextChunkOptions {
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
  #next: number;

  constructor(start: number) {
    this.#next = start;
  }

  push(bytes: Uint8Array): TextBlock {
    return { bytes, ends: [], next: this.#next += bytes.length };
  }

  end(): TextBlock {
    return { bytes: new Uint8Array(), ends: [0], next: this.#next };
  }
}

function readerOf(input: TextInput, options: TextBlockOptions): DocumentReader {
  const { start = 0, field = "text" } = options;
  switch (options.documents ?? "file") {
    case "file":
      return new FileReader(start);
    case "paragraph":
      return new ParagraphReader(start);
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
  for await (const chunk of textChunks(input, options)) yield reader.push(chunk);
  yield reader.end();
}
