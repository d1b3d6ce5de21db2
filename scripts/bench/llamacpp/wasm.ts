/**
 * WebAssembly beside the native kernels on the same GGUF files in one run, interleaved: prompt and
 * decoding rates, medians and ratios.
 *
 *     deno run -A scripts/bench/llamacpp/wasm.ts --models FOLDER [--types q8_0] [--preset llama-110m]
 *         [--threads 2] [--repeat 3] [--prompt-tokens 512] [--max-tokens 128] [--patience 30]
 *
 * Models are made in `--models` where they are missing. It waits for an idle machine as compare.ts
 * does. llama.cpp's WebAssembly (wllama 3.8.1) is not run: under Deno 2.9.6 it has one thread and fails
 * at prompts of 512 ("Invalid typed array length").
 *
 * @module
 */

import { mkdirSync } from "node:fs";
import { parseArgs } from "node:util";
import type { Observed } from "./quiet.ts";
import { measured, model, ours, type Rates, ratios } from "./rates.ts";

const { values } = parseArgs({
  options: {
    models: { type: "string" },
    types: { type: "string", default: "q8_0" },
    preset: { type: "string", default: "llama-110m" },
    threads: { type: "string", default: "2" },
    repeat: { type: "string", default: "3" },
    patience: { type: "string", default: "30" },
    "prompt-tokens": { type: "string", default: "512" },
    "max-tokens": { type: "string", default: "128" },
  },
});
const { models, preset, threads } = values;
if (models === undefined) {
  console.error("wasm: --models is needed; see the head of this file");
  Deno.exit(2);
}
const promptTokens = values["prompt-tokens"];
const maxTokens = values["max-tokens"];
const sizes = { threads, promptTokens, maxTokens };

/** Who is measured, in the order of the columns. */
const RUNS: Readonly<Record<string, (path: string) => Promise<Rates>>> = {
  wasm: (path) => ours(path, sizes, ["--backend", "wasm"]),
  native: (path) => ours(path, sizes, ["--backend", "native"]),
};

mkdirSync(models, { recursive: true });
const patience = Number(values.patience);
const [first, ...others] = Object.keys(RUNS);
const head = first!.padStart(8) +
  others.map((name) => `${name.padStart(8)} ratio`).join("");
console.log(`tokens per second, ${threads} threads, prompt ${promptTokens}, decode ${maxTokens}`);
console.log(`type    ${head} |${head}`);
for (const type of values.types.split(",")) {
  const path = await model(models, preset, type);
  const seen: Observed<Rates>[][] = Object.keys(RUNS).map(() => []);
  for (let run = 0; run < Number(values.repeat); run++) {
    for (const [i, rates] of Object.values(RUNS).entries()) {
      seen[i]!.push(await measured(patience, () => rates(path)));
    }
  }
  console.log(`${type.padEnd(8)}${ratios(seen[0]!, seen.slice(1))}`);
}
