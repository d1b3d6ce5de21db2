import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { Interrupted } from "../../lib/base/errors.ts";
import type { RunningText, TextRequest } from "../../lib/infer/running_text.ts";
import { Scheduler } from "../../lib/infer/scheduler.ts";
import { Decoder, type SessionOptions } from "../../lib/model/decoder.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import {
  GOLDEN_MODELS,
  goldenExpected,
  type GoldenModel,
  goldenSource,
} from "../model/golden_models.ts";
import { onBackends } from "../on_backends.ts";

const GREEDY = { temperature: 0 };

async function sessionOf(backend: Backend, name: GoldenModel, options: Partial<SessionOptions>) {
  const decoder = await Decoder.load(backend, await goldenSource(name));
  return decoder.session({ rows: 32, positions: 1024, sequences: 4, ...options });
}

async function finish(scheduler: Scheduler): Promise<void> {
  while (scheduler.busy) await scheduler.step();
}

for (const name of GOLDEN_MODELS) {
  onBackends(`${name}: greedy tokens are the reference's`, async (on) => {
    using opened = await on.open(2);
    const { prompt, new_tokens } = goldenExpected(name).greedy;
    const session = await sessionOf(opened.backend, name, {});
    const scheduler = new Scheduler(session, { context: 256 });
    const text = scheduler.add({ prompt, maxTokens: new_tokens.length, sampling: GREEDY });
    await finish(scheduler);
    deepStrictEqual(text.tokens, new_tokens);
    strictEqual(text.finished, "length");
    strictEqual(session.cache.pages.freePages, session.cache.pages.pageCount);
  });
}

const REQUESTS: readonly TextRequest[] = [
  { prompt: [1, 50, 80], maxTokens: 30, sampling: { temperature: 0.9, topK: 20 }, seed: 3 },
  { prompt: Array.from({ length: 70 }, (_, i) => i * 3), maxTokens: 12, sampling: GREEDY },
  { prompt: [7], maxTokens: 45, sampling: { temperature: 1.2 }, seed: 3, stream: 1 },
  { prompt: [9, 9], maxTokens: 5, sampling: { temperature: 1, repeatPenalty: 1.3 }, seed: 5 },
  { prompt: [200, 100], maxTokens: 20, sampling: { temperature: 1 }, seed: 3, stream: 2 },
  { prompt: [201, 100], maxTokens: 1, sampling: GREEDY },
];

onBackends("texts come out the same alone and beside others, whatever the rows", async (on) => {
  using opened = await on.open(2);
  const alone: (readonly number[])[] = [];
  for (const request of REQUESTS) {
    const session = await sessionOf(opened.backend, "llama_gqa", { sequences: 1, rows: 128 });
    const scheduler = new Scheduler(session, { context: 256 });
    const text = scheduler.add(request);
    await finish(scheduler);
    alone.push(text.tokens);
    session.close();
  }
  for (
    const [sequences, rows, positions] of [[4, 32, 1024], [6, 7, 1024], [3, 128, 256]] as const
  ) {
    const session = await sessionOf(opened.backend, "llama_gqa", { sequences, rows, positions });
    const scheduler = new Scheduler(session, { context: 256 });
    const texts = REQUESTS.map((request) => scheduler.add(request));
    await finish(scheduler);
    deepStrictEqual(texts.map((text) => text.tokens), alone, `${sequences} at a time`);
    session.close();
  }
});

onBackends("a waiting text begins when the pages for its whole length are free", async (on) => {
  using opened = await on.open();
  // Two pages: each of these texts needs both.
  const session = await sessionOf(opened.backend, "llama_mha", { positions: 128 });
  const scheduler = new Scheduler(session, { context: 128 });
  const request = { prompt: [1], maxTokens: 100, sampling: GREEDY };
  const [first, second] = [scheduler.add(request), scheduler.add(request)];
  const order: RunningText[] = [];
  while (scheduler.busy) {
    for (const text of await scheduler.step()) {
      if (text.finished !== undefined) order.push(text);
      ok(text !== second || first.finished !== undefined);
    }
  }
  deepStrictEqual(order, [first, second]);
  deepStrictEqual(first.tokens, second.tokens);
});

onBackends("a cancelled text gives its pages back and the others go on", async (on) => {
  using opened = await on.open();
  const session = await sessionOf(opened.backend, "llama_mha", { positions: 128, sequences: 2 });
  const scheduler = new Scheduler(session, { context: 128 });
  const kept = scheduler.add({ prompt: [1], maxTokens: 20, sampling: GREEDY });
  const running = scheduler.add({ prompt: [2], maxTokens: 60, sampling: GREEDY });
  const waiting = scheduler.add({ prompt: [3], maxTokens: 60, sampling: GREEDY });
  await scheduler.step();
  scheduler.cancel(running);
  scheduler.cancel(waiting);
  await finish(scheduler);
  deepStrictEqual([kept.tokens.length, running.tokens.length, waiting.tokens.length], [20, 1, 0]);
  strictEqual(session.cache.pages.freePages, 2);
});

onBackends("end tokens and banned tokens are never part of a text", async (on) => {
  using opened = await on.open();
  const { prompt, new_tokens } = goldenExpected("llama_mha").greedy;
  const session = await sessionOf(opened.backend, "llama_mha", {});
  const scheduler = new Scheduler(session, { context: 256 });
  const base = { prompt, maxTokens: 24, sampling: GREEDY };
  const ended = scheduler.add({ ...base, endIds: [new_tokens[5]] });
  const banned = scheduler.add({ ...base, banned: [new_tokens[0]] });
  await finish(scheduler);
  deepStrictEqual(ended.tokens, new_tokens.slice(0, 5));
  strictEqual(ended.finished, "stop");
  ok(!banned.tokens.includes(new_tokens[0]));
});

onBackends("a prompt that is empty or too long is refused", async (on) => {
  using opened = await on.open();
  const session = await sessionOf(opened.backend, "llama_mha", {});
  const scheduler = new Scheduler(session, { context: 3 });
  throws(() => scheduler.add({ prompt: [], maxTokens: 1 }), RangeError);
  throws(() => scheduler.add({ prompt: [1, 2, 3, 4], maxTokens: 1 }), /has 4 tokens/);
  const fits = scheduler.add({ prompt: [1, 2, 3], maxTokens: 9, sampling: GREEDY });
  await finish(scheduler);
  strictEqual(fits.tokens.length, 1);
});

onBackends("an aborted signal ends a step between layers", async (on) => {
  using opened = await on.open();
  const session = await sessionOf(opened.backend, "llama_mha", {});
  const signal = AbortSignal.abort(new Interrupted("Interrupted"));
  const scheduler = new Scheduler(session, { context: 256, signal });
  scheduler.add({ prompt: [1, 2, 3], maxTokens: 9 });
  await rejects(scheduler.step(), Interrupted);
});
