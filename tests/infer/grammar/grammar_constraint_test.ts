import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { generate, type GeneratedText } from "../../../lib/infer/generate.ts";
import { generateMany } from "../../../lib/infer/generate_many.ts";
import { LookupDrafter } from "../../../lib/infer/drafter.ts";
import { parseGbnf } from "../../../lib/infer/grammar/gbnf.ts";
import { TokenGrammar } from "../../../lib/infer/grammar/grammar_constraint.ts";
import { parseJsonSchema } from "../../../lib/infer/grammar/json_schema.ts";
import {
  addByte,
  NO_PARTIAL,
  type PartialCharacter,
} from "../../../lib/infer/grammar/partial_character.ts";
import { LanguageModel } from "../../../lib/infer/language_model.ts";
import { openBackend } from "../../../lib/backend/open.ts";
import { testWith } from "../../fixtures.ts";
import { STORIES, STORIES_TOKENIZER } from "../stories.ts";

const NEEDED = [`${STORIES}/config.json`];

async function open(): Promise<LanguageModel> {
  const backend = openBackend({ backend: "wasm", threads: 1 });
  return await LanguageModel.open(STORIES, { backend, tokenizer: STORIES_TOKENIZER });
}

type Options = Partial<Parameters<typeof generate>[1]>;

async function write(
  model: LanguageModel,
  grammar: TokenGrammar,
  { prompt = "Once", ...options }: Omit<Options, "prompt"> & { prompt?: string } = {},
): Promise<GeneratedText> {
  const ids = model.encodePrompt(prompt);
  const pieces = generate(model, {
    maxTokens: 300,
    ...options,
    prompt: ids,
    constraint: grammar.constraint(ids),
  });
  for (;;) {
    const next = await pieces.next();
    if (next.done) return next.value;
  }
}

const SCHEMA = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 12 },
    age: { type: "integer", minimum: 1, maximum: 99 },
    tags: { type: "array", items: { enum: ["red", "blue"] }, minItems: 1, maxItems: 3 },
  },
  required: ["name", "age", "tags"],
};

testWith(NEEDED, "a text under a schema is JSON that fits it, at any temperature", async () => {
  const model = await open();
  const grammar = new TokenGrammar(model, parseJsonSchema(JSON.stringify(SCHEMA)));
  for (const temperature of [0, 0.7, 1.5, 5]) {
    for (let seed = 0; seed < 5; seed++) {
      const { text, finishReason } = await write(model, grammar, {
        seed,
        sampling: { temperature },
      });
      strictEqual(finishReason, "stop");
      const value = JSON.parse(text);
      deepStrictEqual(Object.keys(value), ["name", "age", "tags"]);
      ok([...value.name].length <= 12 && Number.isInteger(value.age));
      ok(value.age >= 1 && value.age <= 99 && value.tags.length >= 1 && value.tags.length <= 3);
      ok(value.tags.every((tag: string) => tag === "red" || tag === "blue"));
    }
  }
});

testWith(
  NEEDED,
  "characters that the tokenizer writes byte by byte follow a grammar too",
  async () => {
    const model = await open();
    const grammar = new TokenGrammar(model, parseGbnf('root ::= ("日本" | "é" | "😀"){3} "."'));
    for (let seed = 0; seed < 10; seed++) {
      const { text } = await write(model, grammar, { seed, sampling: { temperature: 3 } });
      ok(/^(日本|é|😀){3}\.$/u.test(text), text);
    }
  },
);

testWith(NEEDED, "the first token of a text is held to how it reads there", async () => {
  const model = await open();
  const grammar = new TokenGrammar(model, parseGbnf('root ::= "Once" " upon"'));
  // After the begin token alone, SentencePiece drops the space of the first piece.
  strictEqual((await write(model, grammar, { prompt: "" })).text, "Once upon");
  strictEqual((await write(model, grammar, { prompt: "So:" })).text, "Once upon");
});

testWith(NEEDED, "guesses and company change no constrained text", async () => {
  const model = await open();
  const grammar = new TokenGrammar(model, parseJsonSchema(JSON.stringify(SCHEMA)));
  const sampling = { temperature: 1 };
  const wanted = await write(model, grammar, { seed: 4, sampling });
  const guessed = await write(model, grammar, { seed: 4, sampling, drafter: new LookupDrafter() });
  deepStrictEqual(guessed.tokens, wanted.tokens);
  const prompts = ["Once", "Two", "Once"].map((text) => model.encodePrompt(text));
  const texts: string[] = [];
  for await (
    const one of generateMany(model, { prompts, grammar, seed: 4, sampling, maxTokens: 300 })
  ) texts.push(one.text);
  deepStrictEqual([texts[0], texts[2]], [wanted.text, wanted.text]);
});

testWith(
  NEEDED,
  "a grammar that the tokenizer cannot write is refused when it gets there",
  async () => {
    const model = await open();
    const grammar = new TokenGrammar(model, parseGbnf('root ::= "a" b\nb ::= "c" b'));
    const result = await write(model, grammar, { maxTokens: 20 });
    strictEqual(result.finishReason, "length");
    const endless = new TokenGrammar(model, parseGbnf('root ::= "a" x\nx ::= x2\nx2 ::= x'));
    await rejects(() => write(model, endless), {
      name: "ConfigError",
      message: /^Cannot follow the/,
    });
  },
);

Deno.test("bytes of a character narrow it to what UTF-8 allows", () => {
  const encoder = new TextEncoder();
  for (const code of [0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff]) {
    let partial: PartialCharacter | undefined = NO_PARTIAL;
    for (const byte of encoder.encode(String.fromCodePoint(code))) {
      partial = addByte(partial!, byte);
      ok(partial!.first <= code && code <= partial!.last, code.toString(16));
    }
    deepStrictEqual(partial, { missing: 0, first: code, last: code });
  }
  const malformed = [[0x80], [0xc0], [0xc1, 0x80], [0xe0, 0x80], [0xed, 0xa0], [0xf4, 0x90], [
    0xf5,
  ]];
  for (const bytes of [...malformed, [0xc3, 0x28], [0xf0, 0x80]]) {
    let partial: PartialCharacter | undefined = NO_PARTIAL;
    for (const byte of bytes) partial = partial && addByte(partial, byte);
    strictEqual(partial, undefined, String(bytes));
  }
});
