/**
 * Llamero and llama.cpp on the same GGUF files in one run, interleaved: prompt and decoding rates,
 * medians and ratios. Decoding starts from an empty context on all sides, as llama-bench has it.
 *
 *     deno run -A scripts/bench/llamacpp/compare.ts --peer FOLDER --models FOLDER [--types q8_0,q4_0]
 *         [--preset llama-110m] [--threads 2] [--repeat 5] [--prompt-tokens 512] [--max-tokens 128]
 *         [--repack auto|on|off] [--patience 30]
 *
 * `--peer` is a folder outside of this repository in which `npm install node-llama-cpp@3.22.1` was
 * run; models are made in `--models` where they are missing. Two peers are measured: `llama.cpp`, its
 * library called as llama-bench does, and `node`, the same library under node-llama-cpp's generator.
 * Needs node, and an otherwise idle machine: every measurement waits for one, up to `--patience`
 * seconds, and where others took more than 5% of the machine meanwhile it counts only if there is no
 * better one. `others` is the most that the counted ones of a line saw.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { median } from "../../../lib/base/median.ts";
import { type Observed, observed, waitUntilQuiet } from "./quiet.ts";
import { writeRandomModel } from "./random_model.ts";

const { values } = parseArgs({
  options: {
    peer: { type: "string" },
    models: { type: "string" },
    types: { type: "string", default: "f32,bf16,q8_0,q4_0,q4_k_m" },
    preset: { type: "string", default: "llama-110m" },
    threads: { type: "string", default: "2" },
    repeat: { type: "string", default: "5" },
    repack: { type: "string", default: "auto" },
    patience: { type: "string", default: "30" },
    "prompt-tokens": { type: "string", default: "512" },
    "max-tokens": { type: "string", default: "128" },
  },
});
const { peer, models, preset, threads } = values;
if (peer === undefined || models === undefined) {
  console.error("compare: --peer and --models are needed; see the head of this file");
  Deno.exit(2);
}
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const CLI = here("../../../cli/main.ts");

/** Most that others may take of the machine beside a measurement. */
const QUIET = 0.05;

/** Tokens per second. */
interface Rates {
  readonly prompt: number;
  readonly decode: number;
}

/** Our rates, and what they were reached with. */
interface OurRates extends Rates {
  /** Share of the bandwidth that decoding reached. */
  readonly bandwidth: number;
  /** Bytes of weights that were repacked. */
  readonly repacked: number;
  /** Bytes of weights that were moved as they are. */
  readonly moved: number;
}

async function output(command: string, args: readonly string[]): Promise<string> {
  const run = new Deno.Command(command, { args: [...args], stdout: "piped", stderr: "piped" });
  const { success, stdout, stderr } = await run.output();
  if (success) return new TextDecoder().decode(stdout);
  throw new Error(`${command} ${args.join(" ")} failed\n${new TextDecoder().decode(stderr)}`);
}

async function model(type: string): Promise<string> {
  const path = join(models!, `${preset}-${type}.gguf`);
  if (existsSync(path)) return path;
  if (type === "f32" || type === "bf16") {
    await writeRandomModel(path, { preset: preset!, dtype: type });
  } else {
    const source = await model(preset === "llama-110m" ? "f32" : "bf16");
    await output(Deno.execPath(), ["run", "-A", CLI, "quantize", source, path, "--type", type]);
  }
  return path;
}

async function ours(path: string): Promise<OurRates> {
  const bench = async (promptTokens: string, maxTokens: string) => {
    const args = ["bench", "generate", "--model", path, "--threads", threads!, "--repeat", "1"];
    const sizes = ["--prompt-tokens", promptTokens, "--max-tokens", maxTokens, "--json"];
    const all = [...args, "--repack", values.repack!, ...sizes];
    return JSON.parse(await output(Deno.execPath(), ["run", "-A", CLI, ...all]));
  };
  const prompt = await bench(values["prompt-tokens"]!, "1");
  const decode = await bench("1", values["max-tokens"]!);
  return {
    prompt: prompt.prompt_tokens_per_second,
    decode: decode.decode_tokens_per_second,
    bandwidth: decode.decode.share_of_bandwidth,
    repacked: decode.repacked_bytes,
    moved: decode.moved_bytes,
  };
}

const SIZES = [threads!, values["prompt-tokens"]!, values["max-tokens"]!];

function lastLine(text: string): Rates {
  return JSON.parse(text.trim().split("\n").at(-1)!);
}

async function llamaCpp(path: string): Promise<Rates> {
  const platform = `${Deno.build.os}-${Deno.build.arch === "x86_64" ? "x64" : "arm64"}`;
  const folder = join(peer!, "node_modules/@node-llama-cpp", platform, "bins", platform);
  return lastLine(
    await output(Deno.execPath(), ["run", "-A", here("library.ts"), folder, path, ...SIZES]),
  );
}

async function nodeLlamaCpp(path: string): Promise<Rates> {
  return lastLine(await output("node", [here("peer.mjs"), peer!, path, ...SIZES]));
}

async function measured<T>(work: () => Promise<T>): Promise<Observed<T>> {
  await waitUntilQuiet(QUIET, Number(values.patience));
  return await observed(work);
}

/** The measurements that count: those of quiet minutes, or all. */
function counted<T>(all: readonly Observed<T>[]): readonly Observed<T>[] {
  const quiet = all.filter(({ others }) => (others ?? 0) <= QUIET);
  return quiet.length > 0 ? quiet : all;
}

function layoutOf({ repacked, moved }: OurRates): string {
  return repacked > 0 ? "yes" : moved > 0 ? "moved" : "no";
}

/** One line of the table. */
function line(
  type: string,
  own: readonly Observed<OurRates>[],
  peers: readonly (readonly Observed<Rates>[])[],
): string {
  const [a, ...others] = [own, ...peers].map(counted);
  const middle = (all: readonly Observed<Rates>[], kind: keyof Rates) =>
    median(all.map(({ value }) => value[kind]));
  const row = (["prompt", "decode"] as const).map((kind) => {
    const mine = middle(a!, kind);
    return others.reduce((text, one) => {
      const rate = middle(one, kind);
      return `${text}${rate.toFixed(0).padStart(8)}${(mine / rate).toFixed(2).padStart(6)}`;
    }, mine.toFixed(0).padStart(8));
  });
  const ourOwn = counted(own).map(({ value }) => value);
  const share = (part: number) => `${(100 * part).toFixed(0)}%`;
  const most = Math.max(...[a!, ...others].flat().map((one) => one.others ?? 0));
  return `${type.padEnd(8)}${row.join(" |")} |${
    share(median(ourOwn.map(({ bandwidth }) => bandwidth))).padStart(6)
  }${layoutOf(ourOwn[0]!).padStart(9)}${share(most).padStart(8)}`;
}

mkdirSync(models, { recursive: true });
const HEAD = "    ours llama.cpp ratio  node ratio";
console.log(`tokens per second, ${threads} threads, prompt ${SIZES[1]}, decode ${SIZES[2]}`);
console.log(`type    ${HEAD} |${HEAD} | bandw. repacked others`);
for (const type of values.types!.split(",")) {
  const path = await model(type);
  const own: Observed<OurRates>[] = [];
  const peers: Observed<Rates>[][] = [[], []];
  for (let run = 0; run < Number(values.repeat); run++) {
    own.push(await measured(() => ours(path)));
    peers[0]!.push(await measured(() => llamaCpp(path)));
    peers[1]!.push(await measured(() => nodeLlamaCpp(path)));
  }
  console.log(line(type, own, peers));
}
