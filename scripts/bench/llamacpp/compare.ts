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
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { median } from "../../../lib/base/median.ts";
import type { Observed } from "./quiet.ts";
import {
  counted,
  here,
  lastLine,
  measured,
  model,
  type OurRates,
  ours,
  output,
  type Rates,
  ratios,
} from "./rates.ts";

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
const sizes = {
  threads,
  promptTokens: values["prompt-tokens"],
  maxTokens: values["max-tokens"],
};
const SIZES = Object.values(sizes);

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

function layoutOf({ repacked, moved }: OurRates): string {
  return repacked > 0 ? "yes" : moved > 0 ? "moved" : "no";
}

/** One line of the table. */
function line(
  type: string,
  own: readonly Observed<OurRates>[],
  peers: readonly (readonly Observed<Rates>[])[],
): string {
  const ourOwn = counted(own).map(({ value }) => value);
  const share = (part: number) => `${(100 * part).toFixed(0)}%`;
  const most = Math.max(...[own, ...peers].flatMap(counted).map((one) => one.others ?? 0));
  return `${type.padEnd(8)}${ratios(own, peers)} |${
    share(median(ourOwn.map(({ bandwidth }) => bandwidth))).padStart(6)
  }${layoutOf(ourOwn[0]!).padStart(9)}${share(most).padStart(8)}`;
}

mkdirSync(models, { recursive: true });
const HEAD = "    ours llama.cpp ratio  node ratio";
console.log(`tokens per second, ${threads} threads, prompt ${SIZES[1]}, decode ${SIZES[2]}`);
console.log(`type    ${HEAD} |${HEAD} | bandw. repacked others`);
const patience = Number(values.patience);
for (const type of values.types.split(",")) {
  const path = await model(models, preset, type);
  const own: Observed<OurRates>[] = [];
  const peers: Observed<Rates>[][] = [[], []];
  for (let run = 0; run < Number(values.repeat); run++) {
    own.push(await measured(patience, () => ours(path, sizes, ["--repack", values.repack])));
    peers[0]!.push(await measured(patience, () => llamaCpp(path)));
    peers[1]!.push(await measured(patience, () => nodeLlamaCpp(path)));
  }
  console.log(line(type, own, peers));
}
