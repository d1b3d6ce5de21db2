/**
 * What is packed, and how.
 *
 * @module
 */

import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { ConfigError } from "../base/errors.ts";
import type { DocumentKind } from "../formats/text_blocks.ts";
import type { TextInput } from "../formats/text_chunks.ts";
import type { CompiledTokenizer } from "../tokenizer/compiled_tokenizer.ts";

/** What is packed, and how. */
export interface PackOptions {
  /** What makes tokens of the texts. */
  readonly tokenizer: CompiledTokenizer;
  /** What the outputs begin with: `PREFIX.bin`, `PREFIX.idx`, `PREFIX.json`. */
  readonly prefix: string;
  /** Replaces outputs that exist, and what another packing began. */
  readonly force?: boolean | undefined;
  /** What a document is. */
  readonly documents: DocumentKind;
  /** The field of text, where documents are lines of JSON; default `"text"`. */
  readonly field?: string | undefined;
  /** Puts the begin token before each document. */
  readonly bos?: boolean | undefined;
  /** Puts the end token behind each document. */
  readonly eos?: boolean | undefined;
  /** Names of special tokens in the texts; default `"text"`. */
  readonly special?: "text" | "parse" | undefined;
  /** Bytes that are not UTF-8; default `"error"`. */
  readonly invalid?: "error" | "replace" | undefined;
  /** Bytes of text between two places that a packing can go on from; default 256 MB. */
  readonly keepEvery?: number | undefined;
  /** Bytes of documents encoded at a time; one twice as long is encoded as it comes; default 8 MiB. */
  readonly batch?: number | undefined;
  /** Longest sequence in tokens; default what an index can hold. */
  readonly longest?: number | undefined;
  /** Stops at the next place that can be gone on from. */
  readonly signal?: AbortSignal | undefined;
  /** Hears how many bytes of the inputs, as they are stored, are read. */
  readonly progress?: ((stored: number) => void) | undefined;
}

/** What must be the same for a packing to go on; none where a text cannot be read again. */
export function resumeKey(
  inputs: readonly TextInput[],
  options: PackOptions & { readonly tokenizerHash: string },
): string | undefined {
  const { documents, field = "text", bos = false, eos = false, longest = 0 } = options;
  const { special = "text", invalid = "error", tokenizerHash } = options;
  const files: (readonly [string, number, number])[] = [];
  for (const { name, stream } of inputs) {
    const found = stream === undefined ? fs.statSync(name, { throwIfNoEntry: false }) : undefined;
    if (found?.isFile() !== true) return undefined;
    files.push([name, found.size, found.mtimeMs]);
  }
  const all = { tokenizerHash, documents, field, bos, eos, longest, special, invalid, files };
  return createHash("sha256").update(JSON.stringify(all)).digest("hex");
}

/** The tokens before and behind documents. @throws {ConfigError} If the tokenizer lacks one. */
export function endTokens(
  { tokenizer, bos, eos }: PackOptions,
): { readonly first: number | undefined; readonly last: number | undefined } {
  const take = (name: string, id: number | undefined): number => {
    if (id !== undefined) return id;
    throw new ConfigError(`Cannot pack with --${name}: the tokenizer has no such token`);
  };
  return {
    first: bos === true ? take("bos", tokenizer.bosId) : undefined,
    last: eos === true ? take("eos", tokenizer.eosId) : undefined,
  };
}
