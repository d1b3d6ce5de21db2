/**
 * The ways in which byte-level tokenizers split text before they merge, and how files say them; the
 * kernels have each as a scanner (kernels/cpu/src/text/split.rs, split_gpt2.rs).
 *
 * @module
 */

import type { JsonValue } from "../base/json_scanner.ts";
import { FLAG } from "./description.ts";
import { LLAMA3_PATTERN } from "./llama3.ts";

/** A step of a `tokenizer.json`'s pre-tokenizer, without what does not change the result. */
export type SplitStep = Readonly<Record<string, string | boolean | { readonly Regex: string }>>;

/** A way to split. */
export interface SplitPattern {
  /** Its name, for people. */
  readonly name: string;
  /** Bits of {@linkcode FLAG}. */
  readonly flags: number;
  /** Its values of `tokenizer.ggml.pre` (llama.cpp, llama-vocab.cpp), the one to write first. */
  readonly pre: readonly string[];
  /** The same where a whole piece is taken before any merging. */
  readonly wholePre: readonly string[];
  /** The steps of a `tokenizer.json`. */
  readonly steps: readonly SplitStep[];
}

function byRegex(pattern: string): SplitStep[] {
  return [
    { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
    { type: "ByteLevel", add_prefix_space: false, use_regex: false },
  ];
}

const BY_GPT2: SplitStep = { type: "ByteLevel", add_prefix_space: false, use_regex: true };

/** Llama 3's pattern: contractions, words, up to three digits, signs, line breaks. */
export const LLAMA3_SPLIT: SplitPattern = {
  name: "Llama 3's pattern",
  flags: 0,
  pre: ["dbrx", "smaug-bpe"],
  wholePre: [
    ...["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
    "jina-v5-nano",
  ],
  steps: byRegex(LLAMA3_PATTERN),
};

/** All that are known. */
export const SPLIT_PATTERNS: readonly SplitPattern[] = [
  LLAMA3_SPLIT,
  {
    name: "Qwen 2's pattern",
    flags: FLAG.numbersAlone,
    pre: [
      ...["qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "kormo", "f2llmv2", "hunyuan"],
      ...["solar-open", "grok-2"],
    ],
    wholePre: [],
    steps: byRegex(LLAMA3_PATTERN.replace("\\p{N}{1,3}", "\\p{N}")),
  },
  {
    name: "GPT-2's pattern",
    flags: FLAG.splitGpt2,
    pre: [
      ...["gpt-2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "jina-v1-en"],
      ...["jina-v2-code", "roberta-bpe", "mpt", "olmo", "jais", "gigachat", "a.x-4.0", "mellum"],
      ...["modern-bert", "trillion", "granite-docling"],
    ],
    wholePre: [],
    steps: [BY_GPT2],
  },
  {
    name: "GPT-2's pattern between single digits",
    flags: FLAG.splitGpt2 | FLAG.numbersAlone,
    pre: [
      ...["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
      "mellum2",
    ],
    wholePre: [],
    steps: [{ type: "Digits", individual_digits: true }, BY_GPT2],
  },
];

/** What a step says where it says nothing (huggingface/tokenizers, pre_tokenizers). */
const DEFAULTS: SplitStep = {
  add_prefix_space: true,
  use_regex: true,
  invert: false,
  individual_digits: false,
};

function isStep(found: ReadonlyMap<string, JsonValue>, wanted: SplitStep): boolean {
  return Object.entries(wanted).every(([key, value]) => {
    const own = found.get(key) ?? DEFAULTS[key];
    if (typeof value !== "object") return own === value;
    return own instanceof Map && own.get("Regex") === value.Regex;
  });
}

/** The pattern that the steps of a `tokenizer.json` describe, if it is known. */
export function patternOfSteps(
  steps: readonly ReadonlyMap<string, JsonValue>[],
): SplitPattern | undefined {
  return SPLIT_PATTERNS.find((pattern) =>
    pattern.steps.length === steps.length &&
    pattern.steps.every((wanted, i) => isStep(steps[i]!, wanted))
  );
}

/** The pattern of a description's flags. */
export function patternOfFlags(flags: number): SplitPattern {
  const bits = flags & (FLAG.splitGpt2 | FLAG.numbersAlone);
  return SPLIT_PATTERNS.find((pattern) => pattern.flags === bits) ?? LLAMA3_SPLIT;
}

/** The pattern that GGUF files name so, if it is known. */
export function patternOfPre(pre: string): SplitPattern | undefined {
  return SPLIT_PATTERNS.find((pattern) =>
    pattern.pre.includes(pre) || pattern.wholePre.includes(pre)
  );
}
