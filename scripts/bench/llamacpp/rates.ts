/**
 * Rates of `llamero bench generate`, and measurements that wait for a quiet machine.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { median } from "../../../lib/base/median.ts";
import { type Observed, observed, waitUntilQuiet } from "./quiet.ts";
import { writeRandomModel } from "./random_model.ts";

/** Most that others may take of the machine beside a measurement. */
const QUIET = 0.05;

/** Tokens per second. */
export interface Rates {
  readonly prompt: number;
  readonly decode: number;
}

/** Our rates, and what they were reached with. */
export interface OurRates extends Rates {
  /** Share of the bandwidth that decoding reached. */
  readonly bandwidth: number;
  /** Bytes of weights that were repacked. */
  readonly repacked: number;
  /** Bytes of weights that were moved as they are. */
  readonly moved: number;
}

/** What is measured. */
export interface Sizes {
  readonly threads: string;
  readonly promptTokens: string;
  readonly maxTokens: string;
}

/** The path of a file beside this one. */
export function here(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** What a program prints. */
export async function output(command: string, args: readonly string[]): Promise<string> {
  const run = new Deno.Command(command, { args: [...args], stdout: "piped", stderr: "piped" });
  const { success, stdout, stderr } = await run.output();
  if (success) return new TextDecoder().decode(stdout);
  throw new Error(`${command} ${args.join(" ")} failed\n${new TextDecoder().decode(stderr)}`);
}

function llamero(args: readonly string[]): Promise<string> {
  return output(Deno.execPath(), ["run", "-A", here("../../../cli/main.ts"), ...args]);
}

/** The rates that a peer prints as its last line. */
export function lastLine(text: string): Rates {
  return JSON.parse(text.trim().split("\n").at(-1)!);
}

/** A random model of a type, made in the folder where it is missing. */
export async function model(folder: string, preset: string, type: string): Promise<string> {
  const path = join(folder, `${preset}-${type}.gguf`);
  if (existsSync(path)) return path;
  if (type === "f32" || type === "bf16") {
    await writeRandomModel(path, { preset, dtype: type });
  } else {
    const source = await model(folder, preset, preset === "llama-110m" ? "f32" : "bf16");
    await llamero(["quantize", source, path, "--type", type]);
  }
  return path;
}

/** Our rates: prompt and decoding apart, each from an empty context. */
export async function ours(
  path: string,
  { threads, promptTokens, maxTokens }: Sizes,
  options: readonly string[],
): Promise<OurRates> {
  const bench = async (prompt: string, text: string) => {
    const sizes = ["--prompt-tokens", prompt, "--max-tokens", text, "--threads", threads];
    const all = ["bench", "generate", "--model", path, ...sizes, "--repeat", "1", ...options];
    return JSON.parse(await llamero([...all, "--json"]));
  };
  const prompt = await bench(promptTokens, "1");
  const decode = await bench("1", maxTokens);
  return {
    prompt: prompt.prompt_tokens_per_second,
    decode: decode.decode_tokens_per_second,
    bandwidth: decode.decode.share_of_bandwidth,
    repacked: decode.repacked_bytes,
    moved: decode.moved_bytes,
  };
}

/** Waits for a quiet machine, up to so many seconds, and measures. */
export async function measured<T>(patience: number, work: () => Promise<T>): Promise<Observed<T>> {
  await waitUntilQuiet(QUIET, patience);
  return await observed(work);
}

/** The measurements that count: those of quiet minutes, or all. */
export function counted<T>(all: readonly Observed<T>[]): readonly Observed<T>[] {
  const quiet = all.filter(({ others }) => (others ?? 0) <= QUIET);
  return quiet.length > 0 ? quiet : all;
}

/** The median rate of those that count. */
export function middle(all: readonly Observed<Rates>[], kind: keyof Rates): number {
  return median(counted(all).map(({ value }) => value[kind]));
}

/** Ours and its ratio to each of the others, as columns. */
export function ratios(
  own: readonly Observed<Rates>[],
  others: readonly (readonly Observed<Rates>[])[],
): string {
  return (["prompt", "decode"] as const).map((kind) => {
    const mine = middle(own, kind);
    return others.reduce((text, one) => {
      const rate = middle(one, kind);
      return `${text}${rate.toFixed(0).padStart(8)}${(mine / rate).toFixed(2).padStart(6)}`;
    }, mine.toFixed(0).padStart(8));
  }).join(" |");
}
