/**
 * llama.cpp as a reference, where npm's node-llama-cpp is installed: `LLAMERO_NODE_LLAMA_CPP` names the
 * folder that has it in its `node_modules`.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { temporaryFolder } from "../formats/folder.ts";

const FOLDER = Deno.env.get("LLAMERO_NODE_LLAMA_CPP");
const ENTRY = FOLDER === undefined
  ? undefined
  : resolve(FOLDER, "node_modules/node-llama-cpp/dist/index.js");

/** Greedy continuation with a cache in float32, from the program's arguments. */
const PROGRAM = `
import { readFileSync } from "node:fs";
const { entry, model, prompt, count } = JSON.parse(readFileSync(0, "utf8"));
const { getLlama, LlamaLogLevel } = await import(entry);
const llama = await getLlama({ gpu: false, build: "never", maxThreads: 1, logLevel: LlamaLogLevel.error });
const loaded = await llama.loadModel({ modelPath: model, gpuLayers: 0 });
const context = await loaded.createContext({
  contextSize: prompt.length + count + 8, sequences: 1, flashAttention: false, threads: 1,
  experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32",
});
const tokens = [];
const sequence = context.getSequence();
for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
  tokens.push(token);
  if (tokens.length === count) break;
}
console.log(JSON.stringify(tokens));
process.exit(0);
`;

/** What is continued. */
export interface GreedyRequest {
  /** Path of a GGUF file. */
  readonly model: string;
  /** Token ids. */
  readonly prompt: readonly number[];
  /** Tokens that are wanted. */
  readonly count: number;
}

/** llama.cpp's greedy continuation. */
export function greedyOfLlamaCpp(request: GreedyRequest): number[] {
  // The package starts itself again with the same flags: the program must be a file.
  using folder = temporaryFolder();
  const program = join(folder.path, "greedy.mjs");
  writeFileSync(program, PROGRAM);
  const input = JSON.stringify({ ...request, entry: ENTRY });
  const { status, stdout, stderr } = spawnSync("node", [program], { input, encoding: "utf8" });
  if (status !== 0) throw new Error(`node failed:\n${stderr}`);
  return JSON.parse(stdout.trim().split("\n").at(-1)!);
}

/** Registers a test that needs llama.cpp; without it the test is ignored with the reason. */
export function testWithLlamaCpp(name: string, body: () => void | Promise<void>): void {
  if (ENTRY !== undefined && existsSync(ENTRY)) return Deno.test(name, body);
  const reason = FOLDER === undefined
    ? "LLAMERO_NODE_LLAMA_CPP names no folder"
    : `no ${join(FOLDER, "node_modules/node-llama-cpp")}`;
  Deno.test({ name: `${name} (ignored: ${reason})`, ignore: true, fn: () => {} });
}
