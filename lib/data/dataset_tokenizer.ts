/**
 * Which tokenizer a dataset was packed with, as the `PREFIX.json` beside it says: ids of another one
 * are other words, and nothing in the ids shows it.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { ConfigError } from "../base/errors.ts";
import { fileError } from "../base/file_error.ts";
import { quotedPath } from "../base/quoted.ts";
import { readJsonFile } from "../checkpoint/json_file.ts";

/** What a dataset says of its tokenizer. */
export interface DatasetTokenizer {
  /** SHA-256 of its file, in hexadecimal digits. */
  readonly sha256: string;
  /** Its file, as it was named then. */
  readonly file: string;
}

/** What a dataset says of its tokenizer; `undefined` where it says nothing, as other programs' do. */
function datasetTokenizer(prefix: string): DatasetTokenizer | undefined {
  const path = `${prefix}.json`;
  if (!existsSync(path)) return undefined;
  const json = readJsonFile(path) as { readonly tokenizer?: Partial<DatasetTokenizer> } | null;
  const { sha256, file } = json?.tokenizer ?? {};
  if (typeof sha256 !== "string") return undefined;
  return { sha256, file: typeof file === "string" ? file : "another" };
}

/**
 * Refuses datasets that were packed with different tokenizers, or with another than the run's.
 *
 * @param tokenizer The file of the run's tokenizer.
 * @throws {ConfigError} Naming the dataset and both tokenizers.
 */
export async function checkDatasetTokenizers(
  prefixes: readonly string[],
  tokenizer: string,
): Promise<void> {
  const known = prefixes.flatMap((prefix) => {
    const found = datasetTokenizer(prefix);
    return found === undefined ? [] : [{ prefix, ...found }];
  });
  if (known.length === 0) return;
  const first = known[0]!;
  const other = known.find(({ sha256 }) => sha256 !== first.sha256);
  if (other !== undefined) {
    throw new ConfigError(
      `Cannot mix ${quotedPath(first.prefix)} and ${
        quotedPath(other.prefix)
      }: the one was packed ` +
        `with the tokenizer ${quotedPath(first.file)}, the other with ${quotedPath(other.file)}`,
      { hint: "pack both with one tokenizer: llamero tokenize pack" },
    );
  }
  if (await fileHash(tokenizer) === first.sha256) return;
  throw new ConfigError(
    `Cannot train on ${quotedPath(first.prefix)} with the tokenizer ${
      quotedPath(tokenizer)
    }: it was ` +
      `packed with ${quotedPath(first.file)}, which is another`,
    { hint: `give that one with --tokenizer, or pack the text again with this one` },
  );
}

async function fileHash(path: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  } catch (thrown) {
    throw fileError(thrown, { action: "read", path });
  }
  return hash.digest("hex");
}
