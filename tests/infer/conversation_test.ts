import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { openBackend } from "../../lib/backend/open.ts";
import { Conversation, encodeMessages } from "../../lib/infer/conversation.ts";
import { generate, type GeneratedText } from "../../lib/infer/generate.ts";
import { LanguageModel } from "../../lib/infer/language_model.ts";
import { type ChatMessage, ChatTemplate } from "../../lib/tokenizer/chat_template.ts";
import { testWith } from "../fixtures.ts";
import { STORIES, STORIES_TOKENIZER } from "./stories.ts";

const NEEDED = [`${STORIES}/config.json`];
const TEMPLATE =
  "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}" +
  "{% if add_generation_prompt %}assistant:{% endif %}";
const GREEDY = { maxTokens: 24, sampling: { temperature: 0 } };

async function open() {
  const backend = openBackend({ backend: "wasm", threads: 1 });
  const model = await LanguageModel.open(STORIES, { backend, tokenizer: STORIES_TOKENIZER });
  return { model, template: await ChatTemplate.parse(TEMPLATE) };
}

async function last(pieces: AsyncGenerator<string, GeneratedText>): Promise<GeneratedText> {
  for (;;) {
    const next = await pieces.next();
    if (next.done) return next.value;
  }
}

testWith(NEEDED, "each answer is that of the whole conversation computed anew", async () => {
  const { model, template } = await open();
  const conversation = new Conversation(model, { template, ...GREEDY, system: "Tell a story." });
  const messages: ChatMessage[] = [{ role: "system", content: "Tell a story." }];
  let before = 0;
  for (const content of ["Lily went to the park.", "Then she saw a dog.", "The end?"]) {
    const answer = await last(conversation.say(content));
    messages.push({ role: "user", content });
    const prompt = encodeMessages(model, { template, messages });
    const anew = await last(generate(model, { ...GREEDY, prompt }));
    deepStrictEqual([answer.text, answer.tokens], [anew.text, anew.tokens]);
    // What was asked before is not computed again; the answer's text may encode to other tokens.
    ok(answer.cachedTokens >= before - 4, `${answer.cachedTokens} of ${before}`);
    before = prompt.length;
    messages.push({ role: "assistant", content: answer.text });
    deepStrictEqual(conversation.messages, messages);
  }
  conversation.reset();
  deepStrictEqual(conversation.messages, messages.slice(0, 1));
  conversation.close();
});

testWith(NEEDED, "an answer that is broken off leaves the conversation as it was", async () => {
  const { model, template } = await open();
  const conversation = new Conversation(model, { ...GREEDY, template });
  const wanted = (await last(conversation.say("Hello"))).text;
  conversation.reset();
  for (let i = 0; i < 50; i++) {
    for await (const _ of conversation.say("Something else")) break;
    strictEqual(conversation.messages.length, 0);
  }
  strictEqual((await last(conversation.say("Hello"))).text, wanted);
  conversation.close();
});

testWith(
  NEEDED,
  "a conversation that outgrows its context is refused, a new one goes on",
  async () => {
    const { model, template } = await open();
    const conversation = new Conversation(model, { template, ...GREEDY, context: 96 });
    await last(conversation.say("A first message"));
    for (let i = 0; i < 20; i++) {
      await rejects(() => last(conversation.say("many words ".repeat(40))), {
        name: "ConfigError",
        message: /^Cannot continue the prompt: it has \d+ tokens, and the context holds 96$/,
      });
    }
    strictEqual(conversation.messages.length, 2);
    conversation.reset();
    ok((await last(conversation.say("A short one"))).tokens.length > 0);
    conversation.close();
  },
);
