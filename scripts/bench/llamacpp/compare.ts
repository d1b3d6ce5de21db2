/**
 * Llamero and llama.cpp on the same GGUF files in one run, interleaved: prompt and decoding rates,
 * medians and ratios. Decoding starts from an empty context on both sides, as llama-bench has it.
 *
 *     deno run -A scripts/bench/llamacpp/compare.ts --peer FOLDER --models FOLDER [--types q8_0,q4_0]
 *         [--preset llama-110m] [--threads 2] [--repeat 3] [--prompt-tokens 512] [--max-tokens 128]
 *         [--repack auto|on|off]
 *
 * `--peer` is a folder outside of this repository in which `npm install node-llama-cpp` was run;
 * models are made in `--models` where they are missing. Needs node, and an otherwise idle machine.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeRandomModel } from "./random_model.ts";
import { median } from "../../../lib/base/median.ts";

const { values } = parseArgs({
  options: {
    peer: { type: "string" },
    models: { type: "string" },
    types: { type: "string", default: "f32,bf16,q8_0,q4_0,q4_k_m" },
    preset: { type: "string", default: "llama-110m" },
    threads: { type: "string", default: "2" },
    repeat: { type: "string", default: "3" },
    repack: { type: "string", default: "auto" },
    "prompt-tokens": { type: "string", default: "512" },
    "max-tokens": { type: "string", default: "128" },
  },
});
const { peer, models, preset, threads } = values;
if (peer === undefined || models === undefined) {
  console.error("compare: --peer and --models are needed; see the head of this file");
  Deno.exit(2);
}
const repeat = Number(values.repeat);
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const CLI = here("../../../cli/main.ts");

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
}

async function output(command: string, args: readonly string[]): Promise<string> {
  const { success, stdout } = await new Deno.Command(command, {
    args: [...args],
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`${command} ${args.join(" ")} failed`);
  return new TextDecoder().decode(stdout);
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
  };
}

async function theirs(path: string): Promise<Rates> {
  const sizes = [threads!, values["prompt-tokens"]!, values["max-tokens"]!];
  const text = await output("node", [here("peer.mjs"), peer!, path, ...sizes]);
  return JSON.parse(text.trim().split("\n").at(-1)!);
}

mkdirSync(models, { recursive: true });
console.log(
  "type       prompt t/s: ours  theirs  ratio   decode t/s: ours  theirs  ratio  bandwidth  repacked",
);
for (const type of values.types!.split(",")) {
  const path = await model(type);
  const [a, b]: [OurRates[], Rates[]] = [[], []];
  for (let run = 0; run < repeat; run++) {
    a.push(await ours(path));
    b.push(await theirs(path));
  }
  const row = (["prompt", "decode"] as const).map((kind) => {
    const [x, y] = [median(a.map((one) => one[kind])), median(b.map((one) => one[kind]))];
    return `${x.toFixed(0).padStart(16)}${y.toFixed(0).padStart(8)}${
      (x / y).toFixed(2).padStart(7)
    }`;
  });
  const share = median(a.map((one) => one.bandwidth));
  console.log(
    `${type.padEnd(8)}${row[0]}  ${row[1]}${`${(100 * share).toFixed(0)}%`.padStart(10)}` +
      `${a[0]!.repacked > 0 ? "yes" : "no"}`.padStart(10),
  );
}
