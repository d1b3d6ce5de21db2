/**
 * The tokenizers that ours is measured against, installed into a throwaway folder.
 *
 * @module
 */

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** Something that turns texts into ids. */
export interface Contender {
  /** Encodes one text; gives the number of ids. */
  encode(text: string): number;
  /** Frees it. */
  close(): void;
}

/** A way to make a contender, as new, with nothing remembered from other texts. */
export interface Entry {
  /** Its name in the report. */
  readonly name: string;
  /** Makes it. */
  open(): Promise<Contender>;
}

/** What is installed; hypertok is the fastest known peer. */
const PACKAGES = [
  "hypertok@0.3.4",
  "@hypertok/vocab-llama3",
  "tiktoken@1.0.22",
  "kitoken@0.10.1",
  "sentencepiece-js@1.1.0",
];

/** Installs the peers with npm. */
export async function installPeers(folder: string): Promise<void> {
  await Deno.writeTextFile(join(folder, "package.json"), '{"name":"peers","version":"1.0.0"}');
  const { success, stderr } = await new Deno.Command("npm", {
    args: ["install", "--no-audit", "--no-fund", "--loglevel=error", ...PACKAGES],
    cwd: folder,
    stdout: "null",
  }).output();
  if (!success) throw new Error(`npm install failed: ${new TextDecoder().decode(stderr)}`);
}

/** The peers that read Llama 3's ranks. */
export function llama3Peers(folder: string, ranks: string, pattern: string): Entry[] {
  const require = createRequire(join(folder, "package.json"));
  const load = (path: string) => import(pathToFileURL(join(folder, "node_modules", path)).href);
  return [
    {
      name: "hypertok",
      open: async () => {
        const { fromBytes } = await load("hypertok/src/index.mjs");
        const vocabulary = join(folder, "node_modules/@hypertok/vocab-llama3/vocab.htk");
        const tokenizer = await fromBytes(await Deno.readFile(vocabulary), { tier: "single" });
        return {
          encode: (text) => tokenizer.encodeSync(text).length,
          close: () => tokenizer.free(),
        };
      },
    },
    {
      name: "tiktoken",
      open: async () => {
        const { Tiktoken } = require("tiktoken");
        const tokenizer = new Tiktoken(await Deno.readTextFile(ranks), {}, pattern);
        return {
          encode: (text) => tokenizer.encode_ordinary(text).length,
          close: () => tokenizer.free(),
        };
      },
    },
  ];
}

/** The peers that read a SentencePiece model. */
export function sentencePiecePeers(folder: string, model: string): Entry[] {
  const require = createRequire(join(folder, "package.json"));
  return [
    {
      name: "kitoken",
      open: async () => {
        const path = join(folder, "node_modules/kitoken/dist/full.js");
        const { Kitoken } = await import(pathToFileURL(path).href);
        const tokenizer = Kitoken.from_sentencepiece(await Deno.readFile(model));
        return {
          encode: (text) => tokenizer.encode(text, false).length,
          close: () => tokenizer.free(),
        };
      },
    },
    {
      name: "sentencepiece-js",
      open: async () => {
        const { SentencePieceProcessor } = require("sentencepiece-js");
        const tokenizer = new SentencePieceProcessor();
        await tokenizer.load(model);
        return { encode: (text) => tokenizer.encodeIds(text).length, close: () => {} };
      },
    },
  ];
}

/**
 * MB/s of SentencePiece's own `spm_encode` on the lines of a text, if it is installed: the time for
 * eight copies less the time for one, so that loading does not count.
 */
export async function spmEncodeRate(
  text: Uint8Array,
  { model, folder }: { model: string; folder: string },
): Promise<number | undefined> {
  const time = async (copies: number): Promise<number> => {
    const path = join(folder, `copies-${copies}.txt`);
    using file = await Deno.open(path, { write: true, create: true, truncate: true });
    for (let i = 0; i < copies; i++) await file.write(text);
    const start = performance.now();
    const args = [`--model=${model}`, "--output_format=id", `--input=${path}`];
    await new Deno.Command("spm_encode", { args, stdout: "null", stderr: "null" }).output();
    return performance.now() - start;
  };
  try {
    const [one, eight] = [await time(1), await time(8)];
    return text.length * 7 / (eight - one) / 1e3;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
