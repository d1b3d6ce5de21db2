/**
 * The files that folders of models consist of.
 *
 * @module
 */

/** Files of a Hugging Face folder that say how text becomes ids, and how ids are sampled. */
export const HF_SIDE_FILES: readonly string[] = [
  "tokenizer.json",
  "tokenizer.json.gz",
  "tokenizer.model",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
  "chat_template.json",
];

const NAMES: ReadonlySet<string> = new Set([
  ...["config.json", "generation_config.json", "params.json", "checklist.chk"],
  ...HF_SIDE_FILES,
]);

const PATTERNS: readonly RegExp[] = [
  /^tokenizer(_config)?\.(json|json\.gz|model|bin)$/,
  /^(model|pytorch_model)(-\d+-of-\d+)?\.(safetensors|bin)$/,
  /^(model\.safetensors|pytorch_model\.bin)\.index\.json$/,
  /^consolidated(\.\d\d)?\.(pth|safetensors)$/,
];

/** Whether a file of this name is part of a model: what a new model in its place may replace. */
export function isModelFile(name: string): boolean {
  return NAMES.has(name) || PATTERNS.some((pattern) => pattern.test(name));
}
