/** What tests of the command `train` train with: a tokenizer of bytes, and a text. */

import { join } from "node:path";

/** Tokenizer and text in a temporary folder. */
export interface TrainingFolder {
  /** The folder. */
  readonly folder: string;
  /** A tokenizer whose tokens are bytes and llama 3's special ones. */
  readonly tokenizer: string;
  /** A text of some 20,000 bytes. */
  readonly text: string;
  /** A file with {@linkcode TINY_CONFIG}. */
  readonly config: string;
  /** Arguments of `train` that name config, tokenizer and text. */
  readonly inputs: readonly string[];
}

/** Makes them; the folder is removed at the end. */
export async function inTrainingFolder(
  body: (folder: TrainingFolder) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const tokenizer = join(folder, "bytes.model");
    const ranks = Array.from(
      { length: 256 },
      (_, byte) => `${btoa(String.fromCharCode(byte))} ${byte}`,
    );
    await Deno.writeTextFile(tokenizer, ranks.join("\n") + "\n");
    const text = join(folder, "text.txt");
    const lines = Array.from({ length: 500 }, (_, i) => `line ${i}: ${i} times ${i} is ${i * i}.`);
    await Deno.writeTextFile(text, lines.join("\n"));
    const config = join(folder, "tiny.toml");
    await Deno.writeTextFile(config, TINY_CONFIG);
    const inputs = ["--config", config, "--tokenizer", tokenizer, "--text", text];
    await body({ folder, tokenizer, text, config, inputs });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A model and batches so small that a step takes milliseconds. */
export const TINY_CONFIG = `
preset = "debug"
seq-len = 16
batch_tokens = 64
micro-batch = 2
[model]
hidden-size = 16
intermediate-size = 24
num-hidden-layers = 1
head-dim = 4
`;

/** Arguments of `train` for a run of {@linkcode TINY_CONFIG} in the folder. */
export function tinyRun({ folder, inputs }: TrainingFolder, run: string): string[] {
  return ["train", "--out", join(folder, run), ...inputs];
}
