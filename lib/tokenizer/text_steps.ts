/**
 * What is done to a text before the kernels take it, step by step: normalizers of `tokenizer.json`
 * (huggingface/tokenizers, normalizers).
 *
 * @module
 */

import { quoted } from "../base/quoted.ts";
import { type NormalForm, normalForm } from "./normal_form.ts";
import type { PrecompiledRules } from "./precompiled.ts";
import type { ReplaceStep } from "./replace_step.ts";

/** A step that a text takes before the kernels. */
export type TextStep =
  | { readonly type: NormalForm }
  | { readonly type: "Strip"; readonly left: boolean; readonly right: boolean }
  | { readonly type: "Precompiled"; readonly rules: PrecompiledRules }
  | { readonly type: "Prepend"; readonly prepend: string }
  | ReplaceStep;

/** A text after the steps. */
export function takeSteps(text: string, steps: readonly TextStep[]): string {
  return steps.reduce(takeStep, text);
}

function takeStep(before: string, step: TextStep): string {
  switch (step.type) {
    case "Strip": {
      const left = step.left ? before.replace(/^\p{White_Space}+/u, "") : before;
      return step.right ? left.replace(/\p{White_Space}+$/u, "") : left;
    }
    case "Precompiled":
      return step.rules.normalize(before);
    case "Prepend":
      return before === "" ? "" : step.prepend + before;
    case "Replace":
      return before.replace(step.pattern, () => step.content);
    default:
      return normalForm(before, step.type);
  }
}

/**
 * Whether steps take away what a text begins with, so that to the reference it no longer begins where
 * the text does (tokenizer/normalizer.rs, `offsets_original`).
 */
export function losesStart(text: string, steps: readonly TextStep[]): boolean {
  let before = text;
  for (const step of steps) {
    const { type } = step;
    if (type === "Strip" && step.left && /^\p{White_Space}/u.test(before)) return true;
    if (type === "Replace" && step.content === "" && before.search(step.pattern) === 0) return true;
    before = takeStep(before, step);
  }
  return false;
}

/** A step for people, such as `NFC`. */
export function describeStep(step: TextStep): string {
  switch (step.type) {
    case "Strip":
      return "spaces at the ends stripped";
    case "Precompiled":
      return "own rules by grapheme clusters";
    case "Prepend":
      return `${quoted(step.prepend)} in front`;
    case "Replace":
      return `${quoted(step.source)} to ${quoted(step.content)}`;
    default:
      return step.type;
  }
}
