import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { join } from "node:path";
import { measurePerplexity } from "../../lib/eval/perplexity.ts";
import { cutWindows } from "../../lib/eval/windows.ts";
import { openBackend } from "../../lib/backend/open.ts";
import { LanguageModel } from "../../lib/infer/language_model.ts";
import { probe } from "../../lib/infer/probe.ts";
import { testWith } from "../fixtures.ts";
import { STORIES, STORIES_TOKENIZER } from "../infer/stories.ts";

const NEEDED = [`${STORIES}/config.json`];
const TEXT = "Once upon a time, there was a little girl named Lily. She liked to play. ".repeat(12);

async function open(file = "."): Promise<LanguageModel> {
  const backend = openBackend({ backend: "wasm", threads: 1 });
  const path = join(STORIES, file);
  return await LanguageModel.open(path, { backend, tokenizer: STORIES_TOKENIZER });
}

testWith(NEEDED, "windows follow one another, each from the begin token", async () => {
  const model = await open();
  const ids = model.encodePrompt(TEXT);
  const windows = cutWindows(model, TEXT, { context: 100 });
  strictEqual(windows.length, Math.floor(ids.length / 100));
  for (const [i, { tokens, judgedFrom }] of windows.entries()) {
    deepStrictEqual([...tokens], [1, ...ids.slice(i * 100 + 1, (i + 1) * 100)]);
    strictEqual(judgedFrom, 51);
  }
  const whole = cutWindows(model, "Once upon a time", { context: 100, all: true });
  deepStrictEqual(whole.map(({ judgedFrom }) => judgedFrom), [1]);
  throws(() => cutWindows(model, "", {}), /it has 1 tokens, at least 2 were wanted/);
  throws(() => cutWindows(model, TEXT, { context: 513 }), /the model was made for 512/);
});

testWith(NEEDED, "perplexity is that of the scores which the probe gives", async () => {
  const model = await open();
  const windows = cutWindows(model, TEXT, { context: 64 });
  const losses: number[] = [];
  for (const { tokens, judgedFrom } of windows) {
    const targets = [...tokens.subarray(1), -100].map((id, i) => i + 1 < judgedFrom ? -100 : id);
    const logits = probe(model.decoder, { inputIds: [[...tokens]], targets: [targets] });
    for (;;) {
      const next = await logits.next();
      if (!next.done) continue;
      targets.forEach((id, i) => id >= 0 && losses.push(-next.value.logProb[i]!));
      break;
    }
  }
  const result = await measurePerplexity(model, { text: TEXT, context: 64 });
  strictEqual(result.tokens, losses.length);
  strictEqual(result.windows, windows.length);
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  ok(Math.abs(result.loss.mean - mean) < 1e-5, `${result.loss.mean}, ${mean}`);
  ok(Math.abs(result.perplexity - Math.exp(mean)) < 1e-4 * Math.exp(mean));
});

testWith(NEEDED, "a model beside itself differs in nothing", async () => {
  const model = await open();
  const result = await measurePerplexity(model, { text: TEXT, context: 128, reference: model });
  const { reference, difference, klDivergence, klDivergence99, sameTop } = result.comparison!;
  strictEqual(reference.perplexity, result.perplexity);
  deepStrictEqual(difference, { mean: 0, standardError: 0 });
  deepStrictEqual([klDivergence.mean, klDivergence99, sameTop], [0, 0, 1]);
});

testWith(NEEDED, "a quantized model is near its original and not equal", async () => {
  const model = await open("stories260K-mixed.gguf");
  const reference = await open();
  const result = await measurePerplexity(model, { text: TEXT, context: 128, reference });
  const { klDivergence, klDivergence99, sameTop, difference } = result.comparison!;
  ok(klDivergence.mean > 1e-4 && klDivergence.mean < 0.2, String(klDivergence.mean));
  ok(klDivergence99 > klDivergence.mean && sameTop > 0.7 && sameTop <= 1);
  const apart = result.loss.mean - result.comparison!.reference.loss.mean;
  ok(Math.abs(apart - difference.mean) < 1e-9);
});

testWith(NEEDED, "models whose tokens differ are not compared", async () => {
  const model = await open();
  const reference = await open();
  const other = Object.create(reference, {
    tokenizer: {
      value: Object.assign(Object.create(reference.tokenizer), {
        encode: () => Uint32Array.from({ length: 300 }, () => 5),
      }),
    },
  });
  await rejects(() => measurePerplexity(model, { text: TEXT, reference: other }), {
    name: "ConfigError",
    message: /their tokenizers cut the text differently/,
  });
});

testWith(NEEDED, "a reference without a tokenizer of its own takes the model's", async () => {
  const options = { backend: openBackend({ backend: "wasm", threads: 1 }) };
  const model = await LanguageModel.open(join(STORIES, "stories260K-mixed.gguf"), options);
  const spareTokenizer = model.checkpoint.tokenizerPath;
  await rejects(() => LanguageModel.open(STORIES, options), /there is no tokenizer beside it/);
  const reference = await LanguageModel.open(STORIES, { ...options, spareTokenizer });
  const result = await measurePerplexity(model, { text: TEXT, context: 128, reference });
  ok(result.comparison!.klDivergence.mean < 0.2);
});
