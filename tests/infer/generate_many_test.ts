import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { generate, type GeneratedText, type GenerateOptions } from "../../lib/infer/generate.ts";
import { generateMany } from "../../lib/infer/generate_many.ts";
import { LanguageModel } from "../../lib/infer/language_model.ts";
import { testWith } from "../fixtures.ts";
import { openBackend } from "../../lib/backend/open.ts";
import { STORIES, STORIES_TOKENIZER } from "./stories.ts";

const NEEDED = [`${STORIES}/config.json`];
const TEXTS = [
  "Once upon a time",
  "",
  "Lily and Tom went to the big park. ".repeat(12),
  "The dog",
  "One day, a bird",
  "She said",
  "Tim had a red ball",
];

async function open(): Promise<LanguageModel> {
  const backend = openBackend({ backend: "wasm", threads: 1 });
  return await LanguageModel.open(STORIES, { backend, tokenizer: STORIES_TOKENIZER });
}

async function alone(model: LanguageModel, options: GenerateOptions): Promise<GeneratedText> {
  const pieces: AsyncGenerator<string, GeneratedText> = generate(model, options);
  for (;;) {
    const next = await pieces.next();
    if (next.done) return next.value;
  }
}

for (
  const [name, sampling] of Object.entries({
    greedy: { temperature: 0 },
    random: { temperature: 1 },
  })
) {
  testWith(NEEDED, `many prompts give the texts that each gives alone (${name})`, async () => {
    const model = await open();
    const prompts = TEXTS.map((text) => model.encodePrompt(text));
    const options = { maxTokens: 60, seed: 11, sampling, stop: ["big"], logProbs: 2 };
    const wanted: GeneratedText[] = [];
    for (const prompt of prompts) wanted.push(await alone(model, { ...options, prompt }));
    for (const together of [1, 3, 8]) {
      let index = 0;
      for await (const one of generateMany(model, { ...options, prompts, together })) {
        const { text, tokens, finishReason, logProbs, promptTokens } = wanted[index]!;
        deepStrictEqual(one, { index, text, tokens, finishReason, logProbs, promptTokens });
        index++;
      }
      strictEqual(index, TEXTS.length);
    }
    ok(wanted.some(({ finishReason }) => finishReason === "stop"));
  });
}

testWith(NEEDED, "a prompt beyond the context is refused before any text comes", async () => {
  const model = await open();
  const prompts = [Uint32Array.of(1, 2), new Uint32Array(2000).fill(5)];
  const texts = generateMany(model, { prompts, maxTokens: 3 });
  await rejects(() => texts.next(), { name: "ConfigError", message: /it has 2000 tokens/ });
});

testWith(NEEDED, "log-probabilities are those of the softmax, likeliest first", async () => {
  const model = await open();
  const prompt = model.encodePrompt("Once upon a time");
  const options = { prompt, maxTokens: 20, sampling: { temperature: 0 }, logProbs: 512 };
  const { tokens, logProbs } = await alone(model, options);
  strictEqual(logProbs.length, tokens.length);
  for (const [i, { id, logProb, top }] of logProbs.entries()) {
    strictEqual(id, tokens[i]);
    deepStrictEqual(top[0], { id, logProb });
    const sum = top.reduce((total, one) => total + Math.exp(one.logProb), 0);
    ok(Math.abs(sum - 1) < 1e-9, `probabilities sum to ${sum}`);
    for (let j = 1; j < top.length; j++) {
      const [before, after] = [top[j - 1]!, top[j]!];
      ok(
        before.logProb > after.logProb ||
          (before.logProb === after.logProb && before.id < after.id),
      );
    }
  }
});
