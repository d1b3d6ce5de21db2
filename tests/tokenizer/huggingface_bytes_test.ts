import { onBackends } from "../on_backends.ts";
import { assertCase, goldenCases, type HuggingFaceCase } from "./huggingface_cases.ts";

/** Files that huggingface/tokenizers takes and hardly anybody means. */
const { cases } = await goldenCases<
  { readonly cases: readonly (HuggingFaceCase & { readonly json: unknown })[] }
>("irregular");

onBackends("missing bytes and ids of added tokens are Hugging Face's", async (on) => {
  using opened = await on.open();
  for (const one of cases) assertCase(opened.backend, { ...one, file: one.json });
});
