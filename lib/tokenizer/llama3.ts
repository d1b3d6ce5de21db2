/**
 * What Llama 3's tokenizer has beyond its ranks: the split pattern and the special tokens
 * (meta-llama/llama-models, models/llama3/tokenizer.py).
 *
 * @module
 */

/** The split pattern; the kernels have it as a scanner (kernels/cpu/src/text/split.rs). */
export const LLAMA3_PATTERN: string =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" +
  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Number of ranks of the published vocabulary. */
export const LLAMA3_RANKS = 128000;

const SPECIAL_COUNT = 256;

const NAMED = [
  "<|begin_of_text|>",
  "<|end_of_text|>",
  "<|reserved_special_token_0|>",
  "<|reserved_special_token_1|>",
  "<|finetune_right_pad_id|>",
  "<|step_id|>",
  "<|start_header_id|>",
  "<|end_header_id|>",
  "<|eom_id|>",
  "<|eot_id|>",
  "<|python_tag|>",
  "<|image|>",
];

/** The names of the 256 special tokens in id order, as the latest models name them. */
export function llama3SpecialNames(): string[] {
  const names = [...NAMED];
  for (let i = 2; names.length < SPECIAL_COUNT; i++) names.push(`<|reserved_special_token_${i}|>`);
  return names;
}
