/**
 * Packing: texts of any size to an indexed dataset of tokens, which training reads.
 *
 * @module
 */

import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { checkOutputPath, syncFolder } from "../base/atomic_file.ts";
import { Interrupted } from "../base/errors.ts";
import { fileError } from "../base/file_error.ts";
import { quotedPath } from "../base/quoted.ts";
import { datasetPaths } from "../formats/indexed_dataset.ts";
import type { TextInput } from "../formats/text_chunks.ts";
import { PackFolder } from "./pack_journal.ts";
import { fileHash, type PackManifest } from "./pack_manifest.ts";
import { endTokens, type PackOptions, resumeKey } from "./pack_options.ts";
import { PackRun } from "./pack_run.ts";

export type { PackManifest, PackOptions };

/** What a packing gave. */
export interface Packed {
  /** What `PREFIX.json` says. */
  readonly manifest: PackManifest;
  /** Whether it went on where an earlier one was stopped. */
  readonly resumed: boolean;
}

/**
 * Packs texts, in their order, into `PREFIX.bin`, `PREFIX.idx` and `PREFIX.json`. The bytes depend on
 * the texts, the tokenizer and the options alone: not on threads, nor on how often it was stopped.
 *
 * @example
 * ```ts
 * import { openTokenizer } from "@llamero/llamero";
 *
 * const tokenizer = await openTokenizer("tokenizer.model");
 * await packTexts([{ name: "corpus.txt" }], { tokenizer, prefix: "corpus", documents: "paragraph" });
 * ```
 * @throws {FormatError} If a text is not UTF-8, damaged, or a line not the JSON that was wanted.
 * @throws {Interrupted} If the signal is aborted; the same call goes on from there.
 */
export async function packTexts(
  inputs: readonly TextInput[],
  options: PackOptions,
): Promise<Packed> {
  endTokens(options);
  const hash = await fileHash(options.tokenizer.definition.file);
  const { force = false, prefix } = options;
  const paths = outputPaths(prefix);
  const key = resumeKey(inputs, { ...options, tokenizerHash: hash });
  const folder = new PackFolder(prefix, { key, force });
  if (folder.found?.finished !== true) {
    checkOutputs(paths, force);
    await pack(inputs, options, { folder, hash });
  }
  try {
    nameOutputs(folder, paths, force);
  } catch (thrown) {
    if (!folder.kept) folder.remove();
    throw thrown;
  }
  const manifest = JSON.parse(fs.readFileSync(paths.manifest, "utf8")) as PackManifest;
  return { manifest, resumed: folder.found !== undefined };
}

async function pack(
  inputs: readonly TextInput[],
  options: PackOptions,
  { folder, hash }: { readonly folder: PackFolder; readonly hash: string },
): Promise<void> {
  let run: PackRun | undefined;
  try {
    folder.begin();
    run = new PackRun(inputs, options, folder);
    await run.pack(hash);
  } catch (thrown) {
    run?.close();
    if (thrown instanceof Interrupted && folder.kept) throw interrupted(options.prefix, thrown);
    folder.remove();
    throw thrown;
  }
}

function interrupted(prefix: string, cause: Interrupted): Interrupted {
  const what = `Interrupted: what is packed is kept in ${quotedPath(`${prefix}.packing`)}`;
  return new Interrupted(what, { cause, hint: "the same command goes on from there" });
}

/** The outputs by what they are. */
type OutputPaths = Readonly<Record<"tokens" | "index" | "manifest", string>>;

function outputPaths(prefix: string): OutputPaths {
  const { bin, idx } = datasetPaths(prefix);
  return { tokens: bin, index: idx, manifest: `${prefix}.json` };
}

function checkOutputs(paths: OutputPaths, force: boolean): void {
  for (const path of Object.values(paths)) checkOutputPath(path, { force });
}

/** Gives what is written its names; what had one already, before a power cut, keeps it. */
function nameOutputs(folder: PackFolder, paths: OutputPaths, force: boolean): void {
  const waiting = Object.entries(paths).map(([name, path]) =>
    [join(folder.path, name), path] as const
  )
    .filter(([from]) => fs.existsSync(from));
  for (const [, path] of waiting) checkOutputPath(path, { force });
  for (const [from, path] of waiting) {
    try {
      fs.renameSync(from, path);
    } catch (thrown) {
      throw fileError(thrown, { action: "write", path });
    }
  }
  syncFolder(dirname(paths.manifest));
  folder.remove();
}
