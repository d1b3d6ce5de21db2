/**
 * `PREFIX.json`: what a packed dataset has, and what it was made of.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { statSync } from "node:fs";
import { fileError } from "../base/file_error.ts";
import { TOKEN_TYPES, tokenTypeFor } from "../formats/indexed_dataset.ts";
import type { DatasetPlace } from "../formats/indexed_dataset_write.ts";
import type { TextInput } from "../formats/text_chunks.ts";
import type { PackOptions } from "./pack_options.ts";

/** What a manifest says; nothing in it depends on the machine or on time. */
export interface PackManifest {
  /** Tokens, the begin and end tokens among them. */
  readonly tokens: number;
  /** Documents, empty ones among them. */
  readonly documents: number;
  /** Sequences: one for each document that has tokens, more for one that is too long for an index. */
  readonly sequences: number;
  /** Bytes of the documents' text in UTF-8. */
  readonly text_bytes: number;
  /** Bytes of text for each token; `null` without tokens. */
  readonly bytes_per_token: number | null;
  /** Element type of the tokens. */
  readonly dtype: string;
  /** Whose ids these are. */
  readonly tokenizer: {
    /** Its file, as it was named. */
    readonly file: string;
    /** SHA-256 of that file. */
    readonly sha256: string;
    /** Whose rules it follows. */
    readonly kind: string;
    /** Number of ids. */
    readonly vocab_size: number;
    /** The token before each document, if there is one. */
    readonly bos_id: number | null;
    /** The token behind each document, if there is one. */
    readonly eos_id: number | null;
  };
  /** How the texts were read. */
  readonly reading: {
    /** What a document is. */
    readonly document: string;
    /** The field of text in lines of JSON. */
    readonly field: string | null;
    /** Names of special tokens in the texts. */
    readonly special: string;
    /** Bytes that are not UTF-8. */
    readonly invalid: string;
  };
  /** The texts in their order, with their sizes as they are stored. */
  readonly inputs: readonly { readonly file: string; readonly bytes: number | null }[];
  /** SHA-256 of `PREFIX.bin` and `PREFIX.idx`. */
  readonly sha256: { readonly bin: string; readonly idx: string };
}

/** What was packed. */
export interface PackedTexts {
  /** The texts. */
  readonly inputs: readonly TextInput[];
  /** What was written. */
  readonly dataset: DatasetPlace;
  /** Bytes of the documents. */
  readonly text: number;
  /** SHA-256 of the tokenizer's file. */
  readonly tokenizerHash: string;
  /** SHA-256 of both parts of the dataset. */
  readonly hashes: { readonly bin: string; readonly idx: string };
}

/** What `PREFIX.json` says of a packing. */
export function packManifest(options: PackOptions, packed: PackedTexts): PackManifest {
  const { tokenizer, documents, field = "text", special = "text", invalid = "error" } = options;
  const { tokens, sequences } = packed.dataset;
  return {
    tokens,
    documents: packed.dataset.documents,
    sequences,
    text_bytes: packed.text,
    bytes_per_token: tokens === 0 ? null : packed.text / tokens,
    dtype: TOKEN_TYPES[tokenTypeFor(tokenizer.vocabSize)].name,
    tokenizer: {
      file: tokenizer.definition.file,
      sha256: packed.tokenizerHash,
      kind: tokenizer.kind,
      vocab_size: tokenizer.vocabSize,
      bos_id: options.bos === true ? tokenizer.bosId ?? null : null,
      eos_id: options.eos === true ? tokenizer.eosId ?? null : null,
    },
    reading: {
      document: documents === "jsonl" ? "line of JSON" : documents,
      field: documents === "jsonl" ? field : null,
      special,
      invalid,
    },
    inputs: packed.inputs.map(({ name, stream }) => ({
      file: name,
      bytes: stream === undefined ? statSync(name).size : null,
    })),
    sha256: packed.hashes,
  };
}

/** The text of `PREFIX.json`. */
export function formatManifest(manifest: PackManifest): string {
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}

/** SHA-256 of a file of any size, in hexadecimal. */
export async function fileHash(path: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    await using file = await open(path);
    const buffer = new Uint8Array(1 << 22);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0) return hash.digest("hex");
      hash.update(buffer.subarray(0, bytesRead));
    }
  } catch (thrown) {
    throw fileError(thrown, { action: "read", path });
  }
}
