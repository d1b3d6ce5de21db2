import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { openBackend } from "../../lib/backend/open.ts";
import { DraftModel } from "../../lib/infer/draft_model.ts";
import { type Drafter, LookupDrafter } from "../../lib/infer/drafter.ts";
import { generate, type GeneratedText, type GenerateOptions } from "../../lib/infer/generate.ts";
import { LanguageModel } from "../../lib/infer/language_model.ts";
import { testWith } from "../fixtures.ts";
import { STORIES, STORIES_TOKENIZER } from "./stories.ts";

const NEEDED = [`${STORIES}/config.json`];
const PROMPT = "Once upon a time, there was a little girl named Lily. Once upon a time, there was";

async function open(): Promise<LanguageModel> {
  const backend = openBackend({ backend: "wasm", threads: 1 });
  return await LanguageModel.open(STORIES, { backend, tokenizer: STORIES_TOKENIZER });
}

async function finish(model: LanguageModel, options: Partial<GenerateOptions>) {
  const prompt = model.encodePrompt(PROMPT);
  const pieces = generate(model, { prompt, maxTokens: 120, seed: 7, ...options });
  for (;;) {
    const next = await pieces.next();
    if (next.done) return next.value;
  }
}

const plain = ({ text, tokens, finishReason }: GeneratedText) => ({ text, tokens, finishReason });

/** Guesses at random, often wrong: from the continuation itself, with errors. */
class Unreliable implements Drafter {
  constructor(readonly truth: readonly number[], readonly prompt: number) {}
  propose(tokens: readonly number[], limit: number): readonly number[] {
    const at = tokens.length - this.prompt;
    return this.truth.slice(at, at + limit).map((id, i) => (at + i) % 5 === 3 ? id + 1 : id);
  }
}

const SAMPLINGS = {
  greedy: { temperature: 0 },
  random: { temperature: 0.9, topK: 40, topP: 0.95 },
  "repetition penalty": { temperature: 0.7, repeatPenalty: 1.3 },
};
for (const [name, sampling] of Object.entries(SAMPLINGS)) {
  testWith(NEEDED, `guesses never change a text: ${name}`, async () => {
    const model = await open();
    const alone = await finish(model, { sampling });
    const prompt = model.encodePrompt(PROMPT).length;
    const drafters: Record<string, Drafter> = {
      lookup: new LookupDrafter(),
      unreliable: new Unreliable(alone.tokens, prompt),
      itself: new DraftModel(model, { positions: 512 }),
    };
    for (const [kind, drafter] of Object.entries(drafters)) {
      for (const draftTokens of [1, 3, 8]) {
        const guessed = await finish(model, { sampling, drafter, draftTokens });
        deepStrictEqual(plain(guessed), plain(alone), `${kind}, ${draftTokens} at once`);
        ok(guessed.acceptedTokens <= guessed.draftedTokens);
        if (kind !== "lookup") ok(guessed.acceptedTokens > 0, kind);
        strictEqual(
          guessed.tokens.length + (guessed.finishReason === "stop" ? 1 : 0),
          1 + guessed.timings.decodeSteps + guessed.acceptedTokens,
        );
      }
      drafter.close?.();
    }
  });
}

testWith(NEEDED, "greedy guesses of the model itself are all right", async () => {
  const model = await open();
  const drafter = new DraftModel(model, { positions: 512 });
  const guessed = await finish(model, { sampling: { temperature: 0 }, drafter, draftTokens: 4 });
  const wrong = guessed.draftedTokens - guessed.acceptedTokens;
  // Only guesses beyond the end of the text can be in vain.
  ok(wrong <= 4, `${wrong} of ${guessed.draftedTokens}`);
});

Deno.test("look-up proposes what followed the longest earlier end of the text", () => {
  const drafter = new LookupDrafter();
  deepStrictEqual(drafter.propose([5], 4), []);
  deepStrictEqual(drafter.propose([5, 6, 7, 8, 6, 7], 2), [8, 6]);
  // "1 2 3" was followed by 9, a later single "3" by 4: the longer match wins.
  const other = new LookupDrafter();
  deepStrictEqual(other.propose([1, 2, 3, 9, 3, 4, 1, 2, 3], 1), [9]);
});
