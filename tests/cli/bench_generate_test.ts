import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { Decoder } from "../../lib/model/decoder.ts";
import { generateCost } from "../../lib/infer/bench.ts";
import { golden } from "../fixtures.ts";
import { goldenSource } from "../model/golden_models.ts";
import { NO_STORIES, STORIES } from "../infer/stories.ts";
import { onBackends } from "../on_backends.ts";
import { runCli } from "./run_cli.ts";

const SMALL = ["--prompt-tokens", "20", "--max-tokens", "3", "--repeat", "2"];

onBackends("bench generate measures the prompt, the text and the machine", async (on) => {
  const args = ["bench", "generate", "--model", golden("llama_mha"), "--backend", on.name];
  const { code, stdout, stderr } = await runCli([...args, ...SMALL, "--threads", "1", "--json"]);
  deepStrictEqual([code, stderr], [0, ""]);
  const result = JSON.parse(stdout);
  deepStrictEqual([result.prompt.tokens, result.decode.tokens, result.repeat], [20, 3, 2]);
  deepStrictEqual([result.backend.name, result.backend.threads], [on.name, 1]);
  strictEqual(result.prompt_tokens_per_second, result.prompt.median);
  strictEqual(result.decode_tokens_per_second, result.decode.median);
  for (const { min, median, max } of [result.prompt, result.decode]) {
    ok(0 < min && min <= median && median <= max && max < Infinity);
  }
  const { flops_per_second, bytes_per_second } = result.limits;
  for (const value of [flops_per_second, bytes_per_second]) ok(value > 0 && value < 1e18);
  for (const share of [result.prompt.share_of_flops, result.decode.share_of_bandwidth]) {
    ok(share > 0 && share < 100);
  }
});

Deno.test("bench generate prints a table for people", async () => {
  const args = ["bench", "generate", "--model", golden("llama_mha"), "--threads", "1"];
  const { code, stdout } = await runCli([...args, ...SMALL]);
  strictEqual(code, 0);
  match(stdout, /llama_mha on \w+ \(.*, 1 thread\)\n/);
  match(stdout, /prompt of 20 .* of [\d.]+ GFLOP\/s\n3 tokens after it .* of [\d.]+ GB\/s\n$/);
});

onBackends("the cost of a prompt and of a token is counted from the shapes", async (on) => {
  using opened = await on.open();
  const decoder = await Decoder.load(opened.backend, await goldenSource("llama_gqa"));
  const cost = generateCost(decoder, { promptTokens: 10, maxTokens: 5, kvType: "f16" });
  // llama_gqa: d 64, 8 query and 2 kv heads of 8, ffn 192 wide, 2 layers, 320 tokens.
  const { hiddenSize: d, intermediateSize: f, vocabSize } = decoder.config;
  const block = d * (64 + 2 * 16) + 64 * d + 3 * d * f;
  strictEqual(cost.promptFlops, 2 * (2 * block * 10 + vocabSize * d) + 2 * 4 * 64 * 55);
  // Keys and values of 2 x 8 in half precision, of 10 + 1 .. 10 + 5 positions.
  strictEqual(cost.tokenBytes, 4 * (2 * block + vocabSize * d) + 2 * 2 * 16 * 2 * 13);
});

onBackends("bench generate says how much was repacked", async (on) => {
  const model = join(STORIES, "stories260K-mixed.gguf");
  const args = ["bench", "generate", "--model", model, "--backend", on.name, ...SMALL, "--json"];
  const repacked = async (repack: string) => {
    const { code, stdout, stderr } = await runCli([...args, "--repack", repack]);
    strictEqual(code, 0, stderr);
    return JSON.parse(stdout).repacked_bytes;
  };
  strictEqual(await repacked("off"), 0);
  const bytes = await repacked("auto");
  ok(bytes > 50_000 && bytes < 260_000, `${bytes} bytes`);
}, { ignored: NO_STORIES });
