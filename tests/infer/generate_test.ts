import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import type { Backend } from "../../lib/backend/backend.ts";
import { ConfigError, Interrupted } from "../../lib/base/errors.ts";
import { generate, type GeneratedText, type GenerateOptions } from "../../lib/infer/generate.ts";
import { LanguageModel } from "../../lib/infer/language_model.ts";
import { onBackends } from "../on_backends.ts";
import { expectedStories, NO_STORIES, STORIES, STORIES_TOKENIZER } from "./stories.ts";

const GREEDY = { sampling: { temperature: 0 } };
const ignored = { ignored: NO_STORIES };

function openStories(backend: Backend, path = STORIES): Promise<LanguageModel> {
  return LanguageModel.open(path, { backend, tokenizer: STORIES_TOKENIZER });
}

/** Generates to the end; checks that the pieces are the text. */
async function run(model: LanguageModel, options: GenerateOptions): Promise<GeneratedText> {
  const pieces = generate(model, options);
  let text = "";
  for (;;) {
    const next = await pieces.next();
    if (next.done) {
      strictEqual(text, next.value.text);
      return next.value;
    }
    ok(next.value.isWellFormed() && next.value !== "");
    text += next.value;
  }
}

for (const file of [".", "stories260K.bin"]) {
  for (const threads of [1, 2, 3]) {
    const name = `stories260K (${file === "." ? "Hugging Face" : "llama2.c"}) writes what ` +
      `llama2.c wrote, with ${threads} ${threads === 1 ? "thread" : "threads"}`;
    onBackends(name, async (on) => {
      using opened = await on.open(threads);
      const model = await openStories(opened.backend, join(STORIES, file));
      for (const expected of expectedStories()) {
        const prompt = model.encodePrompt(expected.prompt);
        deepStrictEqual([...prompt], expected.prompt_ids);
        const ended = expected.stopped_at_bos;
        const result = await run(model, {
          ...GREEDY,
          prompt,
          maxTokens: ended ? 256 : expected.new_ids.length,
        });
        deepStrictEqual(result.tokens, expected.new_ids.slice(0, ended ? -1 : undefined));
        strictEqual(result.finishReason, ended ? "stop" : "length");
        strictEqual(expected.prompt + result.text, expected.text);
        strictEqual(result.promptTokens, prompt.length);
      }
    }, ignored);
  }
}

onBackends("a stop string ends the text before it, and its tokens are not counted", async (on) => {
  using opened = await on.open();
  const model = await openStories(opened.backend);
  const expected = expectedStories()[1]!;
  const prompt = model.encodePrompt(expected.prompt);
  const whole = expected.text.slice(expected.prompt.length);
  for (const stop of [[" little girl"], ["nothing like it", "She lo"], [whole.slice(0, 3)]]) {
    const result = await run(model, { ...GREEDY, prompt, maxTokens: 64, stop });
    const at = Math.min(...stop.map((one) => whole.indexOf(one)).filter((one) => one >= 0));
    strictEqual(result.text, whole.slice(0, at));
    strictEqual(result.finishReason, "stop");
    deepStrictEqual(result.tokens, expected.new_ids.slice(0, result.tokens.length));
    const decoded = model.tokenizer.decode([...prompt.subarray(1), ...result.tokens]);
    ok((expected.prompt + result.text).startsWith(decoded), decoded);
    // The next token would not lie wholly in the text, or it ended it.
    const next = expected.new_ids.slice(0, result.tokens.length + 1);
    const longer = model.tokenizer.decode([...prompt.subarray(1), ...next]);
    ok(longer.length >= (expected.prompt + result.text).length, longer);
  }
}, ignored);

onBackends(
  "a text ends at an end token, which is not part of it, unless that is banned",
  async (on) => {
    using opened = await on.open();
    const model = await openStories(opened.backend);
    const expected = expectedStories()[0]!;
    const prompt = model.encodePrompt("");
    // The tenth token is made an end token: the text must stop before its first occurrence.
    const end = expected.new_ids[9]!;
    const ending = Object.assign(Object.create(model), { endIds: [end] });
    const first = expected.new_ids.indexOf(end);
    const ended = await run(ending, { ...GREEDY, prompt, maxTokens: 64 });
    deepStrictEqual(ended.tokens, expected.new_ids.slice(0, first));
    strictEqual(ended.finishReason, "stop");
    const going = await run(ending, { ...GREEDY, prompt, maxTokens: 64, ignoreEnd: true });
    strictEqual(going.tokens.length, 64);
    ok(!going.tokens.includes(end));
    strictEqual(going.finishReason, "length");
  },
  ignored,
);

onBackends("the context limits prompt and text together", async (on) => {
  using opened = await on.open();
  const model = await openStories(opened.backend);
  const prompt = model.encodePrompt("Once upon a time");
  const result = await run(model, { ...GREEDY, prompt, maxTokens: 100, context: 20 });
  // The last token is never fed back, so it needs no place.
  strictEqual(result.tokens.length, 20 - prompt.length + 1);
  strictEqual(result.finishReason, "length");
  await rejects(
    run(model, { ...GREEDY, prompt, maxTokens: 1, context: 4 }),
    (error: Error) =>
      error instanceof ConfigError &&
      /the prompt: it has 5 tokens, and the context holds 4/.test(error.message),
  );
  const long = new Uint32Array(600).fill(5);
  await rejects(run(model, { ...GREEDY, prompt: long, maxTokens: 1 }), /holds 512/);
  const none = await run(model, { ...GREEDY, prompt, maxTokens: 0 });
  deepStrictEqual([none.text, none.tokens, none.finishReason], ["", [], "length"]);
}, ignored);

onBackends("a seed gives the same text again, and another seed another one", async (on) => {
  using opened = await on.open();
  const model = await openStories(opened.backend);
  const prompt = model.encodePrompt("Once upon a time");
  const sampling = { temperature: 1, topK: 40, topP: 0.95 };
  const texts: string[] = [];
  for (const seed of [7, 7, 8]) {
    texts.push((await run(model, { sampling, prompt, maxTokens: 40, seed })).text);
  }
  strictEqual(texts[0], texts[1]);
  ok(texts[0] !== texts[2]);
}, ignored);

onBackends(
  "an aborted signal ends the work with its reason, in the prompt and in the text",
  async (on) => {
    using opened = await on.open();
    const model = await openStories(opened.backend);
    const prompt = model.encodePrompt("Once upon a time");
    const early = AbortSignal.abort(new Interrupted("Interrupted"));
    await rejects(run(model, { ...GREEDY, prompt, maxTokens: 9, signal: early }), Interrupted);
    const controller = new AbortController();
    const pieces = generate(model, {
      ...GREEDY,
      prompt,
      maxTokens: 400,
      signal: controller.signal,
    });
    await pieces.next();
    controller.abort(new Interrupted("Interrupted"));
    await rejects(pieces.next(), Interrupted);
  },
  ignored,
);

onBackends("the event loop turns while a text is generated", async (on) => {
  using opened = await on.open();
  const model = await openStories(opened.backend);
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new Interrupted("Interrupted")), 5);
  const prompt = model.encodePrompt("Once upon a time");
  const endless = async () => {
    for (let round = 0; round < 1000; round++) {
      await run(model, { ...GREEDY, prompt, maxTokens: 400, signal: controller.signal });
    }
  };
  await rejects(endless(), Interrupted);
  clearTimeout(timer);
}, ignored);

onBackends("a model without a tokenizer asks for one", async (on) => {
  using opened = await on.open();
  await rejects(
    LanguageModel.open(join(STORIES, "stories260K.bin"), { backend: opened.backend }),
    (error: Error) => error instanceof ConfigError && /no tokenizer beside it/.test(error.message),
  );
}, ignored);

onBackends("a tokenizer of another model is found out", async (on) => {
  using opened = await on.open();
  const model = await openStories(opened.backend);
  const foreign = Object.assign(Object.create(model.tokenizer), {
    encode: () => Uint32Array.of(1, 512),
  });
  const odd: LanguageModel = Object.create(model, { tokenizer: { value: foreign } });
  await rejects(
    async () => await Promise.resolve(odd.encodePrompt("x")),
    (error: Error) =>
      error instanceof ConfigError &&
      /gave the id 512, and its vocabulary has 512/.test(error.message),
  );
}, ignored);
