import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import { generate } from "../../lib/infer/generate.ts";
import { LanguageModel } from "../../lib/infer/language_model.ts";
import { onBackends } from "../on_backends.ts";
import { NO_STORIES, STORIES } from "./stories.ts";

/** What exact arithmetic over the dequantized weights gives. */
interface ExpectedText {
  readonly prompt: string;
  readonly new_ids: readonly number[];
  readonly text: string;
}

const MIXED = join(STORIES, "stories260K-mixed.gguf");
/** What the model's README allows single precision. */
const LOGIT_TOLERANCE = 2e-4;

function expectedTexts(): readonly ExpectedText[] {
  return JSON.parse(readFileSync(join(STORIES, "expected.json"), "utf8")).gguf.prompts;
}

onBackends(
  "a GGUF of q8_0, q5_1, q4_0, q4_1, q5_0 and f16 writes what exact arithmetic writes",
  async (on) => {
    using opened = await on.open(2);
    const model = await LanguageModel.open(MIXED, {
      backend: opened.backend,
      activations: "f32",
    });
    for (const expected of expectedTexts()) {
      const pieces = generate(model, {
        prompt: model.encodePrompt(expected.prompt),
        maxTokens: expected.new_ids.length,
        sampling: { temperature: 0 },
      });
      for (;;) {
        const next = await pieces.next();
        if (!next.done) continue;
        deepStrictEqual(next.value.tokens, [...expected.new_ids]);
        strictEqual(expected.prompt + next.value.text, expected.text);
        break;
      }
    }
    model.close();
  },
  { ignored: NO_STORIES },
);

onBackends("its logits after a prompt are those of double precision", async (on) => {
  using opened = await on.open(1);
  const model = await LanguageModel.open(MIXED, {
    backend: opened.backend,
    activations: "f32",
  });
  const { decoder } = model;
  const session = decoder.session({ rows: 64, positions: 64 });
  const { records } = await readSafetensors(join(STORIES, "expected_logits.safetensors"));
  for (const [i, expected] of expectedTexts().entries()) {
    const record = records.get(`prompt${i}.gguf_last_f64`)!;
    const bytes = await readTensor(record);
    const want = new Float64Array(bytes.slice().buffer);
    const tokens = [...model.encodePrompt(expected.prompt)];
    const sequence = session.cache.pages.open();
    session.forward([{ sequence, tokens }]);
    for (const chunk of session.head.chunks([tokens.length - 1])) {
      const got = chunk.logits();
      strictEqual(got.length, want.length);
      want.forEach((x, j) => ok(Math.abs(x - got[j]!) < LOGIT_TOLERANCE, `${record.name} ${j}`));
    }
    session.cache.pages.close(sequence);
  }
  session.close();
  model.close();
}, { ignored: NO_STORIES });
