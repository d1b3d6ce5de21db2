import { onBackends } from "../on_backends.ts";
import { assertCase, goldenCases, type HuggingFaceCase } from "./huggingface_cases.ts";

type PipelineCase = HuggingFaceCase & { readonly json: { readonly model: { vocab: string } } };

/** Small tokenizers of every pipeline that is known; vocabularies stand apart, by name. */
interface Pipelines {
  readonly vocab: Readonly<Record<string, readonly string[]>>;
  readonly merges: Readonly<Record<string, readonly (readonly string[])[]>>;
  readonly cases: readonly PipelineCase[];
}

const pipelines = await goldenCases<Pipelines>("pipelines");
/** What is done to text before, with the same vocabularies. */
const prepared = await goldenCases<Pick<Pipelines, "cases">>("prepared");
/** The same by precompiled rules. */
const precompiled = await goldenCases<Pick<Pipelines, "cases">>("precompiled");

/** The file of a case: its vocabulary is kept apart, and that of characters without its 256 bytes. */
function fileOf({ json }: PipelineCase): unknown {
  const kind = json.model.vocab;
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
  );
  const before = kind === "symbols" ? ["<unk>", "<s>", "</s>", ...bytes] : [];
  const texts = [...before, ...pipelines.vocab[kind]!];
  const vocab = Object.fromEntries(texts.map((text, id) => [text, id]));
  return { ...json, model: { ...json.model, vocab, merges: pipelines.merges[kind] } };
}

onBackends("added tokens of all flags in all pipelines are Hugging Face's", async (on) => {
  using opened = await on.open();
  for (const one of [...pipelines.cases, ...prepared.cases, ...precompiled.cases]) {
    assertCase(opened.backend, { ...one, file: fileOf(one) });
  }
});
