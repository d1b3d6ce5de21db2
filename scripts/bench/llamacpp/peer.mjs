// Speed of llama.cpp through node-llama-cpp, as one JSON line. Run by compare.ts with node:
//     node peer.mjs FOLDER MODEL THREADS PROMPT TOKENS
// FOLDER has node_modules/node-llama-cpp, whose prebuilt library is what is measured.
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, model, ...numbers] = process.argv.slice(2);
const [threads, prompt, tokens] = numbers.map(Number);
const entry = createRequire(join(resolve(folder), "here.js")).resolve("node-llama-cpp");
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(entry).href);
const llama = await getLlama({
  gpu: false,
  build: "never",
  logLevel: LlamaLogLevel.error,
  maxThreads: threads,
});
const loaded = await llama.loadModel({ modelPath: resolve(model), gpuLayers: 0 });
const context = await loaded.createContext({
  contextSize: prompt + tokens + 64,
  batchSize: 512,
  threads: { ideal: threads, min: threads },
});
const sequence = context.getSequence();
const ids = Array.from({ length: prompt }, (_, i) => 300 + (i * 7919) % 30_000);

async function once() {
  await sequence.clearHistory();
  const start = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(ids);
  const middle = performance.now();
  await sequence.clearHistory();
  let [count, from] = [0, 0];
  for await (const _ of sequence.evaluate([1], { temperature: 0, yieldEogToken: true })) {
    if (count === 0) from = performance.now();
    if (count++ === tokens) break;
  }
  return {
    prompt: prompt / (middle - start) * 1e3,
    decode: tokens / (performance.now() - from) * 1e3,
  };
}

await once();
console.log(JSON.stringify(await once()));
await llama.dispose();
process.exit(0);
